"""Statements about the operation of a key service: report of a rotation, destruction (spec `statements.md`)."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from carnet_protocol.ids import Fingerprint, JobId
from carnet_protocol.limits import MAX_DESTRUCTION_SECONDS, MAX_JSON_INTEGER
from carnet_protocol.statements._base import Statement
from carnet_protocol.wire import ShortText, UtcSeconds, WireModel

_Number = Annotated[int, Field(ge=0, le=MAX_JSON_INTEGER)]
_MasterKeyVersion = Annotated[int, Field(ge=1, le=1_000_000)]


class Count(WireModel):
    """How many of something."""

    name: ShortText
    count: _Number


class RotationReport(Statement):
    """What a job did that rotated keys, or destroyed retired record locks. For an auditor to keep.

    Signed by the key service's server key.

    `by` is the officer who began it, null for whoever holds the machine. `old_version` and `new_version` are those of
    the master key, null where it is not rotated. `done` counts the items of each step, `skipped` those of each reason;
    `old_references` what is sealed under the old version still.
    """

    KIND: ClassVar[str] = "rotation-report"

    keyservice: Fingerprint
    job: JobId
    rotates: Literal["master", "locks", "suite", "destruction"]
    outcome: Literal["finished", "aborted"]
    by: Fingerprint | None
    begun_at: UtcSeconds
    ended_at: UtcSeconds
    old_version: _MasterKeyVersion | None
    new_version: _MasterKeyVersion | None
    total: _Number
    done: Annotated[tuple[Count, ...], Field(max_length=16, strict=False)]
    skipped: Annotated[tuple[Count, ...], Field(max_length=16, strict=False)]
    old_references: _Number


class Destruction(Statement):
    """An officer's order to destroy a master key, or retired record locks, for good. Signed by the officer's key.

    `version` is the master key's; `retired_before` says which record locks: the retired ones of before. A key service
    acts on two orders that say the same, of two officers in force whose enrolments go back to two at the machine,
    before they expire.
    """

    KIND: ClassVar[str] = "destruction"

    keyservice: Fingerprint
    officer: Fingerprint
    destroys: Literal["master-key", "record-locks"]
    version: _MasterKeyVersion | None
    retired_before: UtcSeconds | None
    issued_at: UtcSeconds
    expires: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.version is None) == (self.retired_before is None):
            raise ValueError("an order names a version of the master key, or until when locks were retired")
        if (self.version is not None) != (self.destroys == "master-key"):
            raise ValueError("an order names what it destroys")
        if not self.issued_at < self.expires <= self.issued_at + MAX_DESTRUCTION_SECONDS:
            raise ValueError("an order is good for at most a week")
        return self
