"""`rotate status`, `pause`, `abort` and `report`: looking at a rotation, and stopping it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Connection

from carnet_keyservice.errors import RotationError
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.desk import AsJson, OpenDesk, SettingsFile, follow_job
from carnet_keyservice.rotation.job import Job, JobState
from carnet_keyservice.rotation.queries import find_job, find_newest_job, find_unfinished, load_skips
from carnet_keyservice.rotation.show import describe_job, show_end, show_job
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import JobId
from carnet_protocol.statements import RotationReport, Signed
from carnet_server.clock import system_clock
from carnet_server.deployment import Moment
from carnet_server.errors import SettingsError
from carnet_server.program import print_json


def add_look_commands(app: typer.Typer, desk: OpenDesk) -> None:
    """Add the commands to `app`."""

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
            follow_job(open_desk, job.id, wanted=JobState.ABORTED, as_json=as_json)

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
    except ProtocolError as error:
        raise SettingsError("a job is named by the 22 characters that `rotate status` shows") from error


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text + "\n")
    except OSError as error:
        raise SettingsError("the report cannot be written there: name another file") from error
