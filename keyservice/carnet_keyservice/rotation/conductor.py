"""Brings jobs from phase to phase, and says which lanes are to be walked now.

A rotation of the master key:

    prepare  the provider makes the new key; every process that runs has loaded it
    write    workers seal every lock under it, beside the old seal; read back, opened, compared
    check    no lock lacks the new seal but those that open with nothing; if one does, write again
    (flip)   compare-and-set: the new key is active, the old one suspended
    grace    the flip can still be undone
    delete   final: the old key is deactivated, its seals go where the new one is there
    undo     (abort) the flip back, then the new seals go where the old one is there

One of record locks has the same phases; each record is written, checked and flipped by itself in *write*, and *delete*
retires older locks (`locks.py`). There is nothing to undo.

New locks are sealed under both keys from the beginning of *write* to the end of *grace*, decided in the transaction
that keeps them: so what *check* counted stays true until the flip, and what *undo* needs is there.

`conduct` may be called by any process at any time; what it decides is compare-and-set. Where two call it at once, the
provider might make one key twice: so one process at a time conducts (`baton.py`).
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import KeyServiceError, SealedError
from carnet_keyservice.locks.keys import open_seal
from carnet_keyservice.locks.queries import SealedLock
from carnet_keyservice.master_keys.queries import find_master_key
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.job import WALKED, Job, JobKind, JobParameters, JobState, Phase
from carnet_keyservice.rotation.lock_destruction import count_doomed, require_time
from carnet_keyservice.rotation.locks import count_records
from carnet_keyservice.rotation.processes import find_waiting
from carnet_keyservice.rotation.queries import (
    count_progress,
    find_job,
    find_unfinished,
    forget_skips,
    load_shards,
)
from carnet_keyservice.rotation.report import sign_report
from carnet_keyservice.rotation.seals import count_lacking, count_locks, load_late, sweep_destroyed
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.ids import JobId
from carnet_protocol.suites import Suite
from carnet_server.errors import RefusalError

_MAX_STEPS: Final = 16
"""More phases than a job has: whoever goes round more often goes round for ever."""


@dataclass(frozen=True, slots=True)
class Task:
    """A lane of a phase to be walked: the shards that one of the job's workers takes, one after the other."""

    job: JobId
    phase: Phase
    lane: int


def conduct(shop: Workshop) -> list[Task]:
    """Bring the job on as far as it goes, and return the lanes that are to be walked now.

    A failure of a provider or the database pauses it, with what to mend; a job that undoes itself tries again at the
    next call.
    """
    job = shop.read(find_unfinished)
    if job is None:
        return []
    try:
        return _conduct(shop, job)
    except Exception as error:  # noqa: BLE001  a fault of ours stops the job too, and is seen in its status
        stop_job(shop, job.id, error)
        return []


def stop_job(shop: Workshop, name: JobId, error: Exception) -> None:
    """Pause the job called `name` because of `error`; one that undoes itself notes it and goes on."""
    problem = _describe(error)
    shop.log.warning("job_stopped", reason=problem)
    job = shop.read(lambda connection: find_job(connection, name))
    if job is None:
        return
    if job.state is JobState.RUNNING:
        shop.decide(lambda moment: accept.pause_job(moment, job, problem=problem))
    elif job.state is JobState.ABORTING:
        shop.decide(lambda moment: accept.note_problem(moment, job, problem))


def _describe(error: Exception) -> str:
    if isinstance(error, RefusalError):
        return error.reason.replace("_", " ")
    if isinstance(error, KeyServiceError):
        return str(error)
    return f"internal: {type(error).__name__}; please report it"  # no more of it: it may hold what is sealed


def _conduct(shop: Workshop, job: Job) -> list[Task]:
    for _ in range(_MAX_STEPS):
        current = shop.read(lambda connection: find_job(connection, job.id))
        if current is None or current.state not in {JobState.RUNNING, JobState.ABORTING}:
            return []
        if not _bring_on(shop, current):
            return _tasks(shop, current)
    raise AssertionError("internal: a job goes round in circles")


def _bring_on(shop: Workshop, job: Job) -> bool:
    """Bring `job` to its next phase if it is time; say whether to look again."""
    match job.phase:
        case Phase.PREPARE:
            return _prepare(shop, job)
        case Phase.WRITE:
            return _is_walked(shop, job) and shop.decide(lambda moment: accept.begin_check(moment, job))
        case Phase.CHECK:
            return _check(shop, job)
        case Phase.GRACE:
            return _end_grace(shop, job)
        case Phase.DELETE | Phase.UNDO:
            return _is_walked(shop, job) and _end(shop, job)
        case Phase.DONE:
            return False


def _prepare(shop: Workshop, job: Job) -> bool:
    if job.kind is not JobKind.MASTER:
        return _begin_write(shop, job)
    chosen, row = shop.decide(lambda moment: accept.choose_version(moment, job))
    old, new = chosen.versions
    if row is None:
        name = job.parameters.provider or _provider_of(shop, old)
        made = shop.ring.provider(name).make(new)
        row = shop.decide(lambda moment: accept.bring_master_key(moment, chosen, made, provider=name))
    shop.ring.load(row)
    if _is_waiting(shop, chosen):
        return False
    return _begin_write(shop, chosen)


def _begin_write(shop: Workshop, job: Job) -> bool:
    total = shop.survey(lambda c: count_items(c, job.kind, job.parameters, shop.deployment.write_suite))
    return shop.decide(lambda moment: accept.begin_write(moment, job, total=total))


def count_items(connection: Connection, kind: JobKind, parameters: JobParameters, suite: Suite) -> int:
    """How many items a job of `kind` is about, in a deployment that writes `suite`."""
    match kind:
        case JobKind.MASTER:
            return count_locks(connection)
        case JobKind.LOCKS | JobKind.SUITE:
            return count_records(connection, kind, suite)
        case JobKind.DESTRUCTION:
            return count_doomed(connection, until=require_time(parameters))


def _provider_of(shop: Workshop, version: int) -> str:
    row = shop.read(lambda connection: find_master_key(connection, version))
    if row is None:
        raise AssertionError("internal: no row of the active master key")
    return row.provider


def _check(shop: Workshop, job: Job) -> bool:
    if job.kind is JobKind.DESTRUCTION:
        return _end(shop, job)
    if job.kind is not JobKind.MASTER:
        return shop.decide(lambda moment: accept.flip(moment, job))
    # No batch of *write* commits any more: what is counted here is so until the flip (`require_current`).
    _, new = job.versions
    shop.write(sweep_destroyed)
    if _is_waiting(shop, job):
        return False
    if shop.survey(lambda connection: count_lacking(connection, new, job=job.id)):
        shop.write(lambda connection: forget_skips(connection, job.id))
        return shop.decide(lambda moment: accept.write_again(moment, job))
    if _has_damaged(shop, job):
        return shop.decide(lambda moment: accept.write_again(moment, job))
    return shop.decide(lambda moment: accept.flip(moment, job))


def _end_grace(shop: Workshop, job: Job) -> bool:
    if shop.clock() < job.phase_at + job.parameters.grace_seconds or _is_waiting(shop, job):
        return False
    return shop.decide(lambda moment: accept.begin_delete(moment, job))


def _is_waiting(shop: Workshop, job: Job) -> bool:
    """Whether a program that runs has not loaded the new master key."""
    if job.kind is not JobKind.MASTER:
        return False
    _, new = job.versions
    now = shop.clock()
    return bool(shop.read(lambda connection: find_waiting(connection, new, begun_at=job.begun_at, now=now)))


def _has_damaged(shop: Workshop, job: Job) -> bool:
    """Whether a lock that was made since the job began, behind the walk, does not open under the new key.

    The next walk makes that seal anew, or skips the lock, which then holds nothing up.
    """
    _, new = job.versions
    return shop.survey(
        lambda connection: any(
            _is_damaged(shop, sealed, new) for sealed in load_late(connection, job.id, since=job.begun)
        )
    )


def _is_damaged(shop: Workshop, sealed: SealedLock, version: int) -> bool:
    try:
        for seal in sealed.seals:
            if seal.master_key_version == version:
                open_seal(shop.ring, sealed.lock, seal)
    except SealedError:
        return True
    return False


def _is_walked(shop: Workshop, job: Job) -> bool:
    return shop.read(lambda connection: count_progress(connection, job.id, job.phase)).shards_left == 0


def _end(shop: Workshop, job: Job) -> bool:
    state = JobState.ABORTED if job.phase is Phase.UNDO else JobState.FINISHED
    shop.write(sweep_destroyed)
    report = shop.read(lambda connection: sign_report(connection, shop, job, state))
    return shop.decide(lambda moment: accept.end_job(moment, job, state, report))


def _tasks(shop: Workshop, job: Job) -> list[Task]:
    if job.phase not in WALKED:
        return []
    shards = shop.read(lambda connection: load_shards(connection, job.id, job.phase))
    lanes = {shard.number % job.parameters.workers for shard in shards if not shard.is_done}
    return [Task(job.id, job.phase, lane) for lane in sorted(lanes)]
