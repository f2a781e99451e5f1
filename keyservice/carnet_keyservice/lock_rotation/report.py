"""What a rotation is told to do, and what it says of each record afterwards. Values only."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from carnet_protocol.ids import DocumentId, Fingerprint, RecordId, StatementHash
from carnet_protocol.tuples import KeyRole


@dataclass(frozen=True, slots=True)
class RotationOrder:
    """Whose job this is.

    A record's lock that was made by the event `newer_than` or before it is to be replaced: the index of the event that
    began the job, so that the job makes one version however often it is started, and none where the patient made one
    since. `by` is the officer, None for the machine; `job` names the job in the events.
    """

    job: str
    newer_than: int
    by: Fingerprint | None


@unique
class LeftReason(StrEnum):
    """Why a capsule stays under an older lock. None of these holds up another capsule."""

    LOCK_UNKNOWN = "its lock statement is none of this record"
    LOCK_GONE = "its lock was destroyed"
    LOCK_CLOSED = "its lock does not open now: see the master keys, and run fsck"
    DOES_NOT_OPEN = "its outer lock does not open"
    DOES_NOT_REOPEN = "its new outer lock did not open again to the same inner lock"
    EPOCH_UNKNOWN = "its compartment statement is none of this record"
    EPOCH_CLOSED = "its epoch is closed"
    GRANT_OVER = "its grant is none of this record for this document and grantee, or is over"


STILL_NEEDED: Final = frozenset({LeftReason.LOCK_CLOSED, LeftReason.DOES_NOT_REOPEN})
"""Reasons for which a capsule may yet be remade, or opened as it is: its lock is neither retired nor destroyed."""


@dataclass(frozen=True, slots=True)
class LeftCapsule:
    """A capsule that stays where it is; `grant` is None for a compartment's."""

    document: DocumentId
    version: int
    role: KeyRole
    grant: StatementHash | None
    reason: LeftReason


@unique
class RecordState(StrEnum):
    """Where the rotation of a record stands. `ROTATED` alone may be retired after."""

    ROTATED = "rotated"
    NO_LOCK = "no lock was ever made for it"
    FULL = "it has as many lock versions as a record can have"
    LOCK_DOES_NOT_OPEN = "its newest lock does not open: run fsck, and see the master keys"
    UNKNOWN_TO_VAULT = "the vault does not know it"
    VAULT_AHEAD = "the vault has seen a newer lock than this key service has: is its database an old copy?"
    NOT_NOW = "the vault does not take the lock statement now: see the clocks"
    CONTENDED = "locks or capsules changed each time they were looked at: run it again"
    HIDDEN = "the vault counts capsules under older locks that it does not show"


@dataclass(frozen=True, slots=True)
class RecordRotation:
    """What became of one record: how many capsules now stand under the lock `version`, and which do not.

    `at` is when that was known: the grace of readers who hold older capsules begins then.
    """

    record: RecordId
    state: RecordState
    version: int
    swapped: int
    left: tuple[LeftCapsule, ...]
    at: int
