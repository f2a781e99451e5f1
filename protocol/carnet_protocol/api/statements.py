"""Statements about a record: `/v1/records/{record}/statements`, `/erasure`, `/locks`."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.api.capsules import CapsuleSwap
from carnet_protocol.api.people import Jws
from carnet_protocol.ids import StatementHash
from carnet_protocol.limits import MAX_CAPSULES_PER_REQUEST, MAX_SEALED_KEYS_PER_REQUEST, MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.wire import Base64Bytes, WireModel


class SealedKey(WireModel):
    """A compartment key sealed to one reader's account KEM key. `grant` is None for the patient's own copy."""

    compartment_statement: StatementHash
    grant: StatementHash | None
    reader_statement: StatementHash
    sealed: Base64Bytes


class RecordUpdate(WireModel):
    """`POST /v1/records/{record}/statements`: all of it is accepted, or none.

    Sealed keys go to the key service alone, capsules to the vault alone.
    """

    statements: Annotated[tuple[Jws, ...], Field(max_length=MAX_STATEMENTS_PER_REQUEST, strict=False)]
    sealed_keys: Annotated[tuple[SealedKey, ...], Field(max_length=MAX_SEALED_KEYS_PER_REQUEST, strict=False)]
    capsules: Annotated[tuple[CapsuleSwap, ...], Field(max_length=MAX_CAPSULES_PER_REQUEST, strict=False)]


class ErasureUpdate(WireModel):
    """`POST /v1/records/{record}/erasure`: the patient erases the whole record."""

    statements: Annotated[tuple[Jws, ...], Field(min_length=1, max_length=1, strict=False)]


class LockView(WireModel):
    """`GET /v1/records/{record}/lock` and `POST /v1/records/{record}/locks`: the current lock statement."""

    lock: Jws


class SealedKeysView(WireModel):
    """`GET /v1/records/{record}/sealed-keys?statement=` (patient): own copies, also of what is not published yet."""

    sealed_keys: Annotated[tuple[SealedKey, ...], Field(max_length=MAX_SEALED_KEYS_PER_REQUEST, strict=False)]
