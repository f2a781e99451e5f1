"""Statements about documents: manifest, tombstone, reseal (spec `document.md`)."""

from enum import StrEnum, unique
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from carnet_protocol.ids import (
    DocumentId,
    DocumentSalt,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
    derive_document_id,
)
from carnet_protocol.limits import MAX_DOCUMENT_BYTES, MAX_VERSIONS
from carnet_protocol.statements._base import Statement
from carnet_protocol.suites import SIZES
from carnet_protocol.tuples import IdentityTuple
from carnet_protocol.wire import Base64Bytes, SuiteNumber, UtcSeconds

CiphertextSize = Annotated[int, Field(ge=56 + 16 * 1024 + 32, le=2 * MAX_DOCUMENT_BYTES)]
"""Bytes of a content ciphertext: at least header, one full chunk and the empty one."""


class Manifest(Statement):
    """One version of a document, by its author. Signed by the author's device. Never changes when keys rotate.

    `digest` is the content digest of the suite, over the ciphertext as deposited; the commitments to plaintext
    and metadata are keyed by random bits that only the metadata holds; `grant` is the deposit grant relied on, None for
    the patient.
    """

    KIND: ClassVar[str] = "manifest"

    suite: SuiteNumber
    record: RecordId
    document: DocumentId
    document_salt: DocumentSalt
    version: Annotated[int, Field(ge=1, le=MAX_VERSIONS)]
    author: IdentityHash
    device: StatementHash
    grant: StatementHash | None
    previous: StatementHash | None
    digest: Base64Bytes
    ciphertext_size: CiphertextSize
    metadata_digest: Sha256Digest
    plaintext_commitment: Base64Bytes
    metadata_commitment: Base64Bytes
    created_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.document != derive_document_id(self.record, self.author, self.document_salt):
            raise ValueError("a document id is the hash of record, author and salt")
        if (self.version == 1) != (self.previous is None):
            raise ValueError("version 1 alone has no previous manifest")
        if (self.grant is None) != (self.record.patient() == self.author):
            raise ValueError("the patient alone deposits without a grant")
        if len(self.digest) != SIZES[self.suite].content_digest:
            raise ValueError("a content digest has the size of its suite")
        if {len(self.plaintext_commitment), len(self.metadata_commitment)} != {SIZES[self.suite].commitment}:
            raise ValueError("a commitment has the size of its suite")
        return self

    def identity_tuple(self) -> IdentityTuple:
        """The version's identity tuple."""
        return IdentityTuple(self.suite, self.record, self.document, self.version, self.author)


@unique
class TombstoneReason(StrEnum):
    """Why a document was removed."""

    MISFILED = "misfiled"
    ERROR = "error"
    PATIENT_REQUEST = "patient-request"


class Tombstone(Statement):
    """Removes a document with all its versions. Signed by a device of its author or of the patient."""

    KIND: ClassVar[str] = "tombstone"

    record: RecordId
    document: DocumentId
    manifest: StatementHash
    by: IdentityHash
    device: StatementHash
    reason: Annotated[TombstoneReason, Field(strict=False)]
    issued_at: UtcSeconds


class Reseal(Statement):
    """A version encrypted anew by the patient, its manifest untouched. Signed by a patient's device.

    Readers check `digest` and `metadata_digest` of the newest reseal in place of the manifest's, and the manifest's
    commitments after opening. Reseals of a version count from 1 and chain through `previous`.
    """

    KIND: ClassVar[str] = "reseal"

    record: RecordId
    manifest: StatementHash
    serial: Annotated[int, Field(ge=1, le=1_000_000)]
    previous: StatementHash | None
    suite: SuiteNumber
    digest: Base64Bytes
    ciphertext_size: CiphertextSize
    metadata_digest: Sha256Digest
    device: StatementHash
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.serial == 1) != (self.previous is None):
            raise ValueError("the first reseal alone has no previous one")
        if len(self.digest) != SIZES[self.suite].content_digest:
            raise ValueError("a content digest has the size of its suite")
        return self
