"""Statements of the practitioner directory: attestation, revocation list, succession (spec `statements.md`)."""

from enum import StrEnum, unique
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from carnet_protocol.ids import AttestationId, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.limits import MAX_ATTESTATION_SECONDS, MAX_REVOKED_ATTESTATIONS
from carnet_protocol.statements._base import Statement
from carnet_protocol.wire import ShortText, UtcSeconds, check_sorted


@unique
class Profession(StrEnum):
    """What a practitioner or organisation is attested to be."""

    PHYSICIAN = "physician"
    NURSE = "nurse"
    MIDWIFE = "midwife"
    DENTIST = "dentist"
    PHARMACIST = "pharmacist"
    THERAPIST = "therapist"
    LABORATORY = "laboratory"
    HOSPITAL = "hospital"
    OTHER = "other"


class Attestation(Statement):
    """A registrar's word that `subject` is this practitioner, with the keys of `subject_statement`.

    Signed by the registrar. Valid while not_before <= now < expires, at most 90 days, and not on the registrar's
    revocation list. `succeeds` names the identity whose grants a succession may hand over.
    """

    KIND: ClassVar[str] = "attestation"

    id: AttestationId
    registrar: Fingerprint
    subject: IdentityHash
    subject_statement: StatementHash
    succeeds: IdentityHash | None
    name: ShortText
    profession: Annotated[Profession, Field(strict=False)]
    organisation: ShortText
    not_before: UtcSeconds
    expires: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.expires - self.not_before <= MAX_ATTESTATION_SECONDS:
            raise ValueError("an attestation lasts from one second to 90 days")
        if self.succeeds == self.subject:
            raise ValueError("nobody succeeds themselves")
        return self


class RevocationList(Statement):
    """The registrar's attestations that ended early. Signed by the registrar; a higher `number` replaces a lower.

    Not to be relied on at or after `next_update`.
    """

    KIND: ClassVar[str] = "revocation-list"

    registrar: Fingerprint
    number: Annotated[int, Field(ge=1, le=2**31)]
    issued_at: UtcSeconds
    next_update: UtcSeconds
    revoked: Annotated[
        tuple[AttestationId, ...],
        Field(max_length=MAX_REVOKED_ATTESTATIONS, strict=False),
        AfterValidator(check_sorted),
    ]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 < self.next_update - self.issued_at <= MAX_ATTESTATION_SECONDS:
            raise ValueError("a revocation list is good for one second to 90 days")
        return self


class Succession(Statement):
    """Hands the grants of `predecessor` to `successor`. Signed by the predecessor's root key.

    Without an attestation of the successor that names the predecessor in `succeeds` it has no effect.
    """

    KIND: ClassVar[str] = "succession"

    predecessor: IdentityHash
    successor: IdentityHash
    successor_statement: StatementHash
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.predecessor == self.successor:
            raise ValueError("nobody succeeds themselves")
        return self
