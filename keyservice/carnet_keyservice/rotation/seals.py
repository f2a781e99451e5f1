"""Seals of record locks in bulk, at the driver: a batch is one statement, whatever its size. Never commits.

A place is `record (32) || u32 version`, big-endian: places are in the order of the rows' key.

Statements about known places say `master_key_version + 0`, which no index helps with. There is one on that column, for
whoever counts; until PostgreSQL next analyses the table it believes that nothing is sealed under a new key, would take
that index, and each batch would read all seals that were written before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, func, or_, select

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


def delete_seals(connection: Connection, shard: Shard, *, gone: int, kept: int, limit: int) -> tuple[bytes, int, int]:
    """Delete the next seals of `shard` under `gone`, of locks that have one under `kept`.

    Returns the place of the last lock that was looked at, empty at the end of the shard, how many were looked at, and
    how many seals stay because there is none under `kept`.
    """
    pairs = load_pairs(connection, shard, old=gone, new=kept, limit=limit)
    if not pairs:
        return b"", 0, 0
    places = [(pair.record, pair.version) for pair in pairs if pair.old is not None and pair.new is not None]
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_BY_PLACE)
        connection.exec_driver_sql(
            "DELETE FROM lock_seals USING unnest(%s::bytea[], %s::bigint[]) AS gone (record, version)"
            " WHERE lock_seals.record = gone.record AND lock_seals.version = gone.version"
            " AND lock_seals.master_key_version + 0 = %s"
            " AND EXISTS (SELECT 1 FROM lock_seals AS kept WHERE kept.record = gone.record"
            " AND kept.version = gone.version AND kept.master_key_version + 0 = %s)",
            ([record for record, _ in places], [version for _, version in places], gone, kept),
        )
    elif places:
        connection.exec_driver_sql(
            "DELETE FROM lock_seals WHERE record = ? AND version = ? AND master_key_version = ?"
            " AND EXISTS (SELECT 1 FROM lock_seals AS kept WHERE kept.record = lock_seals.record"
            " AND kept.version = lock_seals.version AND kept.master_key_version = ?)",
            [(record, version, gone, kept) for record, version in places],
        )
    staying = sum(pair.old is not None and pair.new is None for pair in pairs)
    return pairs[-1].place, len(pairs), staying


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
    skipped = exists().where(
        job_skips.c.job == job,
        job_skips.c.record == record_locks.c.record,
        job_skips.c.version == record_locks.c.version,
    )
    return connection.execute(
        select(func.count()).where(
            record_locks.c.destroyed.is_(None),
            exists().where(place),
            ~exists().where(place, lock_seals.c.master_key_version == master_key_version),
            ~skipped,
        )
    ).scalar_one()


def load_late(connection: Connection, *, since: int) -> Iterator[SealedLock]:
    """The locks that were made since the event `since`, with their seals."""
    return read_sealed(connection.execute(SEALED.where(record_locks.c.made > since).order_by(*SEALED_ORDER)))


def record_of(pair: Pair) -> RecordId:
    """The record of `pair`."""
    return RecordId(pair.record)
