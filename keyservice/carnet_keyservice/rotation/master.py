"""A batch of the rotation of the master key: new seals written, read back and opened; old ones deleted.

    write    open the old seal; seal the seed under the new key; keep that beside the old; read it from the database
             again, open it, compare the seeds
    delete   of a lock that has a seal under the new key, delete the one under the old
    undo     the reverse: of a lock that has a seal under the old key, delete the one under the new

What does not open is left as it is and reported: it holds nothing up, and nothing of it is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import RotationError, SealedError
from carnet_keyservice.locks.keys import derive_aad
from carnet_keyservice.rotation.job import Job, Phase, Shard, Skip, Step
from carnet_keyservice.rotation.queries import advance_shard, require_current
from carnet_keyservice.rotation.seals import (
    NewSeal,
    Pair,
    delete_seals,
    load_pairs,
    record_of,
    replace_seals,
)
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.sealing import Secret
from carnet_protocol.ids import RecordId

UNOPENABLE: Final = "no seal of this lock opens: restore its row from a backup"
ELSEWHERE: Final = "this lock has no seal under the key that is rotated, only under others: do not destroy those"


@dataclass(slots=True)
class _Plan:
    """What is to be written for a batch, the seeds to compare with, and what cannot be written."""

    seeds: dict[tuple[bytes, int], Secret]
    seals: list[NewSeal]
    broken: list[NewSeal]
    skips: list[Skip]


def take_batch(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> Step:
    """Do the next `limit` locks of `shard`. Raises `RotationError`, `MasterKeyError` or a refusal of the database."""
    old, new = job.versions
    match shard.phase:
        case Phase.WRITE:
            return _write(shop, job, shard, limit=limit)
        case Phase.DELETE:
            return _delete(shop, job, shard, gone=old, kept=new, limit=limit)
        case Phase.UNDO:
            return _delete(shop, job, shard, gone=new, kept=old, limit=limit)
        case _:
            raise AssertionError("internal: a phase in which nobody walks")


def _write(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> Step:
    old, new = job.versions
    pairs = shop.read(lambda connection: load_pairs(connection, shard, old=old, new=new, limit=limit))
    plan = _plan(shop, pairs, old=old, new=new)

    def keep(connection: Connection) -> None:
        require_current(connection, job)
        replace_seals(connection, plan.seals, old=old, new=new, broken=plan.broken)

    if plan.seals:
        shop.write(keep)
    is_last = len(pairs) < limit
    after = pairs[-1].place if pairs else shard.after

    def check(connection: Connection) -> None:
        require_current(connection, job)
        if plan.seals:
            again = load_pairs(connection, shard, old=old, new=new, limit=limit)
            _require_opened(shop, again, plan.seeds, new=new)
        advance_shard(
            connection, shard, after=after, done=len(pairs) - len(plan.skips), skips=plan.skips, is_done=is_last
        )

    shop.write(check)
    return Step(len(pairs), is_last)


def _plan(shop: Workshop, pairs: Sequence[Pair], *, old: int, new: int) -> _Plan:
    plan = _Plan({}, [], [], [])
    for pair in pairs:
        name = (pair.record, pair.version)
        seed = _open(shop, pair, pair.old, version=old)
        if seed is None:
            # Where only the new one opens, an earlier run was cut off while it deleted: nothing is left to do.
            if _open(shop, pair, pair.new, version=new) is None:
                # What an earlier rotation left is left again: else it would be lacking at each check.
                reason = ELSEWHERE if pair.old is None and pair.new is None else UNOPENABLE
                plan.skips.append(Skip(record_of(pair), pair.version, reason))
            continue
        if pair.new is not None:
            found = _open(shop, pair, pair.new, version=new)
            if found is not None and found.is_same_as(seed):
                continue
            plan.broken.append(NewSeal(pair.record, pair.version, pair.new))
        plan.seeds[name] = seed
        plan.seals.append(NewSeal(pair.record, pair.version, _seal(shop, pair, seed, version=new)))
    return plan


def _require_opened(shop: Workshop, pairs: Sequence[Pair], seeds: dict[tuple[bytes, int], Secret], *, new: int) -> None:
    """Check that what the database gives back opens to the seeds. Raises `RotationError`."""
    for pair in pairs:
        seed = seeds.get((pair.record, pair.version))
        if seed is None or pair.old is None:  # not ours, or erased meanwhile
            continue
        found = _open(shop, pair, pair.new, version=new)
        if found is None or not found.is_same_as(seed):
            raise RotationError("a seal that was just written does not open: check the disk and the database")


def _delete(shop: Workshop, job: Job, shard: Shard, *, gone: int, kept: int, limit: int) -> Step:
    def work(connection: Connection) -> Step:
        require_current(connection, job)
        after, looked_at, staying = delete_seals(connection, shard, gone=gone, kept=kept, limit=limit)
        is_last = looked_at < limit
        advance_shard(
            connection,
            shard,
            after=after or shard.after,
            done=looked_at - staying,
            skips=(),
            is_done=is_last,
        )
        return Step(looked_at, is_last)

    return shop.write(work)


def _open(shop: Workshop, pair: Pair, sealed: bytes | None, *, version: int) -> Secret | None:
    if sealed is None:
        return None
    try:
        return shop.ring.open(sealed, aad=derive_aad(RecordId(pair.record), pair.version, version), version=version)
    except SealedError:
        return None


def _seal(shop: Workshop, pair: Pair, seed: Secret, *, version: int) -> bytes:
    return shop.ring.seal(seed, aad=derive_aad(RecordId(pair.record), pair.version, version), version=version)
