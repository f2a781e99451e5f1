"""Compartment keys that a practitioner seals to newer keys: `/v1/inbox/sealed-keys` (key service)."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.api.statements import SealedKey
from carnet_protocol.ids import Sha256Digest, StatementHash
from carnet_protocol.limits import MAX_SEALED_KEYS_PER_REQUEST
from carnet_protocol.wire import WireModel


class ResealedKeys(WireModel):
    """`POST /v1/inbox/sealed-keys`: keys of grants to the principal, or to whom the principal succeeds, sealed anew.

    They are sealed to the principal's newest keys, and stand beside what the patient sealed. Each grant is decided by
    itself.
    """

    sealed_keys: Annotated[
        tuple[SealedKey, ...], Field(min_length=1, max_length=MAX_SEALED_KEYS_PER_REQUEST, strict=False)
    ]


class SealedKeysPage(WireModel):
    """`GET /v1/inbox/sealed-keys?after=`: the keys that are sealed to the principal's newest keys, by grant hash.

    `next` is the cursor of the next page.
    """

    sealed_keys: Annotated[tuple[SealedKey, ...], Field(strict=False)]
    next: str | None


class OpenedKey(WireModel):
    """A sealed key that its reader read back and opened; `digest` is the SHA-256 of what was read."""

    compartment_statement: StatementHash
    grant: StatementHash
    digest: Sha256Digest


class OpenedKeys(WireModel):
    """`POST /v1/inbox/sealed-keys/opened`: where `digest` still stands, the copies for older keys of the reader go."""

    keys: Annotated[tuple[OpenedKey, ...], Field(min_length=1, max_length=MAX_SEALED_KEYS_PER_REQUEST, strict=False)]


class StandingKeys(WireModel):
    """For each key of the request, in order, whether it stands now."""

    standing: Annotated[tuple[bool, ...], Field(strict=False)]
