"""`rotate master`, `locks` and `suite`: saying what is to be rotated, and looking on."""

from typing import Annotated, Any, Final

import typer
from rich.console import Console
from sqlalchemy import Connection

from carnet_keyservice.master_keys.queries import load_master_keys
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.conductor import count_items
from carnet_keyservice.rotation.desk import (
    DEFAULT_WORKERS,
    AsJson,
    Desk,
    OpenDesk,
    SettingsFile,
    Workers,
    follow_job,
    resume_and_follow,
)
from carnet_keyservice.rotation.job import (
    MAX_GRACE_SECONDS,
    MAX_RATE,
    JobKind,
    JobParameters,
    JobState,
    Pace,
)
from carnet_keyservice.rotation.processes import count_running
from carnet_keyservice.rotation.queries import find_unfinished
from carnet_keyservice.rotation.show import show_job
from carnet_protocol.ids import JobId
from carnet_protocol.suites import Suite
from carnet_server.clock import system_clock
from carnet_server.program import print_json

DEFAULT_RATE: Final = 20_000
DEFAULT_LOCKS_RATE: Final = 1_000
DEFAULT_GRACE_SECONDS: Final = 600

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the rotation that was paused or stopped, or follow it again.")
]
Rate = Annotated[
    int | None,
    typer.Option(
        "--rate",
        min=1,
        max=MAX_RATE,
        help="Items a second at most, over all workers. --resume keeps both, unless they are given.",
    ),
]
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

_LOCKS_HELP: Final = """\
Make every record a new lock and remake the outer lock of each of its capsules, together with the vault.

No patient is needed and no document is touched. After the grace the older locks are retired: released never
again, kept until they are destroyed.

Examples:
  carnet-keyservice rotate locks --dry-run
  carnet-keyservice rotate locks --rate 500 --grace 3600
"""
_SUITE_HELP: Final = """\
Bring record locks to the suite that is written now: as `rotate locks`, for those of another suite alone.

What is inside of the outer locks is the patients' to bring along; `status` counts what is left.
"""


def add_master_command(app: typer.Typer, desk: OpenDesk) -> None:
    """Add `master` to `app`."""

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
        workers: Workers = None,
        grace: Grace = DEFAULT_GRACE_SECONDS,
        as_json: AsJson = False,
    ) -> None:
        """Make a new master key and seal every record lock under it. Patients notice nothing.

        Every new seal is read back and opened before the new key comes into use; the old seals go after the grace.

        Examples:
          carnet-keyservice rotate master --dry-run
          carnet-keyservice rotate master
          carnet-keyservice rotate master --to pkcs11 --rate 5000

        """
        parameters = JobParameters(
            provider=to, rate=rate or DEFAULT_RATE, workers=workers or DEFAULT_WORKERS, grace_seconds=grace
        )
        with desk(settings) as open_desk:
            pace = Pace(rate, workers)
            _rotate(open_desk, JobKind.MASTER, parameters, pace, dry_run=dry_run, resume=resume, as_json=as_json)


def add_lock_commands(app: typer.Typer, desk: OpenDesk) -> None:
    """Add `locks` and `suite` to `app`: the same options, for all records or for those of another suite."""

    def add(kind: JobKind, help_text: str) -> None:
        @app.command(kind.value, help=help_text)
        def rotate_locks(
            settings: SettingsFile = None,
            *,
            dry_run: DryRun = False,
            resume: Resume = False,
            rate: Rate = None,
            workers: Workers = None,
            grace: Grace = DEFAULT_GRACE_SECONDS,
            as_json: AsJson = False,
        ) -> None:
            parameters = JobParameters(
                rate=rate or DEFAULT_LOCKS_RATE, workers=workers or DEFAULT_WORKERS, grace_seconds=grace
            )
            with desk(settings) as open_desk:
                pace = Pace(rate, workers)
                _rotate(open_desk, kind, parameters, pace, dry_run=dry_run, resume=resume, as_json=as_json)

    add(JobKind.LOCKS, _LOCKS_HELP)
    add(JobKind.SUITE, _SUITE_HELP)


def _rotate(
    desk: Desk, kind: JobKind, parameters: JobParameters, pace: Pace, *, dry_run: bool, resume: bool, as_json: bool
) -> None:
    """Begin a job with `parameters`, or have the one there is go on at `pace`, and look on."""
    if dry_run:
        plan = desk.read(lambda connection: _plan(connection, desk.deployment.write_suite, kind, parameters))
        print_json(plan) if as_json else show_job(Console(), plan)
        raise typer.Exit(0 if plan["can_begin"] else 1)
    if resume:
        resume_and_follow(desk, kind, pace, as_json=as_json)
        return
    name = JobId.make()
    job = desk.decide(lambda moment: accept.begin_job(moment, name, kind, parameters, by=None))
    follow_job(desk, job.id, wanted=JobState.FINISHED, as_json=as_json)


def _plan(connection: Connection, suite: Suite, kind: JobKind, parameters: JobParameters) -> dict[str, Any]:
    now = system_clock()
    total = count_items(connection, kind, parameters, suite)
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
        "total": total,
        "seconds_at_least": -(-total // parameters.rate),
        "grace_seconds": parameters.grace_seconds,
        "active_version": None if active is None else active.version,
        "provider": None if active is None else active.provider,
        "new_provider": parameters.provider or (None if active is None else active.provider),
        "programs": programs,
    }
