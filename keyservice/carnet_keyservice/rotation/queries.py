"""Jobs, their shards and what they skipped, in the database. Never commits."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from carnet_keyservice.errors import MovedOnError
from carnet_keyservice.rotation.job import (
    ENDED,
    SHARDS,
    Job,
    JobKind,
    JobParameters,
    JobState,
    Phase,
    Progress,
    Shard,
    Skip,
)
from carnet_keyservice.tables import job_shards, job_skips, jobs
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import JobId
from carnet_server.erasures.queries import find_erasure
from carnet_server.prepared import Prepared

MAX_SKIPS_SHOWN = 1000
# On SQLite transactions that write come one after the other, and a lock of rows is not known.
_CURRENT: Final = Prepared(
    select(jobs.c.phase)
    .where(jobs.c.job == bindparam("id"), jobs.c.state == bindparam("state"), jobs.c.phase == bindparam("phase"))
    .with_for_update(read=True)
)
_SHARD_LEFT: Final = Prepared(
    select(job_shards.c.shard, job_shards.c.after, job_shards.c.done, job_shards.c.skipped)
    .where(
        job_shards.c.job == bindparam("id"),
        job_shards.c.phase == bindparam("current"),
        job_shards.c.shard % bindparam("workers") == bindparam("lane"),
        job_shards.c.is_done == 0,
    )
    .order_by(job_shards.c.shard)
    .limit(1)
)


def find_job(connection: Connection, job: JobId) -> Job | None:
    """The job called `job`."""
    return _job(connection.execute(select(jobs).where(jobs.c.job == job)).first())


def find_newest_job(connection: Connection, kind: JobKind | None = None) -> Job | None:
    """The job that began last, of `kind` alone if that is given."""
    newest = select(jobs).order_by(jobs.c.begun.desc()).limit(1)
    return _job(connection.execute(newest if kind is None else newest.where(jobs.c.kind == kind.value)).first())


def find_unfinished(connection: Connection) -> Job | None:
    """The job that has not ended: there is one at most."""
    return _job(connection.execute(select(jobs).where(jobs.c.state.not_in([state.value for state in ENDED]))).first())


def insert_job(connection: Connection, job: Job) -> None:
    """Keep a new job."""
    connection.execute(
        insert(jobs),
        {
            "job": job.id,
            "kind": job.kind.value,
            "state": job.state.value,
            "phase": job.phase.value,
            "parameters": job.parameters.text(),
            "by": job.by,
            "old_version": job.old,
            "new_version": job.new,
            "total": job.total,
            "begun": job.begun,
            "begun_at": job.begun_at,
            "phase_at": job.phase_at,
            "ended_at": job.ended_at,
            "problem": job.problem,
            "report": job.report,
        },
    )


def update_job(connection: Connection, job: Job, **changes: str | int | None) -> bool:
    """Change `job` if its state and phase are still these; say whether they were: the compare-and-set of a job."""
    values = {name: str(value) if isinstance(value, Phase | JobState) else value for name, value in changes.items()}
    done = connection.execute(
        update(jobs)
        .where(jobs.c.job == job.id, jobs.c.state == job.state.value, jobs.c.phase == job.phase.value)
        .values(**values)
    )
    return done.rowcount == 1


def require_current(connection: Connection, job: Job) -> None:
    """Hold `job` where it is until this transaction ends. Raises `MovedOnError` where it is elsewhere already.

    Whoever comes late writes and deletes nothing: what a phase of before planned may be what the next one needs.
    """
    if _CURRENT.first(connection, id=job.id.raw, state=job.state.value, phase=job.phase.value) is None:
        raise MovedOnError


def begin_shards(connection: Connection, job: JobId, phase: Phase) -> None:
    """Have `phase` walk over everything from the beginning, the first time or once more."""
    known = set(
        connection.execute(
            select(job_shards.c.shard).where(job_shards.c.job == job, job_shards.c.phase == phase.value)
        ).scalars()
    )
    if known:
        connection.execute(
            update(job_shards)
            .where(job_shards.c.job == job, job_shards.c.phase == phase.value)
            .values(after=b"", done=0, skipped=0, is_done=0)
        )
    fresh = [number for number in range(SHARDS) if number not in known]
    if fresh:
        rows = [
            {"job": job, "phase": phase.value, "shard": number, "after": b"", "done": 0, "skipped": 0, "is_done": 0}
            for number in fresh
        ]
        connection.execute(insert(job_shards), rows)


def load_shards(connection: Connection, job: JobId, phase: Phase) -> list[Shard]:
    """The shards of `phase`, in order."""
    rows = connection.execute(
        select(job_shards)
        .where(job_shards.c.job == job, job_shards.c.phase == phase.value)
        .order_by(job_shards.c.shard)
    )
    return [_shard(row) for row in rows]


def find_shard_left(connection: Connection, job: Job, *, lane: int) -> Shard | None:
    """The first shard of `lane` that is not done in the phase of `job`."""
    row = _SHARD_LEFT.first(
        connection, id=job.id.raw, current=job.phase.value, workers=job.parameters.workers, lane=lane
    )
    if row is None:
        return None
    number, after, done, skipped = row
    return Shard(job=job.id, phase=job.phase, number=number, after=after, done=done, skipped=skipped, is_done=False)


def advance_shard(
    connection: Connection, shard: Shard, *, after: bytes, done: int, skips: Sequence[Skip], is_done: bool
) -> None:
    """Note that `shard` came on to `after`. Raises `MovedOnError` where somebody else brought it on already."""
    moved = connection.execute(
        update(job_shards)
        .where(
            job_shards.c.job == shard.job,
            job_shards.c.phase == shard.phase.value,
            job_shards.c.shard == shard.number,
            job_shards.c.after == shard.after,
            job_shards.c.is_done == 0,
        )
        .values(
            after=after,
            done=job_shards.c.done + done,
            skipped=job_shards.c.skipped + len(skips),
            is_done=int(is_done),
        )
    )
    if moved.rowcount != 1:
        raise MovedOnError
    for skip in skips:
        _keep_skip(connection, shard.job, skip)


def count_progress(connection: Connection, job: JobId, phase: Phase) -> Progress:
    """How far `phase` is."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(job_shards.c.done), 0).label("done"),
            func.coalesce(func.sum(job_shards.c.skipped), 0).label("skipped"),
            func.coalesce(func.sum(1 - job_shards.c.is_done), 0).label("left"),
        ).where(job_shards.c.job == job, job_shards.c.phase == phase.value)
    ).one()
    return Progress(int(row.done), int(row.skipped), int(row.left))


def count_skips(connection: Connection, job: JobId) -> dict[str, int]:
    """How many items were skipped for which reason."""
    rows = connection.execute(
        select(job_skips.c.reason, func.count().label("items"))
        .where(job_skips.c.job == job)
        .group_by(job_skips.c.reason)
        .order_by(job_skips.c.reason)
    )
    return {row.reason: row.items for row in rows}


def load_skips(connection: Connection, job: JobId, limit: int = MAX_SKIPS_SHOWN) -> list[Skip]:
    """The first `limit` items that were skipped."""
    rows = connection.execute(
        select(job_skips).where(job_skips.c.job == job).order_by(job_skips.c.record, job_skips.c.version).limit(limit)
    )
    return [Skip(row.record, row.version, row.reason) for row in rows]


def forget_skips(connection: Connection, job: JobId) -> None:
    """Forget what `job` skipped, before it looks at everything once more."""
    connection.execute(job_skips.delete().where(job_skips.c.job == job))


def _keep_skip(connection: Connection, job: JobId, skip: Skip) -> None:
    place = (job_skips.c.job == job, job_skips.c.record == skip.record, job_skips.c.version == skip.version)
    changed = connection.execute(update(job_skips).where(*place).values(reason=skip.reason))
    if not changed.rowcount and find_erasure(connection, skip.record) is None:
        connection.execute(
            insert(job_skips), {"job": job, "record": skip.record, "version": skip.version, "reason": skip.reason}
        )


def _job(row: Row[Any] | None) -> Job | None:
    if row is None:
        return None
    return Job(
        id=row.job,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        phase=Phase(row.phase),
        parameters=_parse_parameters(row.parameters),
        by=row.by,
        old=row.old_version,
        new=row.new_version,
        total=row.total,
        begun=row.begun,
        begun_at=row.begun_at,
        phase_at=row.phase_at,
        ended_at=row.ended_at,
        problem=row.problem,
        report=row.report,
    )


@lru_cache
def _parse_parameters(text: str) -> JobParameters:
    """A walk looks at its job before each step, which says the same each time."""
    return JobParameters.model_validate(parse_canonical_json(text.encode("ascii")))


def _shard(row: Row[Any]) -> Shard:
    return Shard(
        job=row.job,
        phase=Phase(row.phase),
        number=row.shard,
        after=row.after,
        done=row.done,
        skipped=row.skipped,
        is_done=bool(row.is_done),
    )
