"""What a person sees of a job: a bar while it goes on, a table of what is, in words."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy import Connection, Engine

from carnet_keyservice.errors import RotationError
from carnet_keyservice.rotation.job import ENDED, WALKED, Job, JobState, Phase
from carnet_keyservice.rotation.processes import count_running, find_waiting
from carnet_keyservice.rotation.queries import count_progress, count_skips, find_job
from carnet_keyservice.words import format_span, format_time
from carnet_protocol.ids import JobId
from carnet_server.clock import system_clock
from carnet_server.database import reader

POLL_SECONDS: Final = 0.3
_SHOWN_AS: Final = {
    "begun_at": "begun",
    "ended_at": "ended",
    "grace_left_seconds": "grace left",
    "grace_seconds": "grace",
    "seconds_at_least": "takes at least",
}
_WORDS: Final = {
    Phase.PREPARE: "making the new key and loading it everywhere",
    Phase.WRITE: "writing new seals, reading each back",
    Phase.CHECK: "checking that none is lacking",
    Phase.GRACE: "new key in use; it can still be undone",
    Phase.DELETE: "deleting old seals",
    Phase.UNDO: "undoing",
    Phase.DONE: "done",
}


def describe_job(connection: Connection, job: Job, *, now: int) -> dict[str, Any]:
    """The job in plain values, for `--json` and for tables."""
    progress = count_progress(connection, job.id, job.phase)
    skips = count_skips(connection, job.id)
    waiting = _find_waiting(connection, job, now=now)
    grace_left = max(0, job.phase_at + job.parameters.grace_seconds - now) if job.phase is Phase.GRACE else None
    return {
        "job": str(job.id),
        "rotates": job.kind.value,
        "state": job.state.value,
        "phase": job.phase.value,
        "old_version": job.old,
        "new_version": job.new,
        "total": job.total,
        "done": progress.done if job.phase in WALKED else None,
        "skipped_now": sum(skips.values()),
        "skipped": skips,
        "rate": job.parameters.rate,
        "workers": job.parameters.workers,
        "begun_at": job.begun_at,
        "ended_at": job.ended_at,
        "grace_left_seconds": grace_left,
        "problem": job.problem,
        "waiting_for": [{"program": program, "problem": problem} for program, problem in waiting],
        "programs": count_running(connection, now=now),
    }


def show_job(console: Console, described: Mapping[str, Any]) -> None:
    """Print what `describe_job` gave, without what says nothing."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in described.items():
        if value not in (None, {}, [], ""):
            table.add_row(_SHOWN_AS.get(name, name.replace("_", " ")), _shown(name, value))
    console.print(table)


def _shown(name: str, value: Any) -> str:  # noqa: ANN401  a plain value of `describe_job`
    if isinstance(value, dict):
        return ", ".join(f"{each} ({count:,})" for each, count in value.items())
    if isinstance(value, list):
        return ", ".join(" ".join(str(part) for part in each.values() if part is not None) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int):
        return str(value)
    if name.endswith("_at"):
        return format_time(value)
    return format_span(value) if "seconds" in name else f"{value:,}"


def show_end(console: Console, members: Mapping[str, Any]) -> None:
    """Print a report."""
    flat = dict(members)
    for name in ("done", "skipped"):
        flat[name] = {each["name"]: each["count"] for each in members[name]}
    flat["items_skipped"] = [
        {"record": each["record"], "version": f"lock {each['version']}"} for each in members["items_skipped"]
    ]
    show_job(console, flat)


def follow(engine: Engine, name: JobId, *, is_silent: bool, is_alone: Callable[[], bool]) -> Job:
    """Show the job called `name` until it has ended or stands still, and return it then.

    Raises `RotationError` where nothing runs that could do it.
    """
    console = Console(stderr=True, quiet=is_silent)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None, speed="")
        shown: Phase | None = None
        began = time.monotonic()
        while True:
            job, done, waiting = _look(engine, name)
            if job.state in ENDED or job.state is JobState.PAUSED:
                return job
            if is_alone():
                raise RotationError(
                    "the rotation is written down, but no key service runs on this database: start it with `serve`, "
                    "then follow it with --resume"
                )
            if job.phase is not shown:
                shown, began = job.phase, time.monotonic()
                bars.reset(bar, total=job.total if job.phase in WALKED else None, speed="")
            passed = time.monotonic() - began
            speed = f"{done / passed:,.0f} a second" if done and passed else ""
            words = _WORDS[job.phase] + (f" (waiting for {waiting})" if waiting else "")
            bars.update(bar, description=words, completed=done, speed=speed)
            time.sleep(POLL_SECONDS)


def _look(engine: Engine, name: JobId) -> tuple[Job, int, str]:
    with reader(engine) as connection:
        job = find_job(connection, name)
        if job is None:
            raise AssertionError("internal: a job that is gone")
        waiting = _find_waiting(connection, job, now=system_clock())
        words = ", ".join(program + (f": {problem}" if problem else "") for program, problem in waiting)
        return job, count_progress(connection, job.id, job.phase).done, words


def _find_waiting(connection: Connection, job: Job, *, now: int) -> list[tuple[str, str | None]]:
    """The programs that `job` waits for before it writes, and what hinders each."""
    if job.new is None or job.phase is not Phase.PREPARE:
        return []
    return find_waiting(connection, job.new, begun_at=job.begun_at, now=now)
