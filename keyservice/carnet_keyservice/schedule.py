"""What the security team is to do next: how old keys are, which retired ones may go, whether a rotation needs somebody.

Cheap enough to be asked every few seconds of a database with millions of locks: the oldest lock in use is the first
entry of an index that holds those in use alone, whether anything is sealed under a key one look into another.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, exists, func, select

from carnet_keyservice.master_keys.queries import MasterKeyRow, load_master_keys
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation.destruction import OUT_OF_USE
from carnet_keyservice.rotation.job import Job, JobState, Progress
from carnet_keyservice.rotation.queries import count_progress, find_unfinished
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.tables import IN_USE, lock_seals, record_locks
from carnet_keyservice.words import DAY
from carnet_server.tables import events


@dataclass(frozen=True, slots=True)
class Policy:
    """How old keys may become, and how long after its retirement a master key is kept, in seconds."""

    master_key_seconds: int
    record_lock_seconds: int
    backup_horizon_seconds: int

    @classmethod
    def of(cls, settings: KeyServiceSettings) -> "Policy":
        """What `settings` say."""
        return cls(
            master_key_seconds=settings.master_key_days * DAY,
            record_lock_seconds=settings.record_lock_days * DAY,
            backup_horizon_seconds=settings.backup_horizon_days * DAY,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the active master key and the oldest record lock in use were made, and what waits for somebody.

    `unconfirmed` are versions that are destroyed here, but not yet by their provider.
    """

    master_key_made_at: int | None
    oldest_lock_made_at: int | None
    destroyable: tuple[int, ...]
    unconfirmed: tuple[int, ...]
    job: Job | None
    progress: Progress

    @property
    def needs_somebody(self) -> bool:
        """Whether a rotation stands still, or stumbles over something."""
        return self.job is not None and (self.job.state is JobState.PAUSED or self.job.problem is not None)


def load_schedule(connection: Connection, policy: Policy, *, now: int) -> Schedule:
    """How things stand at `now`."""
    keys = load_master_keys(connection)
    job = find_unfinished(connection)
    return Schedule(
        master_key_made_at=next((row.made_at for row in keys if row.state is KeyState.ACTIVE), None),
        oldest_lock_made_at=_find_oldest_lock(connection),
        destroyable=tuple(
            row.version for row in keys if job is None and _is_destroyable(connection, policy, row, now=now)
        ),
        unconfirmed=tuple(row.version for row in keys if row.state is KeyState.DESTROYED and row.check_value),
        job=job,
        progress=Progress(0, 0, 0) if job is None else count_progress(connection, job.id, job.phase),
    )


def _find_oldest_lock(connection: Connection) -> int | None:
    # Events are in the order of time, so the first event is that of the oldest lock.
    first = select(func.min(record_locks.c.made)).where(IN_USE).scalar_subquery()
    return connection.execute(select(events.c.time).where(events.c.position == first)).scalar()


def _is_destroyable(connection: Connection, policy: Policy, row: MasterKeyRow, *, now: int) -> bool:
    """What `keys destroy` would find of `row`, orders aside; a key that never came into use is kept for a rotation."""
    if row.state not in OUT_OF_USE - {KeyState.PRE_ACTIVATION} or row.is_sealing:
        return False
    if now < row.changed_at + policy.backup_horizon_seconds:
        return False
    is_used = select(exists().where(lock_seals.c.master_key_version == row.version))
    return not connection.execute(is_used).scalar_one()
