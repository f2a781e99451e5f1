"""Statements about people: identity, device, removal, recovery (spec `statements.md`, "People")."""

from enum import StrEnum, unique
from typing import Annotated, ClassVar, Self

from nacl.bindings import crypto_core_ed25519_is_valid_point
from pydantic import AfterValidator, Field, model_validator

from carnet_protocol.ids import Commitment, Ed25519PublicKey, IdentityHash, StatementHash
from carnet_protocol.statements._base import Statement
from carnet_protocol.suites import SIZES
from carnet_protocol.wire import Base64Bytes, SuiteNumber, UtcSeconds

DEVICE_NAME_SIZE = 64
SEALED_DEVICE_NAME_SIZE = 24 + DEVICE_NAME_SIZE + 16
RECOVERY_SLOT_SIZE = 24 + 32 + 16


@unique
class Role(StrEnum):
    """What an identity is for. It never changes."""

    PATIENT = "patient"
    PRACTITIONER = "practitioner"


def _check_signing_key(key: Ed25519PublicKey) -> Ed25519PublicKey:
    if not crypto_core_ed25519_is_valid_point(key.raw):
        raise ValueError("not a point of the prime-order group of Ed25519")
    return key


SigningPublicKey = Annotated[Ed25519PublicKey, AfterValidator(_check_signing_key)]
"""An Ed25519 public key that is a valid point of the prime-order group: no low-order or foreign encodings."""


class Identity(Statement):
    """A person's keys. The founding statement's hash names the person; later ones chain to it.

    Signed by the root key of the statement before; the founding statement by its own `root_key`.
    """

    KIND: ClassVar[str] = "identity"

    suite: SuiteNumber
    role: Annotated[Role, Field(strict=False)]
    serial: Annotated[int, Field(ge=0, le=1_000_000)]
    founding: IdentityHash | None
    previous: StatementHash | None
    root_key: SigningPublicKey
    account_kem_key: Base64Bytes
    recovery_commitment: Commitment
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        founding = self.serial == 0
        if founding != (self.founding is None) or founding != (self.previous is None):
            raise ValueError("serial 0 alone has no founding and no previous statement")
        if len(self.account_kem_key) != SIZES[self.suite].kem_public_key:
            raise ValueError("an account KEM key has the size of its suite")
        return self


class Device(Statement):
    """A device of a person. Its hash names the device.

    Signed by the root key (`enrolled_by` is None) or by the device that `enrolled_by` names. `sealed_name` is
    readable by the person's own devices.
    """

    KIND: ClassVar[str] = "device"

    identity: IdentityHash
    device_key: SigningPublicKey
    enrolled_by: StatementHash | None
    sealed_name: Base64Bytes
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.sealed_name) != SEALED_DEVICE_NAME_SIZE:
            raise ValueError("a sealed device name has 104 bytes")
        return self


class Removal(Statement):
    """Shuts a device out, with every device it enrolled and every grant it signed that came at or after `since`.

    Signed by the root key.
    """

    KIND: ClassVar[str] = "removal"

    identity: IdentityHash
    device: StatementHash
    since: UtcSeconds
    issued_at: UtcSeconds


class Recovery(Statement):
    """The account key, sealed under the recovery secret. Signed by the root key.

    `sealed_account_key` opens with the recovery secret; `sealed_previous` holds the account key before the newest
    identity statement, sealed under the newest, so that one kit opens them all; None for the founding statement.
    Each is nonce (24) || XChaCha20-Poly1305 of 32 bytes (48): spec `keys.md`, "Recovery".
    """

    KIND: ClassVar[str] = "recovery"

    identity: IdentityHash
    identity_statement: StatementHash
    sealed_account_key: Base64Bytes
    sealed_previous: Base64Bytes | None
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.sealed_account_key) != RECOVERY_SLOT_SIZE:
            raise ValueError("a recovery slot has 72 bytes")
        if self.sealed_previous is not None and len(self.sealed_previous) != RECOVERY_SLOT_SIZE:
            raise ValueError("a sealed account key has 72 bytes")
        return self
