"""Seals of record locks in bulk, at the driver: a batch is one statement, whatever its size. Never commits.

A place is `record (32) || u32 version`, big-endian: places are in the order of the rows' key.

Statements about known places say `master_key_version + 0`, which no index helps with. There is one on that column, for
whoever counts; until PostgreSQL next analyses the table it believes that nothing is sealed under a new key, would take
that index, and each batch would read all seals that were written before it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Exists, Select, and_, bindparam, delete, exists, func, or_, select

from carnet_keyservice.locks.queries import SEALED, SEALED_ORDER, SealedLock, read_sealed
from carnet_keyservice.rotation.job import Shard
from carnet_keyservice.tables import job_skips, lock_seals, record_locks
from carnet_protocol.ids import JobId, RecordId
from carnet_server.prepared import Prepared

_BY_PLACE: Final = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
"""Joins a batch with tables of any size by a loop over its places, until the transaction ends."""
_RECORD_SIZE: Final = 32
_OLD: Final = lock_seals.alias("old_seals")
_NEW: Final = lock_seals.alias("new_seals")


@dataclass(frozen=True, slots=True)
class Pair:
    """A lock with its seals under the old and the new master key, as far as there are any."""

    record: bytes
    version: int
    old: bytes | None
    new: bytes | None

    @property
    def place(self) -> bytes:
        """Where it stands."""
        return format_place(self.record, self.version)


@dataclass(frozen=True, slots=True)
class NewSeal:
    """A seal to be kept."""

    record: bytes
    version: int
    sealed_seed: bytes


def format_place(record: bytes, version: int) -> bytes:
    """The place of a lock."""
    return record + version.to_bytes(4, "big")


def parse_place(place: bytes) -> tuple[bytes, int]:
    """Record and version at `place`; the empty one is before every other."""
    return place[:_RECORD_SIZE], int.from_bytes(place[_RECORD_SIZE:], "big")


def _of(seals: Any, name: str) -> Any:  # noqa: ANN401  an alias of SQLAlchemy's, and its condition
    return and_(
        seals.c.record == record_locks.c.record,
        seals.c.version == record_locks.c.version,
        seals.c.master_key_version + 0 == bindparam(name),
    )


def _walk() -> Select[Any]:
    """Locks of a shard that are not destroyed, behind a place, in order."""
    key = record_locks.c
    return (
        # Not outer joins: those PostgreSQL may plan as a pass over every seal there is, for each batch.
        select(
            key.record,
            key.version,
            select(_OLD.c.sealed_seed).where(_of(_OLD, "old")).correlate(record_locks).scalar_subquery(),
            select(_NEW.c.sealed_seed).where(_of(_NEW, "new")).correlate(record_locks).scalar_subquery(),
        )
        .where(
            key.record >= bindparam("first"),
            key.record <= bindparam("last"),
            or_(
                key.record > bindparam("after_record"),
                and_(key.record == bindparam("after_record"), key.version > bindparam("after_version")),
            ),
            key.destroyed.is_(None),
        )
        .order_by(key.record, key.version)
        .limit(bindparam("many"))
    )


_WALK: Final = Prepared(_walk())


def load_pairs(connection: Connection, shard: Shard, *, old: int, new: int, limit: int) -> list[Pair]:
    """The next `limit` locks of `shard`."""
    record, version = parse_place(shard.after)
    first = max(shard.first, record)
    rows = _WALK.rows(
        connection,
        old=old,
        new=new,
        first=first,
        last=shard.last,
        after_record=record,
        after_version=version,
        many=limit,
    )
    return [Pair(*row) for row in rows]


def replace_seals(
    connection: Connection, seals: Sequence[NewSeal], *, old: int, new: int, broken: Sequence[NewSeal]
) -> None:
    """Keep `seals` under `new`, beside those under `old`, and nothing for a lock that has none there any more.

    `broken` ones under `new` go before, byte for byte: they are what a cut-off write left, and open with nothing. On
    PostgreSQL the rows of the locks are share-locked: whoever destroys one waits for this batch, or is seen by it.
    Where they waited, they did not see what the batch wrote: `sweep_destroyed` does.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_BY_PLACE)
        if broken:
            connection.exec_driver_sql(
                "DELETE FROM lock_seals USING unnest(%s::bytea[], %s::bigint[], %s::bytea[])"
                " AS gone (record, version, sealed_seed)"
                " WHERE lock_seals.record = gone.record AND lock_seals.version = gone.version"
                " AND lock_seals.sealed_seed = gone.sealed_seed AND master_key_version + 0 = %s",
                (
                    [seal.record for seal in broken],
                    [seal.version for seal in broken],
                    [seal.sealed_seed for seal in broken],
                    new,
                ),
            )
        columns = (
            [seal.record for seal in seals],
            [seal.version for seal in seals],
            [seal.sealed_seed for seal in seals],
        )
        connection.exec_driver_sql(
            "INSERT INTO lock_seals (record, version, master_key_version, sealed_seed)"
            " SELECT given.record, given.version, %s::bigint, given.sealed_seed"
            " FROM unnest(%b::bytea[], %b::bigint[], %b::bytea[]) AS given (record, version, sealed_seed)"
            " JOIN record_locks ON record_locks.record = given.record AND record_locks.version = given.version"
            " AND record_locks.destroyed IS NULL"
            " JOIN lock_seals AS old_seals ON old_seals.record = given.record"
            " AND old_seals.version = given.version AND old_seals.master_key_version + 0 = %s"
            " FOR SHARE OF record_locks ON CONFLICT DO NOTHING",
            (new, *columns, old),
        )
        return
    if broken:
        connection.exec_driver_sql(
            "DELETE FROM lock_seals WHERE record = ? AND version = ? AND master_key_version = ? AND sealed_seed = ?",
            [(seal.record, seal.version, new, seal.sealed_seed) for seal in broken],
        )
    connection.exec_driver_sql(
        "INSERT OR IGNORE INTO lock_seals (record, version, master_key_version, sealed_seed)"
        " SELECT record, version, ?, ? FROM lock_seals WHERE record = ? AND version = ? AND master_key_version = ?",
        [(new, seal.sealed_seed, seal.record, seal.version, old) for seal in seals],
    )


def load_seals(connection: Connection, pair: Pair) -> list[tuple[int, bytes]]:
    """Every seal of the lock of `pair`: the version of its master key, and the seal."""
    rows = connection.execute(
        select(lock_seals.c.master_key_version, lock_seals.c.sealed_seed).where(
            lock_seals.c.record == RecordId(pair.record), lock_seals.c.version == pair.version
        )
    )
    return [(row.master_key_version, row.sealed_seed) for row in rows]


def delete_seals(
    connection: Connection, places: Sequence[tuple[bytes, int]], *, gone: Collection[int], kept: int
) -> None:
    """Delete the seals under `gone` of the locks at `places`, record and version, that have one under `kept`."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_BY_PLACE)
        connection.exec_driver_sql(
            "DELETE FROM lock_seals USING unnest(%s::bytea[], %s::bigint[]) AS gone (record, version)"
            " WHERE lock_seals.record = gone.record AND lock_seals.version = gone.version"
            " AND lock_seals.master_key_version + 0 = ANY (%s::bigint[])"
            " AND EXISTS (SELECT 1 FROM lock_seals AS kept WHERE kept.record = gone.record"
            " AND kept.version = gone.version AND kept.master_key_version + 0 = %s)",
            ([record for record, _ in places], [version for _, version in places], list(gone), kept),
        )
    elif places and gone:
        connection.exec_driver_sql(
            "DELETE FROM lock_seals WHERE record = ? AND version = ? AND master_key_version = ?"
            " AND EXISTS (SELECT 1 FROM lock_seals AS kept WHERE kept.record = lock_seals.record"
            " AND kept.version = lock_seals.version AND kept.master_key_version = ?)",
            [(record, version, each, kept) for record, version in places for each in gone],
        )


def sweep_destroyed(connection: Connection) -> None:
    """Delete what a batch wrote for a lock that was destroyed at the same moment."""
    destroyed = exists().where(
        record_locks.c.record == lock_seals.c.record,
        record_locks.c.version == lock_seals.c.version,
        record_locks.c.destroyed.is_not(None),
    )
    connection.execute(delete(lock_seals).where(destroyed))


def count_locks(connection: Connection) -> int:
    """How many locks are not destroyed."""
    return connection.execute(select(func.count()).where(record_locks.c.destroyed.is_(None))).scalar_one()


def count_lacking(connection: Connection, master_key_version: int, *, job: JobId) -> int:
    """How many locks have no seal under `master_key_version`, of those that are sealed and that `job` did not skip."""
    place = and_(lock_seals.c.record == record_locks.c.record, lock_seals.c.version == record_locks.c.version)
    return connection.execute(
        select(func.count()).where(
            record_locks.c.destroyed.is_(None),
            exists().where(place),
            ~exists().where(place, lock_seals.c.master_key_version == master_key_version),
            ~_is_skipped(job),
        )
    ).scalar_one()


def load_late(connection: Connection, job: JobId, *, since: int) -> Iterator[SealedLock]:
    """The locks that were made since the event `since` and that `job` did not skip, with their seals."""
    late = record_locks.c.made > since, ~_is_skipped(job)
    return read_sealed(connection.execute(SEALED.where(*late).order_by(*SEALED_ORDER)))


def _is_skipped(job: JobId) -> Exists:
    return exists().where(
        job_skips.c.job == job,
        job_skips.c.record == record_locks.c.record,
        job_skips.c.version == record_locks.c.version,
    )


def record_of(pair: Pair) -> RecordId:
    """The record of `pair`."""
    return RecordId(pair.record)
