"""Record locks and their statements in the database. Never commits."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, func, insert, select, update

from carnet_keyservice.master_keys.state import RELEASING, KeyState
from carnet_keyservice.tables import lock_seals, lock_statements, master_keys, record_locks
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import Suite
from carnet_server.tables import statements


@dataclass(frozen=True, slots=True)
class RecordLock:
    """One version of a record's lock: its public half."""

    record: RecordId
    version: int
    suite: Suite
    lock_key: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """The private half of a lock, sealed under a master key."""

    master_key_version: int
    sealed_seed: bytes


@dataclass(frozen=True, slots=True)
class SealedLock:
    """A lock with its seals, each of which holds the same private half; the one to open first comes first."""

    lock: RecordLock
    seals: tuple[Seal, ...]


@dataclass(frozen=True, slots=True)
class LockRow:
    """A lock in use since the event `made`; from the event `retired` on it is released no more."""

    lock: RecordLock
    made: int
    retired: int | None


@dataclass(frozen=True, slots=True)
class LockStatementRow:
    """The lock statement that was issued last for a record."""

    hash: StatementHash
    version: int
    expires: int
    jws: str


_NEWEST = (
    select(record_locks)
    .where(record_locks.c.record == bindparam("of"))
    .order_by(record_locks.c.version.desc())
    .limit(1)
)
_NEWEST_STATEMENT = (
    select(lock_statements.c.hash, lock_statements.c.version, lock_statements.c.expires, statements.c.jws)
    .join(statements, statements.c.hash == lock_statements.c.hash)
    .where(lock_statements.c.record == bindparam("of"))
    .order_by(lock_statements.c.event.desc())
    .limit(1)
)
SEALED: Final = (
    select(record_locks, lock_seals.c.master_key_version, lock_seals.c.sealed_seed)
    .join(
        lock_seals, and_(lock_seals.c.record == record_locks.c.record, lock_seals.c.version == record_locks.c.version)
    )
    .join(master_keys, master_keys.c.version == lock_seals.c.master_key_version)
)
"""Every seal, beside its lock."""
SEALED_ORDER: Final = (
    record_locks.c.record,
    record_locks.c.version,
    case((master_keys.c.state == KeyState.ACTIVE.value, 0), else_=1),
    lock_seals.c.master_key_version.desc(),
)
"""Locks one after the other, and first of each the seal under the active master key."""
_ONE = select(record_locks).where(
    record_locks.c.record == bindparam("of"), record_locks.c.version == bindparam("wanted")
)


def find_lock(connection: Connection, record: RecordId, version: int) -> LockRow | None:
    """The lock `version` of `record`."""
    return _lock(connection.execute(_ONE, {"of": record, "wanted": version}).first())


def find_newest_lock(connection: Connection, record: RecordId) -> LockRow | None:
    """The newest lock of `record`, which capsules are sealed to."""
    return _lock(connection.execute(_NEWEST, {"of": record}).first())


def find_newest_statement(connection: Connection, record: RecordId) -> LockStatementRow | None:
    """The lock statement issued last for `record`; it is one of the newest version."""
    row = connection.execute(_NEWEST_STATEMENT, {"of": record}).first()
    return None if row is None else LockStatementRow(row.hash, row.version, row.expires, row.jws)


def load_releasing(connection: Connection, record: RecordId, versions: Collection[int]) -> list[SealedLock]:
    """As `load_sealed`, with the seals under master keys in use alone: a retired one opens nothing for a release."""
    return load_sealed(connection, record, versions, master_keys.c.state.in_([state.value for state in RELEASING]))


def load_sealed(
    connection: Connection, record: RecordId, versions: Collection[int], *conditions: ColumnElement[bool]
) -> list[SealedLock]:
    """The locks of `record` in these `versions` that are not destroyed, with the seals of which `conditions` hold."""
    wanted = record_locks.c.record == record, record_locks.c.version.in_(versions), *conditions
    return list(read_sealed(connection.execute(SEALED.where(*wanted).order_by(*SEALED_ORDER))))


def insert_lock(connection: Connection, sealed: SealedLock, *, made: int) -> None:
    """Keep a new lock, in use since the event `made`."""
    lock = sealed.lock
    connection.execute(
        insert(record_locks),
        {
            "record": lock.record,
            "version": lock.version,
            "suite": int(lock.suite),
            "lock_key": lock.lock_key,
            "made": made,
            "retired": None,
            "destroyed": None,
        },
    )
    connection.execute(
        insert(lock_seals),
        [
            {
                "record": lock.record,
                "version": lock.version,
                "master_key_version": seal.master_key_version,
                "sealed_seed": seal.sealed_seed,
            }
            for seal in sealed.seals
        ],
    )


def insert_lock_statement(connection: Connection, signed: Signed[Lock], *, event: int) -> None:
    """Keep a lock statement as the one issued last."""
    body = signed.body
    connection.execute(
        insert(lock_statements),
        {
            "hash": signed.hash,
            "record": body.record,
            "version": body.version,
            "expires": body.expires,
            "event": event,
        },
    )


def retire_lock(connection: Connection, record: RecordId, version: int, *, event: int) -> None:
    """Mark the lock as retired by `event`."""
    connection.execute(
        update(record_locks)
        .where(record_locks.c.record == record, record_locks.c.version == version)
        .values(retired=event)
    )


def find_versions_in_use(connection: Connection, record: RecordId, *, below: int) -> list[int]:
    """The versions of the lock of `record` below `below` that are not retired."""
    rows = connection.execute(
        select(record_locks.c.version)
        .where(record_locks.c.record == record, record_locks.c.version < below, record_locks.c.retired.is_(None))
        .order_by(record_locks.c.version)
    )
    return list(rows.scalars())


def count_by_master_key(connection: Connection) -> dict[int, int]:
    """How many locks are sealed under each master key version; one may be sealed under several."""
    rows = connection.execute(
        select(lock_seals.c.master_key_version, func.count().label("locks")).group_by(lock_seals.c.master_key_version)
    )
    return {row.master_key_version: row.locks for row in rows}


def count_under(connection: Connection, master_key_version: int) -> int:
    """How many locks are sealed under one master key version."""
    return connection.execute(
        select(func.count()).where(lock_seals.c.master_key_version == master_key_version)
    ).scalar_one()


def count_retired(connection: Connection) -> int:
    """How many locks are retired."""
    return connection.execute(select(func.count()).where(record_locks.c.retired.is_not(None))).scalar_one()


def find_oldest_expiry(connection: Connection) -> int | None:
    """When the first of the records' newest lock statements ceases to be good for sealing, None without any."""
    newest = select(func.max(lock_statements.c.event).label("event")).group_by(lock_statements.c.record).subquery()
    return connection.execute(
        select(func.min(lock_statements.c.expires)).join(newest, newest.c.event == lock_statements.c.event)
    ).scalar()


def _lock(row: Row[Any] | None) -> LockRow | None:
    return None if row is None else LockRow(read_lock(row), row.made, row.retired)


def read_lock(row: Row[Any]) -> RecordLock:
    """The lock in a row of `record_locks`."""
    return RecordLock(record=row.record, version=row.version, suite=Suite(row.suite), lock_key=row.lock_key)


def read_sealed(rows: Iterable[Row[Any]]) -> Iterator[SealedLock]:
    """The locks in rows of `SEALED`, of which those of one lock follow each other."""
    for _, group in groupby(rows, key=lambda row: (row.record, row.version)):
        of_one = list(group)
        yield SealedLock(read_lock(of_one[0]), tuple(Seal(row.master_key_version, row.sealed_seed) for row in of_one))
