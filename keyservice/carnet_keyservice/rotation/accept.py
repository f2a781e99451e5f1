"""Beginning, pausing, undoing and ending jobs, and the flip, each in one transaction with the event that says so.

Each is a compare-and-set: what another process did meanwhile is found, not done again.
"""

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import RotationError
from carnet_keyservice.master_keys.provider import MadeKey
from carnet_keyservice.master_keys.queries import (
    MasterKeyRow,
    change_state,
    find_master_key,
    insert_master_key,
    load_master_keys,
    touch_key,
)
from carnet_keyservice.master_keys.ring import make_check_value
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation.job import (
    ENDED,
    UNDOABLE,
    Job,
    JobKind,
    JobParameters,
    JobState,
    Pace,
    Phase,
)
from carnet_keyservice.rotation.queries import (
    begin_shards,
    find_job,
    find_newest_job,
    find_unfinished,
    insert_job,
    update_job,
)
from carnet_keyservice.rotation.seals import count_lacking
from carnet_protocol.ids import Fingerprint, JobId
from carnet_server.deployment import Moment
from carnet_server.events import NewEvent

_MAX_PROBLEM: Final = 400


def begin_job(moment: Moment, job: JobId, kind: JobKind, parameters: JobParameters, *, by: Fingerprint | None) -> Job:
    """Begin a job. The same id again is answered as before.

    Raises `RotationError` where another job has not ended: two at once would each undo what the other needs.
    """
    known = find_job(moment.connection, job)
    if known is not None:
        return known
    running = find_unfinished(moment.connection)
    if running is not None:
        raise RotationError(
            f"a job ({running.kind}) has not ended: see `rotate status`, "
            f"go on with `{running.kind.resuming}` or `rotate abort`"
        )
    event = moment.log(NewEvent("job.begun", by=by, detail={"job": str(job), "kind": kind.value}))
    begun = Job(
        id=job,
        kind=kind,
        state=JobState.RUNNING,
        phase=Phase.PREPARE,
        parameters=parameters,
        by=by,
        old=None,
        new=None,
        total=0,
        begun=event.index,
        begun_at=moment.now,
        phase_at=moment.now,
        ended_at=None,
        problem=None,
        report=None,
    )
    insert_job(moment.connection, begun)
    return begun


def pause_job(moment: Moment, job: Job, *, problem: str | None, by: Fingerprint | None = None) -> bool:
    """Have `job` stand still, because somebody wants it or because of a `problem`. False where it moved meanwhile."""
    if job.state is not JobState.RUNNING:
        raise RotationError(f"this job is {job.state}: there is nothing to pause")
    text = None if problem is None else problem[:_MAX_PROBLEM]
    if not update_job(moment.connection, job, state=JobState.PAUSED, problem=text):
        return False
    moment.log(NewEvent("job.paused", by=by, detail={"job": str(job.id), "phase": job.phase.value}))
    return True


def note_problem(moment: Moment, job: Job, problem: str) -> bool:
    """Say what a job that undoes itself stumbled on; it goes on trying."""
    return update_job(moment.connection, job, problem=problem[:_MAX_PROBLEM])


def resume_job(moment: Moment, kind: JobKind, pace: Pace, *, by: Fingerprint | None) -> Job:
    """Have the job of `kind` that has not ended go on at `pace`; where the newest has ended, it is returned as it is.

    Raises `RotationError` where a job of another kind has not ended, or none of `kind` ever began.
    """
    job = find_unfinished(moment.connection)
    if job is None:
        ended = find_newest_job(moment.connection, kind)
        if ended is None:
            raise RotationError("no rotation has begun that could go on: start one without --resume")
        return ended
    if job.kind is not kind:
        raise RotationError(
            f"a job ({job.kind}) has not ended, and none of {kind} is under way: "
            f"go on with `{job.kind.resuming}` or undo it with `rotate abort`"
        )
    changes = {"parameters": pace.apply(job.parameters).text(), "problem": None}
    if job.state is JobState.PAUSED:
        update_job(moment.connection, job, state=JobState.RUNNING, **changes)
        moment.log(NewEvent("job.resumed", by=by, detail={"job": str(job.id), "phase": job.phase.value}))
    else:
        update_job(moment.connection, job, **changes)
    return _require_job(moment, job.id)


def abort_job(moment: Moment, *, by: Fingerprint | None) -> Job:
    """Undo the job that has not ended: its flip first, then what it wrote. Once more is answered as before.

    Raises `RotationError` where none is under way, or its flip is final.
    """
    job = find_unfinished(moment.connection)
    if job is None:
        newest = find_newest_job(moment.connection)
        if newest is not None and newest.state is JobState.ABORTED:
            return newest
        raise RotationError("no rotation is under way: there is nothing to abort")
    if job.state is JobState.ABORTING:
        return job
    if job.phase not in UNDOABLE:
        raise RotationError("the flip is final: old seals are being deleted; let it come to its end with --resume")
    if job.kind is JobKind.MASTER:
        _undo_flip(moment, job)
    moment.log(NewEvent("job.aborting", by=by, detail={"job": str(job.id), "phase": job.phase.value}))
    update_job(moment.connection, job, state=JobState.ABORTING, phase=Phase.UNDO, phase_at=moment.now, problem=None)
    if job.new is not None:
        begin_shards(moment.connection, job.id, Phase.UNDO)
    return _require_job(moment, job.id)


def _undo_flip(moment: Moment, job: Job) -> None:
    if job.new is None or job.old is None:
        return
    new, old = _require_key(moment, job.new), _require_key(moment, job.old)
    if new.state is KeyState.ACTIVE:
        if count_lacking(moment.connection, old.version, job=job.id):
            raise RotationError("some lock has no seal under the old master key: go on with --resume, and run fsck")
        change_state(moment.connection, new, KeyState.DEACTIVATED, is_sealing=False, now=moment.now)
        change_state(moment.connection, old, KeyState.ACTIVE, is_sealing=True, now=moment.now)
        moment.log(_of_key("master_key.deactivated", new.version, job))
        moment.log(_of_key("master_key.activated", old.version, job))
    else:
        change_state(moment.connection, new, new.state, is_sealing=False, now=moment.now)


def choose_version(moment: Moment, job: Job) -> tuple[Job, MasterKeyRow | None]:
    """Say which version of the master key `job` goes to, once for all; the row of that version, if it is made.

    A version of the wanted provider that never came into use is taken before a new one is made.
    """
    rows = load_master_keys(moment.connection)
    active = next((row for row in rows if row.state is KeyState.ACTIVE), None)
    if active is None:
        raise RotationError("no master key is active: run `carnet-keyservice fsck`")
    wanted = job.parameters.provider or active.provider
    unused = [row for row in rows if row.state is KeyState.PRE_ACTIVATION and row.provider == wanted]
    if job.new is None:
        # The new version's row comes later: a row refers to none that is not there.
        if unused:
            update_job(moment.connection, job, old_version=active.version, new_version=unused[0].version)
            return replace(job, old=active.version, new=unused[0].version), unused[0]
        return replace(job, old=active.version, new=rows[-1].version + 1), None
    return job, find_master_key(moment.connection, job.new)


def bring_master_key(moment: Moment, job: Job, made: MadeKey, *, provider: str) -> MasterKeyRow:
    """Keep the version that `job` goes to, as `provider` made it; nothing is sealed under it yet."""
    old, new = job.versions
    known = find_master_key(moment.connection, new)
    if known is None:
        known = MasterKeyRow(
            version=new,
            provider=provider,
            token=made.token,
            check_value=make_check_value(made.key, new),
            state=KeyState.PRE_ACTIVATION,
            is_sealing=False,
            made_at=moment.now,
            changed_at=moment.now,
        )
        insert_master_key(moment.connection, known)
        moment.log(_of_key("master_key.made", new, job))
        update_job(moment.connection, job, old_version=old, new_version=new)
    return known


def begin_write(moment: Moment, job: Job, *, total: int) -> bool:
    """From here on workers write what is new, `total` items; new locks are sealed under a new master key too."""
    if not update_job(moment.connection, job, phase=Phase.WRITE, phase_at=moment.now, total=total):
        return False
    if job.kind is JobKind.MASTER:
        new = _require_key(moment, job.versions[1])
        change_state(moment.connection, new, new.state, is_sealing=True, now=moment.now)
    begin_shards(moment.connection, job.id, Phase.WRITE)
    return True


def begin_check(moment: Moment, job: Job) -> bool:
    """Every shard was walked: what is lacking is counted next."""
    return update_job(moment.connection, job, phase=Phase.CHECK, phase_at=moment.now)


def write_again(moment: Moment, job: Job) -> bool:
    """Something was lacking: walk once more."""
    if not update_job(moment.connection, job, phase=Phase.WRITE, phase_at=moment.now):
        return False
    begin_shards(moment.connection, job.id, Phase.WRITE)
    return True


def flip(moment: Moment, job: Job) -> bool:
    """Have releases open with the new master key from this transaction on. New locks are sealed under both still."""
    if not update_job(moment.connection, job, phase=Phase.GRACE, phase_at=moment.now):
        return False
    if job.kind is not JobKind.MASTER:  # each record was flipped by itself
        return True
    old, new = (_require_key(moment, version) for version in job.versions)
    change_state(moment.connection, old, KeyState.SUSPENDED, is_sealing=True, now=moment.now)
    change_state(moment.connection, new, KeyState.ACTIVE, is_sealing=True, now=moment.now)
    moment.log(_of_key("master_key.suspended", old.version, job))
    moment.log(_of_key("master_key.activated", new.version, job))
    return True


def begin_delete(moment: Moment, job: Job) -> bool:
    """Make the flip final: an old master key is retired, nothing is sealed under it; what is old goes."""
    if not update_job(moment.connection, job, phase=Phase.DELETE, phase_at=moment.now):
        return False
    if job.kind is JobKind.MASTER:
        old = _require_key(moment, job.versions[0])
        change_state(moment.connection, old, KeyState.DEACTIVATED, is_sealing=False, now=moment.now)
        moment.log(_of_key("master_key.deactivated", old.version, job))
    begin_shards(moment.connection, job.id, Phase.DELETE)
    return True


def require_row(connection: Connection, version: int) -> MasterKeyRow:
    """The row of the master key that an operator names. Raises `RotationError` where there is none."""
    row = find_master_key(connection, version)
    if row is None:
        raise RotationError(f"there is no master key {version}: see `keys list`")
    return row


def end_grace(moment: Moment, version: int) -> None:
    """Make the flip of the rotation that replaces `version` final at once. Raises `RotationError`."""
    row = require_row(moment.connection, version)
    job = find_unfinished(moment.connection)
    if row.state in {KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}:
        return
    if job is not None and job.old == version:
        if job.state is JobState.PAUSED:
            raise RotationError(f"the rotation of master key {version} is paused: `rotate master --resume` first")
        if job.state is JobState.RUNNING and job.phase is Phase.GRACE:
            begin_delete(moment, job)
            return
    raise RotationError(f"master key {version} is {row.state}: `rotate master` puts another in its place")


def end_job(moment: Moment, job: Job, state: JobState, report: str) -> bool:
    """End `job`, with its signed report."""
    if state not in ENDED:
        raise AssertionError("internal: a job ends finished or aborted")
    if not update_job(
        moment.connection, job, state=state, phase=Phase.DONE, ended_at=moment.now, problem=None, report=report
    ):
        return False
    gone = job.old if state is JobState.FINISHED else job.new
    if gone is not None:
        # The horizon of a key counts from when its last seal is gone.
        row = _require_key(moment, gone)
        touch_key(moment.connection, row, now=moment.now)
    moment.log(NewEvent(f"job.{state.value}", by=job.by, detail={"job": str(job.id), "kind": job.kind.value}))
    return True


def _require_key(moment: Moment, version: int) -> MasterKeyRow:
    row = find_master_key(moment.connection, version)
    if row is None:
        raise AssertionError("internal: a job without its master key")
    return row


def _require_job(moment: Moment, job: JobId) -> Job:
    found = find_job(moment.connection, job)
    if found is None:
        raise AssertionError("internal: a job that is gone")
    return found


def _of_key(kind: str, version: int, job: Job) -> NewEvent:
    return NewEvent(kind, by=job.by, detail={"job": str(job.id), "version": version})
