"""A batch of the rotation of record locks, by record: key service and vault together (`lock_rotation`).

    write    a new lock for each record, every capsule remade under it and swapped at the vault
    delete   the vault is asked again; where nothing is left under older locks, these are retired

What is rotated stays rotated: a job that is undone leaves records under new locks and others under old ones, and both
open. Where a capsule stays under an older lock because nobody may open it any more, nothing is said of it.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from carnet_keyservice.lock_rotation import LeftReason, RecordRotation, RecordState, RotationOrder
from carnet_keyservice.rotation.job import Job, JobKind, Phase, Shard, Skip
from carnet_keyservice.rotation.records import MAX_RECORDS, end_batch, in_shard, require_rotator
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.tables import record_locks
from carnet_protocol.ids import RecordId
from carnet_protocol.suites import Suite

_QUIET: Final = frozenset({LeftReason.EPOCH_CLOSED, LeftReason.GRANT_OVER})
_later: Final = record_locks.alias("later")
_IS_NEWEST: Final = and_(
    record_locks.c.destroyed.is_(None),
    ~exists().where(_later.c.record == record_locks.c.record, _later.c.version > record_locks.c.version),
)


def take_batch(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> int:
    """Do the next records of `shard`; how many things were looked at.

    Raises `RotationError`, `VaultError`, or a refusal of the database.
    """
    rotator = require_rotator(shop)
    limit = min(limit, MAX_RECORDS)
    records = shop.read(
        lambda connection: _load_records(connection, job, shard, limit=limit, suite=shop.deployment.write_suite)
    )
    order = RotationOrder(job=str(job.id), newer_than=job.begun, by=job.by)
    rotated = rotator.rotate(records, order) if records else []
    if shard.phase is Phase.DELETE:
        rotator.retire(rotated, order, grace_seconds=0)
    return end_batch(shop, job, shard, rotated, skips=_skips(rotated), is_last=len(records) < limit)


def count_records(connection: Connection, kind: JobKind, suite: Suite) -> int:
    """How many records a job of `kind` is about, in a deployment that writes `suite`."""
    wanted = [_IS_NEWEST]
    if kind is JobKind.SUITE:
        wanted.append(record_locks.c.suite != int(suite))
    return connection.execute(select(func.count()).where(*wanted)).scalar_one()


def _load_records(connection: Connection, job: Job, shard: Shard, *, limit: int, suite: Suite) -> list[RecordId]:
    rows = connection.execute(
        select(record_locks.c.record)
        .where(
            _IS_NEWEST,
            _is_wanted(job, shard.phase, suite),
            *in_shard(shard),
        )
        .order_by(record_locks.c.record)
        .limit(limit)
    )
    return list(rows.scalars())


def _is_wanted(job: Job, phase: Phase, suite: Suite) -> ColumnElement[bool]:
    """Of newest locks: whether the job is to replace it, or put it there."""
    is_of_job = record_locks.c.made > job.begun
    if phase is Phase.DELETE:
        return is_of_job
    if job.kind is JobKind.SUITE:
        return or_(is_of_job, record_locks.c.suite != int(suite))
    return record_locks.c.record.is_not(None)


def _skips(rotated: Sequence[RecordRotation]) -> list[Skip]:
    skips = []
    for each in rotated:
        loud = sorted({left.reason for left in each.left} - _QUIET)
        if each.state is not RecordState.ROTATED:
            skips.append(Skip(each.record, each.version, each.state.value))
        elif loud:
            skips.append(Skip(each.record, each.version, f"a capsule stays under an older lock: {loud[0].value}"))
    return skips
