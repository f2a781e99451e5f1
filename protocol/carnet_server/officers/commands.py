"""`officers`: what whoever holds the machine does about security officers, the same words at both servers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from sqlalchemy import Engine

from carnet_protocol.api import OfficerUpdate
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.clock import system_clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import SettingsError
from carnet_server.events import LoggedEvent
from carnet_server.officers.accept import enrol_officer, expel_officer
from carnet_server.officers.queries import load_officers
from carnet_server.program import failures, print_json
from carnet_server.writer import Writer

_MAX_KEY_FILE_BYTES: Final = 64
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="TOML file of settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
OpenDatabase = Callable[[Path | None], AbstractContextManager[tuple[Deployment, Engine]]]
"""Opens the deployment and the database that a file of settings names."""


def make_officers_app(program: str, open_database: OpenDatabase) -> typer.Typer:
    """The group of commands for `program`."""
    app = typer.Typer(help="Security officers, from the machine itself.", no_args_is_help=True)

    def write(settings: Path | None, decide: Callable[[Moment], LoggedEvent]) -> LoggedEvent:
        """What `decide` does, in a transaction of the writer's kind, so that a running server is not disturbed."""
        with open_database(settings) as (deployment, engine), Writer(engine) as writer:
            return writer.run(
                lambda _: system_clock(), lambda connection, now: decide(Moment(connection, now, deployment))
            )

    @app.command("enrol")
    def enrol_command(
        key_file: Annotated[Path, typer.Option("--key-file", help="File with the officer's public key, base64url.")],
        settings: SettingsFile = None,
    ) -> None:
        """Put an officer's key in force: the way in for the first one, who then enrols others by signed requests."""
        with failures(program):
            public_key = _read_public_key(key_file)
            event = write(settings, lambda moment: enrol_officer(moment, public_key, by=None))
        typer.echo(f"officer {public_key.fingerprint()} is in force by event {event.index}")

    # A fingerprint in base64url may begin with a hyphen, and is no option then.
    @app.command("retire", context_settings={"ignore_unknown_options": True})
    def retire_command(
        officer: Annotated[str, typer.Argument(help="Fingerprint of the officer's key.")], settings: SettingsFile = None
    ) -> None:
        """Retire an officer's key, for good."""
        with failures(program):
            fingerprint = _parse_fingerprint(officer)
            event = write(settings, lambda moment: expel_officer(moment, fingerprint, by=None))
        typer.echo(f"officer {officer} is retired by event {event.index}")

    @app.command("list")
    def list_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
        """Print every officer."""
        with failures(program), open_database(settings) as (_, engine), reader(engine) as connection:
            officers = load_officers(connection)
        if as_json:
            print_json({"officers": [officer.model_dump(mode="json") for officer in officers]})
            return
        for officer in officers:
            typer.echo(f"{officer.fingerprint} {'in force' if officer.retired is None else 'retired'}")

    return app


def _parse_fingerprint(text: str) -> Fingerprint:
    try:
        return Fingerprint.parse(text)
    except MalformedError as error:
        raise SettingsError("an officer is named by the 43 characters that `officers list` shows") from error


def _read_public_key(file: Path) -> Ed25519PublicKey:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_KEY_FILE_BYTES).decode("ascii").strip()
        return OfficerUpdate.model_validate({"public_key": text}).public_key
    except OSError as error:
        raise SettingsError("the key file cannot be read") from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise SettingsError("the key file does not hold an Ed25519 public key of 43 base64url characters") from error
