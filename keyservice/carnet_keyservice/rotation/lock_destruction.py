"""A batch of the destruction of retired record locks, by record (promises P06, P12).

Two officers order it, for what was retired before a time that lies behind the backup horizon. Of each record:

    1. What still stands under older locks and may be opened is put under the newest one, as a rotation does.
    2. The vault counts nothing under older locks but what opens for nobody: of a closed epoch, of a grant that is over,
       of no statement of this record, or sealed to nothing.
    3. The seals of the retired locks go, in one transaction with the event: what was sealed to them opens never again.

Where the vault is away, or hides what it counts, nothing of that record is destroyed, and the report says so.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from carnet_keyservice.lock_rotation import STILL_NEEDED, RecordRotation, RecordState, RotationOrder
from carnet_keyservice.rotation.job import Job, JobParameters, Shard, Skip
from carnet_keyservice.rotation.queries import require_current
from carnet_keyservice.rotation.records import MAX_RECORDS, end_batch, in_shard, require_rotator
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.tables import lock_seals, record_locks
from carnet_protocol.ids import RecordId
from carnet_server.deployment import Moment
from carnet_server.events import NewEvent
from carnet_server.tables import events

_MAKES_NO_LOCK: Final = -1
"""No lock is as old as this event: a rotation that is told so makes none, and only remakes what is left."""


def take_batch(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> int:
    """Do the next records of `shard`; how many things were looked at.

    Raises `RotationError`, `VaultError`, or a refusal of the database.
    """
    rotator = require_rotator(shop)
    until = require_time(job.parameters)
    limit = min(limit, MAX_RECORDS)
    records = shop.read(lambda connection: _load_records(connection, shard, until=until, limit=limit))
    order = RotationOrder(job=str(job.id), newer_than=_MAKES_NO_LOCK, by=job.by)
    looked = rotator.rotate(records, order) if records else []
    clean = [each.record for each in looked if _is_clean(each)]
    if clean:
        shop.decide(lambda moment: _destroy(moment, job, clean, until=until))
    return end_batch(shop, job, shard, looked, skips=_skips(looked), is_last=len(records) < limit)


def require_time(parameters: JobParameters) -> int:
    """Until when the locks were retired that a job destroys."""
    if parameters.retired_before is None:
        raise AssertionError("internal: a destruction of locks that says not which")
    return parameters.retired_before


def count_doomed(connection: Connection, *, until: int) -> int:
    """How many records have a lock that was retired before `until` and is not destroyed."""
    query = select(func.count(func.distinct(record_locks.c.record)))
    return connection.execute(query.join(events, _RETIREMENT).where(*_is_doomed(until))).scalar_one()


_RETIREMENT: Final = events.c.position == record_locks.c.retired


def _is_doomed(until: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return record_locks.c.destroyed.is_(None), events.c.time < until


def _load_records(connection: Connection, shard: Shard, *, until: int, limit: int) -> list[RecordId]:
    rows = connection.execute(
        select(record_locks.c.record)
        .join(events, _RETIREMENT)
        .where(
            *_is_doomed(until),
            *in_shard(shard),
        )
        .group_by(record_locks.c.record)
        .order_by(record_locks.c.record)
        .limit(limit)
    )
    return list(rows.scalars())


def _is_clean(looked: RecordRotation) -> bool:
    return looked.state is RecordState.ROTATED and not any(left.reason in STILL_NEEDED for left in looked.left)


def _destroy(moment: Moment, job: Job, records: Sequence[RecordId], *, until: int) -> None:
    connection = moment.connection
    require_current(connection, job)
    for record in records:
        versions = list(
            connection.execute(
                select(record_locks.c.version)
                .join(events, _RETIREMENT)
                .where(*_is_doomed(until), record_locks.c.record == record)
                .order_by(record_locks.c.version)
            ).scalars()
        )
        if not versions:
            continue
        named: dict[str, str | int] = {"job": str(job.id), "versions": ",".join(str(version) for version in versions)}
        event = moment.log(NewEvent("lock.destroyed", record=record, by=job.by, detail=named))
        of_these = and_(record_locks.c.record == record, record_locks.c.version.in_(versions))
        connection.execute(update(record_locks).where(of_these).values(destroyed=event.index))
        connection.execute(delete(lock_seals).where(lock_seals.c.record == record, lock_seals.c.version.in_(versions)))


def _skips(looked: Sequence[RecordRotation]) -> list[Skip]:
    skips = []
    for each in looked:
        if each.state is not RecordState.ROTATED:
            skips.append(Skip(each.record, each.version, each.state.value))
        elif not _is_clean(each):
            reason = min(left.reason for left in each.left if left.reason in STILL_NEEDED)
            skips.append(Skip(each.record, each.version, reason.value))
    return skips
