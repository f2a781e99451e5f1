"""Statements about access: grant and revocation (spec `statements.md`, "Grants")."""

from enum import StrEnum, unique
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from carnet_protocol.ids import CompartmentId, DocumentId, Fingerprint, GrantId, IdentityHash, RecordId, StatementHash
from carnet_protocol.limits import MAX_DEPOSIT_GRANT_SECONDS, MAX_GRANT_SCOPE, MAX_READ_GRANT_SECONDS
from carnet_protocol.sealed_box import NOTE_SIZE, box_size
from carnet_protocol.statements._base import Statement
from carnet_protocol.suites import SIZES
from carnet_protocol.wire import Base64Bytes, UtcSeconds, check_sorted


@unique
class Permission(StrEnum):
    """What a grant allows. A reader who also deposits holds two grants."""

    READ = "read"
    DEPOSIT = "deposit"


@unique
class Purpose(StrEnum):
    """Why a patient lets somebody in."""

    TREATMENT = "treatment"
    CONSULTATION = "consultation"
    EMERGENCY = "emergency"
    DIAGNOSTICS = "diagnostics"
    DISPENSING = "dispensing"
    SECOND_OPINION = "second-opinion"
    ADMINISTRATION = "administration"


class Grant(Statement):
    """Lets `grantee` read, or deposit into, a part of a record for a time. Signed by a device of the patient.

    In force while not_before <= now < expires (UTC seconds) and not revoked. A read grant covers compartments, or
    single documents; a deposit grant exactly one compartment. `attestation` is what the patient's client checked when
    it made the grant; `sealed_note` is a word from the patient that the grantee alone reads.
    """

    KIND: ClassVar[str] = "grant"

    record: RecordId
    id: GrantId
    grantee: IdentityHash
    grantee_statement: StatementHash
    attestation: StatementHash
    permission: Annotated[Permission, Field(strict=False)]
    compartments: Annotated[
        tuple[CompartmentId, ...], Field(max_length=MAX_GRANT_SCOPE, strict=False), AfterValidator(check_sorted)
    ]
    documents: Annotated[
        tuple[DocumentId, ...], Field(max_length=MAX_GRANT_SCOPE, strict=False), AfterValidator(check_sorted)
    ]
    not_before: UtcSeconds
    expires: UtcSeconds
    purpose: Annotated[Purpose, Field(strict=False)]
    sealed_note: Base64Bytes
    vault: Fingerprint
    keyservice: Fingerprint
    device: StatementHash
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.compartments) == bool(self.documents):
            raise ValueError("a grant covers compartments or single documents, not both, not neither")
        longest = MAX_READ_GRANT_SECONDS
        if self.permission is Permission.DEPOSIT:
            longest = MAX_DEPOSIT_GRANT_SECONDS
            if len(self.compartments) != 1:
                raise ValueError("a deposit grant covers exactly one compartment")
        if not 0 < self.expires - self.not_before <= longest:
            raise ValueError("a grant ends after it begins, a read grant within 366 days")
        if self.grantee == self.record.patient():
            raise ValueError("patients need no grant to their own record")
        if len(self.sealed_note) not in {box_size(suite, NOTE_SIZE) for suite in SIZES}:
            raise ValueError("a sealed note has one size")
        return self


class Revocation(Statement):
    """Ends a grant at once, for good. Signed by a device of the patient."""

    KIND: ClassVar[str] = "revocation"

    record: RecordId
    grant_id: GrantId
    grant: StatementHash
    device: StatementHash
    issued_at: UtcSeconds
