"""A batch of the rotation of the master key: new seals written, read back and opened; old ones deleted.

    write    open the old seal; seal the seed under the new key; keep that beside the old; read it from the database
             again, open it, compare the seeds
    delete   of a lock whose seal under the new key opens, delete all others
    undo     the reverse: of a lock whose seal under the old key opens, delete the one under the new

A lock with no good seal under the old key, but under one of before, as after a restore, is brought along from that.
What does not open is left as it is and reported: it holds nothing up, and nothing of it is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import MasterKeyError, RotationError, SealedError
from carnet_keyservice.locks.keys import derive_aad
from carnet_keyservice.master_keys.queries import load_master_keys
from carnet_keyservice.rotation.job import Job, Phase, Shard, Skip
from carnet_keyservice.rotation.queries import advance_shard, require_current
from carnet_keyservice.rotation.seals import (
    NewSeal,
    Pair,
    delete_seals,
    load_pairs,
    load_seals,
    record_of,
    replace_seals,
)
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.sealing import Secret
from carnet_protocol.ids import RecordId

UNOPENABLE: Final = "no seal of this lock opens: restore its row from a backup"
DAMAGED: Final = "the seal that was to stay does not open, so the other one stays too: rotate again"
_UNREADABLE: Final = "a seal that was just written does not open: check the disk and the database"


@dataclass(slots=True)
class _Plan:
    """What is to be written for a batch, the seeds to compare with, and what cannot be written."""

    seeds: dict[tuple[bytes, int], Secret]
    seals: list[NewSeal]
    broken: list[NewSeal]
    lost: list[Pair]
    skips: list[Skip]


def take_batch(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> int:
    """Do the next `limit` locks of `shard`; how many were looked at.

    Raises `RotationError`, `MasterKeyError` or a refusal of the database.
    """
    old, new = job.versions
    match shard.phase:
        case Phase.WRITE:
            return _write(shop, job, shard, limit=limit)
        case Phase.DELETE:
            return _delete(shop, job, shard, kept=new, limit=limit)
        case Phase.UNDO:
            return _delete(shop, job, shard, kept=old, limit=limit)
        case _:
            raise AssertionError("internal: a phase in which nobody walks")


def _write(shop: Workshop, job: Job, shard: Shard, *, limit: int) -> int:
    old, new = job.versions
    pairs = shop.read(lambda connection: load_pairs(connection, shard, old=old, new=new, limit=limit))
    plan = _plan(shop, pairs, old=old, new=new)
    if plan.seals:
        _keep(shop, job, plan.seals, source=old, broken=plan.broken)
    plan.skips += [skip for pair in plan.lost if (skip := _bring_along(shop, job, pair)) is not None]
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
    return len(pairs)


def _plan(shop: Workshop, pairs: Sequence[Pair], *, old: int, new: int) -> _Plan:
    plan = _Plan({}, [], [], [], [])
    for pair in pairs:
        name = (pair.record, pair.version)
        seed = _open(shop, pair, pair.old, version=old)
        if seed is None:
            # Where only the new one opens, an earlier run was cut off while it deleted: nothing is left to do.
            if _open(shop, pair, pair.new, version=new) is None:
                plan.lost.append(pair)
            continue
        if pair.new is not None:
            found = _open(shop, pair, pair.new, version=new)
            if found is not None and found.is_same_as(seed):
                continue
            plan.broken.append(NewSeal(pair.record, pair.version, pair.new))
        plan.seeds[name] = seed
        plan.seals.append(NewSeal(pair.record, pair.version, _seal(shop, pair, seed, version=new)))
    return plan


def _bring_along(shop: Workshop, job: Job, pair: Pair) -> Skip | None:
    """Seal a lock under the new key from whatever other seal of it opens; None if one did. Raises as `take_batch`."""
    old, new = job.versions
    for version, sealed in shop.read(lambda connection: load_seals(connection, pair)):
        seed = None if version in {old, new} else _open_if_here(shop, pair, sealed, version=version)
        if seed is None:
            continue
        seal = NewSeal(pair.record, pair.version, _seal(shop, pair, seed, version=new))
        broken = [] if pair.new is None else [NewSeal(pair.record, pair.version, pair.new)]
        _keep(shop, job, [seal], source=version, broken=broken)
        again = dict(shop.read(lambda connection: load_seals(connection, pair)))
        found = _open(shop, pair, again.get(new), version=new)
        if again and (found is None or not found.is_same_as(seed)):
            raise RotationError(_UNREADABLE)
        return None
    return Skip(record_of(pair), pair.version, UNOPENABLE)


def _keep(shop: Workshop, job: Job, seals: Sequence[NewSeal], *, source: int, broken: Sequence[NewSeal]) -> None:
    """Keep `seals` under the new key, of locks whose seal under the key `source` they were made from."""
    _, new = job.versions

    def keep(connection: Connection) -> None:
        require_current(connection, job)
        replace_seals(connection, seals, old=source, new=new, broken=broken)

    shop.write(keep)


def _require_opened(shop: Workshop, pairs: Sequence[Pair], seeds: dict[tuple[bytes, int], Secret], *, new: int) -> None:
    """Check that what the database gives back opens to the seeds. Raises `RotationError`."""
    for pair in pairs:
        seed = seeds.get((pair.record, pair.version))
        if seed is None or pair.old is None:  # not ours, or erased meanwhile
            continue
        found = _open(shop, pair, pair.new, version=new)
        if found is None or not found.is_same_as(seed):
            raise RotationError(_UNREADABLE)


def _delete(shop: Workshop, job: Job, shard: Shard, *, kept: int, limit: int) -> int:
    """Delete what `kept` makes needless: all other seals under the new key, under the old one that of the new alone."""
    old, new = job.versions
    other = old if kept == new else new

    def work(connection: Connection) -> int:
        require_current(connection, job)
        gone = {row.version for row in load_master_keys(connection)} - {new} if kept == new else {new}
        pairs = load_pairs(connection, shard, old=other, new=kept, limit=limit)
        good = [pair for pair in pairs if _open(shop, pair, pair.new, version=kept) is not None]
        opens = {pair.place for pair in good}
        staying = [pair for pair in pairs if pair.old is not None and pair.place not in opens]
        damaged = [pair for pair in staying if pair.new and _open(shop, pair, pair.old, version=other) is not None]
        skips = [Skip(record_of(pair), pair.version, DAMAGED) for pair in damaged]
        delete_seals(connection, [(pair.record, pair.version) for pair in good], gone=gone, kept=kept)
        after, is_last = pairs[-1].place if pairs else shard.after, len(pairs) < limit
        done = len(pairs) - len(staying)
        advance_shard(connection, shard, after=after, done=done, skips=skips, is_done=is_last)
        return len(pairs)

    return shop.write(work)


def _open_if_here(shop: Workshop, pair: Pair, sealed: bytes, *, version: int) -> Secret | None:
    """As `_open`, of a key that this program may not have."""
    try:
        return _open(shop, pair, sealed, version=version)
    except MasterKeyError:
        return None


def _open(shop: Workshop, pair: Pair, sealed: bytes | None, *, version: int) -> Secret | None:
    if sealed is None:
        return None
    try:
        return shop.ring.open(sealed, aad=derive_aad(RecordId(pair.record), pair.version, version), version=version)
    except SealedError:
        return None


def _seal(shop: Workshop, pair: Pair, seed: Secret, *, version: int) -> bytes:
    return shop.ring.seal(seed, aad=derive_aad(RecordId(pair.record), pair.version, version), version=version)
