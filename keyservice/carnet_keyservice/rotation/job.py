"""A job and its shards, as rows say how far they are. Values only."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Annotated, Final

from pydantic import Field

from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.ids import Fingerprint, JobId, RecordId
from carnet_protocol.wire import UtcSeconds, WireModel

SHARDS: Final = 64
"""Into how many parts the records are cut, by the first bits of their id, which is a hash: parts of the same size."""
MAX_WORKERS: Final = 64
MAX_RATE: Final = 1_000_000
MAX_GRACE_SECONDS: Final = 90 * 86_400


@unique
class JobKind(StrEnum):
    """What is rotated: the master key, record locks, or record locks that are of another suite than is written.

    Or it is none: retired record locks are destroyed.
    """

    MASTER = "master"
    LOCKS = "locks"
    SUITE = "suite"
    DESTRUCTION = "destruction"

    @property
    def resuming(self) -> str:
        """What an operator types to go on with a job of this kind, or to follow it again."""
        return "keys destroy-locks --resume" if self is JobKind.DESTRUCTION else f"rotate {self} --resume"


@unique
class JobState(StrEnum):
    """Whether a job goes on. The last two are ends."""

    RUNNING = "running"
    PAUSED = "paused"
    ABORTING = "aborting"
    FINISHED = "finished"
    ABORTED = "aborted"


@unique
class Phase(StrEnum):
    """Where in the order a job is. Up to *grace* it can be undone."""

    PREPARE = "prepare"
    WRITE = "write"
    CHECK = "check"
    GRACE = "grace"
    DELETE = "delete"
    UNDO = "undo"
    DONE = "done"


ENDED: Final = frozenset({JobState.FINISHED, JobState.ABORTED})
UNDOABLE: Final = frozenset({Phase.PREPARE, Phase.WRITE, Phase.CHECK, Phase.GRACE})
WALKED: Final = frozenset({Phase.WRITE, Phase.DELETE, Phase.UNDO})
"""Phases in which workers walk over all records."""


class JobParameters(WireModel):
    """What whoever begins a job says. `rate` is in items a second over all workers.

    `provider` is who keeps a new master key, `retired_before` until when the locks were retired that are destroyed.
    """

    provider: str | None = None
    rate: Annotated[int, Field(ge=1, le=MAX_RATE)]
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)]
    grace_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE_SECONDS)]
    retired_before: UtcSeconds | None = None

    def text(self) -> str:
        """Canonical JSON of the parameters, as a job's row keeps them."""
        return format_canonical_json(self.model_dump(mode="json")).decode("ascii")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a job is to go on: what is None stays as it was begun."""

    rate: int | None = None
    workers: int | None = None

    def apply(self, parameters: JobParameters) -> JobParameters:
        """`parameters` at this pace."""
        return parameters.model_copy(
            update={"rate": self.rate or parameters.rate, "workers": self.workers or parameters.workers}
        )


AS_BEGUN: Final = Pace()


@dataclass(frozen=True, slots=True)
class Job:
    """A job, begun by the event `begun`. `total` counts its items.

    `old` and `new` are versions of the master key, once they are known, None where record locks are rotated.
    `by` is the officer who began it, None for whoever holds the machine. A job that stopped says the `problem`.
    """

    id: JobId
    kind: JobKind
    state: JobState
    phase: Phase
    parameters: JobParameters
    by: Fingerprint | None
    old: int | None
    new: int | None
    total: int
    begun: int
    begun_at: int
    phase_at: int
    ended_at: int | None
    problem: str | None
    report: str | None

    @property
    def versions(self) -> tuple[int, int]:
        """Old and new version of the master key; a job that writes knows both."""
        if self.old is None or self.new is None:
            raise AssertionError("internal: a job that has no versions yet")
        return self.old, self.new


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a phase: how far its walk is. `after` is the place of the last item that is done, empty before."""

    job: JobId
    phase: Phase
    number: int
    after: bytes
    done: int
    skipped: int
    is_done: bool

    @property
    def first(self) -> bytes:
        """Every record id of the shard is at least this."""
        return bytes([self.number * (256 // SHARDS)])

    @property
    def last(self) -> bytes:
        """No record id of the shard is above this."""
        return bytes([(self.number + 1) * (256 // SHARDS) - 1]) + b"\xff" * 31


@dataclass(frozen=True, slots=True)
class Skip:
    """An item that a job left as it was, and why. `version` is that of the lock."""

    record: RecordId
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the phase of a job is."""

    done: int
    skipped: int
    shards_left: int
