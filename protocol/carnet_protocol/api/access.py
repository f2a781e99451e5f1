"""What a principal may see of a record: `/v1/records/{record}/access`, `/grants`, `/v1/inbox`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from carnet_protocol.api.people import Jws, PersonBundle
from carnet_protocol.api.statements import SealedKey
from carnet_protocol.wire import WireModel


class AccessView(WireModel):
    """`GET /v1/records/{record}/access?grant=`: what the principal needs to use the record under one grant.

    `compartments` holds, for each compartment in scope, the whole chain of statements, oldest first; the patient sees
    every compartment. The vault leaves `sealed_keys` empty and `lock` null: clients compare the rest.
    """

    patient: PersonBundle
    grant: Jws | None
    compartments: Annotated[tuple[Jws, ...], Field(strict=False)]
    closings: Annotated[tuple[Jws, ...], Field(strict=False)]
    sealed_keys: Annotated[tuple[SealedKey, ...], Field(strict=False)]
    lock: Jws | None


class AccessesPage(WireModel):
    """`GET /v1/inbox/access?after=`: what the principal needs to use the records of all patients, by grant hash.

    For grants that let them read compartments and have not ended, begun or not, and without locks. `next` is the cursor
    of the next page.
    """

    accesses: Annotated[tuple[AccessView, ...], Field(strict=False)]
    next: str | None


class GrantsView(WireModel):
    """`GET /v1/records/{record}/grants` (patient): every grant and revocation, in the order of acceptance."""

    grants: Annotated[tuple[Jws, ...], Field(strict=False)]
    revocations: Annotated[tuple[Jws, ...], Field(strict=False)]


class InboxEntry(WireModel):
    """A grant to the principal, or to one whom the principal succeeds, that has not ended.

    `patient` is the place of the patient's statements in the `patients` of the page.
    """

    grant: Jws
    patient: Annotated[int, Field(ge=0)]


class Inbox(WireModel):
    """`GET /v1/inbox?after=`: grants to the principal, by grant hash; `next` is the cursor of the next page.

    A patient has each of a page's statements in it once, however many grants are theirs.
    """

    entries: Annotated[tuple[InboxEntry, ...], Field(strict=False)]
    patients: Annotated[tuple[PersonBundle, ...], Field(strict=False)]
    next: str | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(entry.patient >= len(self.patients) for entry in self.entries):
            raise ValueError("an entry names a patient who is not there")
        return self
