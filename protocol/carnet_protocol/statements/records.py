"""Statements that shape a record: compartment, closing, lock, filing, erasure (spec `statements.md`, "Records")."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from carnet_protocol.ids import Commitment, CompartmentId, DocumentId, Fingerprint, RecordId, StatementHash
from carnet_protocol.limits import MAX_LOCK_STATEMENT_SECONDS
from carnet_protocol.sealed_box import COMPARTMENT_NAME_SIZE, box_size
from carnet_protocol.statements._base import Statement
from carnet_protocol.suites import SIZES
from carnet_protocol.wire import Base64Bytes, SuiteNumber, UtcSeconds

READERS_SALT_SIZE = 32


class Compartment(Statement):
    """A compartment's public key for one epoch. Signed by a device of the patient.

    Epochs count from 1 and chain through `previous`; the key service appends by compare-and-set.
    `readers_commitment` is over the grants and revocations known to the device (spec `keys.md`, "Readers"); its salt
    is in `sealed_opening`. `sealed_name` is sealed to `compartment_key`.
    """

    KIND: ClassVar[str] = "compartment"

    record: RecordId
    compartment: CompartmentId
    epoch: Annotated[int, Field(ge=1, le=1_000_000)]
    previous: StatementHash | None
    suite: SuiteNumber
    compartment_key: Base64Bytes
    sealed_name: Base64Bytes
    readers_commitment: Commitment
    sealed_opening: Base64Bytes
    keyservice: Fingerprint
    device: StatementHash
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.epoch == 1) != (self.previous is None):
            raise ValueError("epoch 1 alone has no previous statement")
        if len(self.compartment_key) != SIZES[self.suite].kem_public_key:
            raise ValueError("a compartment key has the size of its suite")
        if len(self.sealed_name) != box_size(self.suite, COMPARTMENT_NAME_SIZE):
            raise ValueError("a sealed compartment name has one size")
        # Sealed to the patient's account key, which may be of another suite.
        if len(self.sealed_opening) not in {box_size(suite, READERS_SALT_SIZE) for suite in SIZES}:
            raise ValueError("a sealed opening has one size")
        return self


class Closing(Statement):
    """Closes one epoch of a compartment: nothing is deposited, fetched or released under it any more.

    Signed by a device of the patient, once no capsule refers to the epoch.
    """

    KIND: ClassVar[str] = "closing"

    record: RecordId
    compartment: CompartmentId
    epoch: Annotated[int, Field(ge=1, le=1_000_000)]
    compartment_statement: StatementHash
    device: StatementHash
    issued_at: UtcSeconds


class Lock(Statement):
    """The public half of a record lock. Signed by the key service's key.

    Good for sealing until `expires`, at most 30 days; re-issued for the same version before that. `previous` is the
    lock statement issued before this one for the record.
    """

    KIND: ClassVar[str] = "lock"

    record: RecordId
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    suite: SuiteNumber
    lock_key: Base64Bytes
    previous: StatementHash | None
    keyservice: Fingerprint
    issued_at: UtcSeconds
    expires: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.expires - self.issued_at <= MAX_LOCK_STATEMENT_SECONDS:
            raise ValueError("a lock statement is good for one second to 30 days")
        if len(self.lock_key) != SIZES[self.suite].kem_public_key:
            raise ValueError("a lock key has the size of its suite")
        return self


class Filing(Statement):
    """Moves a document to a compartment (hiding it from readers of the one before). Signed by a patient's device.

    Filings of a document count from 1 and chain through `previous`.
    """

    KIND: ClassVar[str] = "filing"

    record: RecordId
    document: DocumentId
    serial: Annotated[int, Field(ge=1, le=1_000_000)]
    previous: StatementHash | None
    compartment: CompartmentId
    device: StatementHash
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.serial == 1) != (self.previous is None):
            raise ValueError("the first filing alone has no previous one")
        return self


class Erasure(Statement):
    """Erases a whole record, for good. Signed by the patient's root key, so that no stolen device can.

    A server forgets everything of the record but the person and this statement, and takes nothing about it any more.
    """

    KIND: ClassVar[str] = "erasure"

    record: RecordId
    vault: Fingerprint
    keyservice: Fingerprint
    issued_at: UtcSeconds
