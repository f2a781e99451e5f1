"""Capsules as the vault keeps them, and how they are swapped."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, Sha256Digest, StatementHash
from carnet_protocol.limits import MAX_PAGE, MAX_VERSIONS
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from carnet_protocol.wire import Base64Bytes, SuiteNumber, WireModel

_Role = Annotated[KeyRole, Field(strict=False)]


class CompartmentRecipient(WireModel):
    """Inner lock under a compartment's key."""

    compartment: CompartmentId
    compartment_statement: StatementHash


class PersonalRecipient(WireModel):
    """Inner lock under a grantee's account KEM key."""

    grant: StatementHash
    grantee: IdentityHash
    grantee_statement: StatementHash


class Capsule(WireModel):
    """A capsule with its coordinates: everything of the wrap tuple but record, author and content suite."""

    document: DocumentId
    version: Annotated[int, Field(ge=1, le=MAX_VERSIONS)]
    role: _Role
    compartment: CompartmentRecipient | None
    personal: PersonalRecipient | None
    lock_statement: StatementHash
    inner_suite: SuiteNumber
    outer_suite: SuiteNumber
    sealed: Base64Bytes

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.compartment is None) == (self.personal is None):
            raise ValueError("a capsule is for a compartment or for a person")
        return self

    def wrap_tuple(self, identity: IdentityTuple) -> WrapTuple:
        """The wrap tuple of this capsule for the version `identity`."""
        return WrapTuple(
            identity,
            self.role,
            self.recipient(),
            Suite(self.inner_suite),
            Suite(self.outer_suite),
            self.lock_statement,
        )

    def recipient(self) -> CompartmentLock | PersonalLock:
        """The inner lock's recipient."""
        if self.compartment is not None:
            return CompartmentLock(self.compartment.compartment, self.compartment.compartment_statement)
        if self.personal is None:
            raise AssertionError("internal: a capsule without a recipient")
        return PersonalLock(self.personal.grant, self.personal.grantee, self.personal.grantee_statement)


class CapsuleSwap(WireModel):
    """Puts `capsule` where the capsule with SHA-256 `replaces` stands, or where none stands if that is None."""

    capsule: Capsule
    replaces: Sha256Digest | None


class CapsuleEntry(WireModel):
    """A capsule with what completes its wrap tuple."""

    capsule: Capsule
    suite: SuiteNumber
    author: IdentityHash


class CapsulesPage(WireModel):
    """`GET /v1/records/{record}/capsules?document=` (patient): a page of every capsule, or of one document's.

    `next` is the cursor of the next page.
    """

    capsules: Annotated[tuple[CapsuleEntry, ...], Field(max_length=2 * MAX_PAGE, strict=False)]
    next: str | None
