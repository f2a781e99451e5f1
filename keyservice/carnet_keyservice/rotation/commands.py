"""`carnet-keyservice rotate`: begin a rotation, follow it, pause it, undo it, read its report.

The command holds no key. It writes down what is wanted, in the database, and looks on while the programs that serve, or
the workers beside them, do it. Interrupted, it ends and they go on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from sqlalchemy import Connection, Engine

from carnet_keyservice.errors import KeyServiceError, RotationError
from carnet_keyservice.master_keys.queries import load_master_keys
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.job import (
    MAX_GRACE_SECONDS,
    MAX_RATE,
    MAX_WORKERS,
    Job,
    JobKind,
    JobParameters,
    JobState,
)
from carnet_keyservice.rotation.processes import count_running
from carnet_keyservice.rotation.queries import find_job, find_newest_job, find_unfinished, load_skips
from carnet_keyservice.rotation.seals import count_locks
from carnet_keyservice.rotation.show import (
    describe_job,
    follow,
    show_end,
    show_job,
)
from carnet_protocol.ids import JobId
from carnet_protocol.statements import RotationReport, Signed
from carnet_server.clock import system_clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import SettingsError
from carnet_server.program import failures, print_json
from carnet_server.writer import Writer

DEFAULT_RATE: Final = 20_000
DEFAULT_LOCKS_RATE: Final = 1_000
DEFAULT_WORKERS: Final = 2
DEFAULT_GRACE_SECONDS: Final = 600
NO_PROGRAM_SECONDS: Final = 10

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="TOML file of settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the rotation that was paused or stopped, or follow it again.")
]
Rate = Annotated[
    int | None, typer.Option("--rate", min=1, max=MAX_RATE, help="Locks a second at most, over all workers.")
]
Workers = Annotated[int, typer.Option("--workers", min=1, max=MAX_WORKERS, help="How many work at it at once.")]
Grace = Annotated[
    int,
    typer.Option(
        "--grace",
        min=0,
        max=MAX_GRACE_SECONDS,
        metavar="SECONDS",
        help="How long it can still be undone before what is old goes.",
    ),
]
OpenDatabase = Callable[[Path | None], AbstractContextManager[tuple[Deployment, Engine]]]
"""Opens the deployment and the database that a file of settings names."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """The database that a command looks into, and how it writes there."""

    deployment: Deployment
    engine: Engine

    def read(self, look: Callable[[Connection], Any]) -> Any:  # noqa: ANN401  whatever is looked for
        with reader(self.engine) as connection:
            return look(connection)

    def decide(self, work: Callable[[Moment], Job]) -> Job:
        with Writer(self.engine) as writer:
            return writer.run(
                lambda _: system_clock(), lambda connection, now: work(Moment(connection, now, self.deployment))
            )


def make_rotate_app(program: str, open_database: OpenDatabase) -> typer.Typer:
    """The group of commands for `program`."""
    app = typer.Typer(
        help="Rotate keys while the service serves: the master key, record locks, the suite of record locks.",
        no_args_is_help=True,
    )

    @contextmanager
    def desk(settings: Path | None) -> Iterator[_Desk]:
        with failures(program, KeyServiceError), open_database(settings) as (deployment, engine):
            yield _Desk(deployment, engine)

    @app.command("master")
    def master_command(
        settings: SettingsFile = None,
        *,
        to: Annotated[
            str | None,
            typer.Option("--to", metavar="PROVIDER", help="Who keeps the new key: file, pkcs11 or aws-kms. As now."),
        ] = None,
        dry_run: DryRun = False,
        resume: Resume = False,
        rate: Rate = None,
        workers: Workers = DEFAULT_WORKERS,
        grace: Grace = DEFAULT_GRACE_SECONDS,
        as_json: AsJson = False,
    ) -> None:
        r"""Make a new master key and seal every record lock under it. Patients notice nothing.

        Every new seal is read back and opened before the new key comes into use; the old seals go after the grace.

        \b
        Examples:
          carnet-keyservice rotate master --dry-run
          carnet-keyservice rotate master
          carnet-keyservice rotate master --to pkcs11 --rate 5000
        """
        parameters = JobParameters(provider=to, rate=rate or DEFAULT_RATE, workers=workers, grace_seconds=grace)
        with desk(settings) as open_desk:
            _rotate(open_desk, JobKind.MASTER, parameters, dry_run=dry_run, resume=resume, as_json=as_json)

    @app.command("status")
    def status_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
        """Show how far the rotation is, or how the last one ended. Exit code 1 says that it needs somebody."""
        with desk(settings) as open_desk:
            job = open_desk.read(lambda connection: find_unfinished(connection) or find_newest_job(connection))
            if job is None:
                print_json({"job": None}) if as_json else typer.echo("no rotation has ever begun here")
                return
            described = open_desk.read(lambda connection: describe_job(connection, job, now=system_clock()))
            if as_json:
                print_json(described)
            else:
                show_job(Console(), described)
        raise typer.Exit(1 if job.problem is not None else 0)

    @app.command("pause")
    def pause_command(settings: SettingsFile = None) -> None:
        """Have the rotation stand still; `--resume` goes on. What is done stays done."""
        with desk(settings) as open_desk:
            open_desk.decide(_pause)
        typer.echo("paused; go on with --resume, or undo it with `rotate abort`")

    @app.command("abort")
    def abort_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
        """Undo the rotation, until its flip is final: everything is as before, and the new key is out of use."""
        with desk(settings) as open_desk:
            job = open_desk.decide(lambda moment: accept.abort_job(moment, by=None))
            _follow(open_desk, job.id, wanted=JobState.ABORTED, as_json=as_json)

    @app.command("report")
    def report_command(
        settings: SettingsFile = None,
        *,
        job: Annotated[str | None, typer.Option("--job", help="Which one; the last that ended by default.")] = None,
        save: Annotated[
            Path | None, typer.Option("--save", metavar="FILE", help="Write the signed report to FILE.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show the report of a rotation, checked against this key service's key, or save it for an auditor."""
        with desk(settings) as open_desk:
            found = open_desk.read(lambda connection: _find_ended(connection, job))
            signed = Signed.parse(found.report or "", RotationReport)
            signed.verify(open_desk.deployment.card.body.keyservice.key)
            if save is not None:
                _save(save, signed.text)
            members = signed.body.model_dump(mode="json")
            skips = open_desk.read(lambda connection: load_skips(connection, found.id))
        members["items_skipped"] = [
            {"record": str(skip.record), "version": skip.version, "reason": skip.reason} for skip in skips
        ]
        if as_json:
            print_json(members | {"report": signed.text})
        else:
            show_end(Console(), members)

    return app


def _rotate(
    desk: _Desk, kind: JobKind, parameters: JobParameters, *, dry_run: bool, resume: bool, as_json: bool
) -> None:
    if dry_run:
        plan = desk.read(lambda connection: _plan(connection, kind, parameters))
        print_json(plan) if as_json else show_job(Console(), plan)
        raise typer.Exit(0 if plan["can_begin"] else 1)
    if resume:
        job = desk.decide(lambda moment: accept.resume_job(moment, parameters=parameters, by=None))
    else:
        name = JobId.make()
        job = desk.decide(lambda moment: accept.begin_job(moment, name, kind, parameters, by=None))
    _follow(desk, job.id, wanted=JobState.FINISHED, as_json=as_json)


def _follow(desk: _Desk, name: JobId, *, wanted: JobState, as_json: bool) -> None:
    """Look on until the job ends or stands still, and end with what that means."""
    deadline = time.monotonic() + NO_PROGRAM_SECONDS

    def is_alone() -> bool:
        running = desk.read(lambda connection: count_running(connection, now=system_clock()))
        return not running and time.monotonic() > deadline

    try:
        job = follow(desk.engine, name, is_silent=as_json, is_alone=is_alone)
    except KeyboardInterrupt:
        typer.echo("the rotation goes on: see `rotate status`, or stop it with `rotate pause`", err=True)
        raise typer.Exit(130) from None
    described = desk.read(lambda connection: describe_job(connection, job, now=system_clock()))
    if as_json:
        print_json(described)
    else:
        show_job(Console(), described)
    if job.state is not wanted:
        raise RotationError(job.problem or f"the rotation is {job.state}: see `rotate status`")
    if described["skipped_now"]:
        raise RotationError("some locks were skipped: `rotate report` names them")


def _plan(connection: Connection, kind: JobKind, parameters: JobParameters) -> dict[str, Any]:
    now = system_clock()
    total = count_locks(connection)
    active = next((row for row in load_master_keys(connection) if row.state is KeyState.ACTIVE), None)
    running = find_unfinished(connection)
    programs = count_running(connection, now=now)
    hindrance = None
    if running is not None:
        hindrance = f"a rotation of {running.kind} has not ended"
    elif active is None:
        hindrance = "the key service has never run: start it first"
    return {
        "rotates": kind.value,
        "can_begin": hindrance is None,
        "hindrance": hindrance,
        "locks": total,
        "seconds_at_least": -(-total // parameters.rate),
        "grace_seconds": parameters.grace_seconds,
        "active_version": None if active is None else active.version,
        "provider": None if active is None else active.provider,
        "new_provider": parameters.provider or (None if active is None else active.provider),
        "programs": programs,
    }


def _pause(moment: Moment) -> Job:
    job = find_unfinished(moment.connection)
    if job is None:
        raise RotationError("no rotation is under way: there is nothing to pause")
    accept.pause_job(moment, job, problem=None)
    return job


def _find_ended(connection: Connection, name: str | None) -> Job:
    found = find_newest_job(connection) if name is None else find_job(connection, _parse_job(name))
    if found is None or found.report is None:
        raise RotationError("there is no report: no rotation of this name has ended here")
    return found


def _parse_job(text: str) -> JobId:
    try:
        return JobId.parse(text)
    except ValueError as error:
        raise SettingsError("a job is named by the 22 characters that `rotate status` shows") from error


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text + "\n")
    except OSError as error:
        raise SettingsError("the report cannot be written there: name another file") from error
