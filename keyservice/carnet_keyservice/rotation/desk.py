"""What the commands of a rotation share: the database they look into, and how they look on until a job ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console
from sqlalchemy import Connection, Engine

from carnet_keyservice.errors import KeyServiceError, RotationError
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.job import MAX_WORKERS, JobKind, JobState, Pace
from carnet_keyservice.rotation.processes import count_running
from carnet_keyservice.rotation.show import describe_job, follow, show_job
from carnet_protocol.ids import JobId
from carnet_server.clock import system_clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.program import failures, print_json
from carnet_server.writer import Writer

NO_PROGRAM_SECONDS: Final = 10
DEFAULT_WORKERS: Final = 2
T = TypeVar("T")

SettingsFile = Annotated[Path | None, typer.Option("--settings", help="TOML file of settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        max=MAX_WORKERS,
        help="How many work at it at once.",
        show_default=str(DEFAULT_WORKERS),
    ),
]
OpenDatabase = Callable[[Path | None], AbstractContextManager[tuple[Deployment, Engine]]]
"""Opens the deployment and the database that a file of settings names."""
OpenDesk = Callable[[Path | None], AbstractContextManager["Desk"]]


@dataclass(frozen=True, slots=True)
class Desk:
    """The database that a command looks into, and how it writes there."""

    deployment: Deployment
    engine: Engine

    def read(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds, on one snapshot."""
        with reader(self.engine) as connection:
            return look(connection)

    def decide(self, work: Callable[[Moment], T]) -> T:
        """What `work` decides, in a transaction of the writer's kind."""
        with Writer(self.engine) as writer:
            return writer.run(
                lambda _: system_clock(), lambda connection, now: work(Moment(connection, now, self.deployment))
            )


def desk_opener(program: str, open_database: OpenDatabase) -> OpenDesk:
    """Opens the desk for commands of `program`, which end in one line where something is wrong."""

    @contextmanager
    def open_desk(settings: Path | None) -> Iterator[Desk]:
        with failures(program, KeyServiceError), open_database(settings) as (deployment, engine):
            yield Desk(deployment, engine)

    return open_desk


def resume_and_follow(desk: Desk, kind: JobKind, pace: Pace, *, as_json: bool) -> None:
    """Have the job of `kind` go on at `pace`, and follow it; one that ended meanwhile is shown as it ended."""
    job = desk.decide(lambda moment: accept.resume_job(moment, kind, pace, by=None))
    follow_job(desk, job.id, wanted=JobState.FINISHED, as_json=as_json)


def follow_job(desk: Desk, name: JobId, *, wanted: JobState, as_json: bool) -> None:
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
