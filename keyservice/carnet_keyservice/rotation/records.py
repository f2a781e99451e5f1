"""What batches by record share: which records are of a shard, the way to the vault, and what ends a batch."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection

from carnet_keyservice.errors import RotationError
from carnet_keyservice.lock_rotation import LockRotator, RecordRotation
from carnet_keyservice.rotation.job import Job, Shard, Skip
from carnet_keyservice.rotation.queries import advance_shard, require_current
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.tables import record_locks
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_ROTATION_RECORDS

MAX_RECORDS: Final = min(50, MAX_ROTATION_RECORDS)
"""Records of one batch: a worker that is told to stop finishes them first."""


def require_rotator(shop: Workshop) -> LockRotator:
    """The way to the vault. Raises `RotationError` in a program that has none."""
    if shop.rotator is None:
        raise RotationError("this program has no way to the vault")
    return shop.rotator


def in_shard(shard: Shard) -> list[ColumnElement[bool]]:
    """Of locks: whether the record is one of `shard` that is not done yet."""
    record = record_locks.c.record
    left = [record >= RecordId(shard.first.ljust(RecordId.SIZE, b"\0")), record <= RecordId(shard.last)]
    return [*left, record > RecordId(shard.after)] if shard.after else left


def end_batch(
    shop: Workshop, job: Job, shard: Shard, done: Sequence[RecordRotation], *, skips: Sequence[Skip], is_last: bool
) -> int:
    """Note that the records in `done`, which ascend, are done but for `skips`; how many things were looked at.

    Raises `MovedOnError`.
    """
    after = done[-1].record.raw if done else shard.after

    def advance(connection: Connection) -> None:
        require_current(connection, job)
        advance_shard(connection, shard, after=after, done=len(done) - len(skips), skips=skips, is_done=is_last)

    shop.write(advance)
    return len(done) + sum(each.swapped for each in done)
