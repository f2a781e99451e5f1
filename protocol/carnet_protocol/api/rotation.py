"""What the key service asks of the vault to rotate record locks (`/v1/rotation/…`), each answer signed by the vault.

The key service alone may ask. A swap has no member that could say where a capsule stands or for whom its inner lock is:
what is rotated keeps everything but its outer lock.
"""

from enum import StrEnum, unique
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from carnet_protocol.api.capsules import CapsuleEntry
from carnet_protocol.api.people import Jws
from carnet_protocol.ids import DocumentId, RecordId, Sha256Digest, StatementHash
from carnet_protocol.limits import MAX_ROTATION_CAPSULES, MAX_ROTATION_RECORDS, MAX_VERSIONS
from carnet_protocol.tuples import KeyRole
from carnet_protocol.wire import Base64Bytes, SuiteNumber, WireModel, check_sorted

_Count = Annotated[int, Field(ge=0)]
_Records = Annotated[
    tuple[RecordId, ...],
    Field(min_length=1, max_length=MAX_ROTATION_RECORDS, strict=False),
    AfterValidator(check_sorted),
]


@unique
class LockStanding(StrEnum):
    """How a lock statement stands at the vault after it was shown."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    NOT_NOW = "not_now"
    RECORD_UNKNOWN = "record_unknown"


class LocksUpdate(WireModel):
    """Shows the vault lock statements, one for each of several records: from then on deposits are made under them."""

    locks: Annotated[tuple[Jws, ...], Field(min_length=1, max_length=MAX_ROTATION_RECORDS, strict=False)]


class ShownLock(WireModel):
    """What became of the lock statement of `record`; `highest` is the highest lock version seen there."""

    record: RecordId
    standing: Annotated[LockStanding, Field(strict=False)]
    highest: _Count


class LocksShown(WireModel):
    """In the order of the statements."""

    locks: Annotated[tuple[ShownLock, ...], Field(max_length=MAX_ROTATION_RECORDS, strict=False)]


class OldCapsulesQuery(WireModel):
    """Asks for capsules of `records` under a lock below the highest version seen, from behind the cursor `after`."""

    records: _Records
    after: str | None
    limit: Annotated[int, Field(ge=1, le=MAX_ROTATION_CAPSULES)]


class OldCapsule(WireModel):
    """A capsule of `record` with what completes its wrap tuple."""

    record: RecordId
    entry: CapsuleEntry


class OldCapsulesPage(WireModel):
    """A page by record, lock statement and place; `next` is the cursor of the next one."""

    capsules: Annotated[tuple[OldCapsule, ...], Field(max_length=MAX_ROTATION_CAPSULES, strict=False)]
    next: str | None


class OuterLockSwap(WireModel):
    """Puts `sealed` in the place of the capsule whose digest is `replaces`. `grant` is None for a compartment's.

    The inner lock goes on as it is, of the suite that it was.
    """

    document: DocumentId
    version: Annotated[int, Field(ge=1, le=MAX_VERSIONS)]
    role: Annotated[KeyRole, Field(strict=False)]
    grant: StatementHash | None
    replaces: Sha256Digest
    inner_suite: SuiteNumber
    outer_suite: SuiteNumber
    sealed: Base64Bytes


class RecordSwaps(WireModel):
    """Swaps in one record, all to the lock that `lock_statement` names."""

    record: RecordId
    lock_statement: StatementHash
    swaps: Annotated[tuple[OuterLockSwap, ...], Field(min_length=1, max_length=MAX_ROTATION_CAPSULES, strict=False)]


class SwapsUpdate(WireModel):
    """Swaps in several records; what becomes of one holds up no other."""

    records: Annotated[tuple[RecordSwaps, ...], Field(min_length=1, max_length=MAX_ROTATION_RECORDS, strict=False)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_sorted(tuple(each.record for each in self.records))
        if sum(len(each.swaps) for each in self.records) > MAX_ROTATION_CAPSULES:
            raise ValueError("more swaps than one request may bring")
        return self


@unique
class SwapOutcome(StrEnum):
    """What became of one swap. `repeated`: it was made before; `gone`: no capsule stands in its place any more."""

    SWAPPED = "swapped"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    GONE = "gone"


class RecordSwapped(WireModel):
    """The outcome of each swap in `record`, none of them where its lock is not `current`.

    `event` is the index of the event that says so in the vault's log; None where nothing was swapped.
    """

    record: RecordId
    standing: Annotated[LockStanding, Field(strict=False)]
    outcomes: Annotated[
        tuple[Annotated[SwapOutcome, Field(strict=False)], ...], Field(max_length=MAX_ROTATION_CAPSULES, strict=False)
    ]
    event: _Count | None


class SwapsAnswer(WireModel):
    """In the order of the request."""

    records: Annotated[tuple[RecordSwapped, ...], Field(max_length=MAX_ROTATION_RECORDS, strict=False)]


class LockCountsQuery(WireModel):
    """Asks under which locks the capsules of `records` are."""

    records: _Records


class LockCount(WireModel):
    """So many capsules of compartments, and of single-document grants, are under one version of a record's lock."""

    version: Annotated[int, Field(ge=1)]
    capsules: _Count
    personal_capsules: _Count


class RecordLocks(WireModel):
    """The lock versions of `record` that a capsule is under, and the highest one seen (0: none)."""

    record: RecordId
    highest: _Count
    locks: Annotated[tuple[LockCount, ...], Field(strict=False)]


class LockCountsAnswer(WireModel):
    """In the order of the request."""

    records: Annotated[tuple[RecordLocks, ...], Field(max_length=MAX_ROTATION_RECORDS, strict=False)]
