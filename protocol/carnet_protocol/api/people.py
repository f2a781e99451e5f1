"""People and directory: `/v1/people`, `/v1/directory`, `/v1/recovery`."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_protocol.wire import WireModel

Jws = Annotated[str, Field(max_length=MAX_STATEMENT_BYTES, pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")]
"""A statement as compact JWS."""


class PersonBundle(WireModel):
    """A person's statements, each list in the order of acceptance."""

    identities: Annotated[tuple[Jws, ...], Field(min_length=1, max_length=64, strict=False)]
    devices: Annotated[tuple[Jws, ...], Field(max_length=256, strict=False)]
    removals: Annotated[tuple[Jws, ...], Field(max_length=256, strict=False)]


class PersonView(WireModel):
    """`GET /v1/people/{identity}`: the person, what registrars say of them, and the registrars' newest lists."""

    person: PersonBundle
    attestations: Annotated[tuple[Jws, ...], Field(strict=False)]
    revocation_lists: Annotated[tuple[Jws, ...], Field(strict=False)]
    succession: Jws | None


class PeopleUpdate(WireModel):
    """`POST /v1/people`: identity, device, removal and recovery statements of one person, in order. Anonymous."""

    statements: Annotated[tuple[Jws, ...], Field(min_length=1, max_length=600, strict=False)]


class DirectoryUpdate(WireModel):
    """`POST /v1/directory`: attestations, revocation lists and successions, in order. Anonymous."""

    statements: Annotated[tuple[Jws, ...], Field(min_length=1, max_length=100, strict=False)]


class RecoveryView(WireModel):
    """`GET /v1/recovery`, signed with the root key: the person, and the recovery chain, oldest first."""

    person: PersonBundle
    recoveries: Annotated[tuple[Jws, ...], Field(min_length=1, strict=False)]
