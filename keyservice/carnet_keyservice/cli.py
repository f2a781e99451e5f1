"""`carnet-keyservice`: serve, migrate, fsck, status, officers.

Exit code 0 says that it is done and all is well; 1 that something is wrong, with what to do on standard error; 2 that
the command was not understood.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from carnet_keyservice import tables
from carnet_keyservice.app import REVISIONS, create_app
from carnet_keyservice.errors import KeyServiceError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.settings import PREFIX, KeyServiceSettings
from carnet_keyservice.startup import load_deployment, load_secrets, require_master_keys
from carnet_keyservice.status import count_all
from carnet_protocol.api import OfficerUpdate
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.clock import system_clock
from carnet_server.database import make_engine, reader
from carnet_server.deployment import Moment
from carnet_server.errors import RefusalError, ServerError, SettingsError
from carnet_server.events import LoggedEvent
from carnet_server.fsck import Finding
from carnet_server.migrations import check_migrated, find_differences, migrate
from carnet_server.officers.accept import enrol_officer, expel_officer
from carnet_server.officers.queries import load_officers
from carnet_server.officers.routes import view_status
from carnet_server.serve import make_server_log, serve
from carnet_server.settings import load_settings
from carnet_server.writer import Writer

_MAX_KEY_FILE_BYTES: Final = 64

app = typer.Typer(
    help="The key service of a Carnet deployment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
officers_app = typer.Typer(help="Security officers, from the machine itself.", no_args_is_help=True)
app.add_typer(officers_app, name="officers")

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help=f"TOML file of settings; the environment ({PREFIX}…) goes before it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def main() -> None:
    """The console command."""
    app()


@app.command("serve")
def serve_command(settings: SettingsFile = None) -> None:
    """Answer requests until a signal says stop."""
    with _failures():
        loaded = _load(settings)
        deployment, secrets = load_deployment(loaded), load_secrets(loaded)
        with _engine(loaded) as engine:
            with Writer(engine) as writer:
                require_master_keys(engine, writer, secrets.master_keys)
            service = create_app(loaded, deployment, engine, secrets, make_server_log(loaded))
            serve(service.app, service.chassis, loaded)


@app.command("migrate")
def migrate_command(settings: SettingsFile = None) -> None:
    """Bring the database to the version of this program. Does nothing where it is there already."""
    with _failures():
        loaded = _load(settings)
        engine = make_engine(loaded.database)
        try:
            migrate(engine, REVISIONS)
        finally:
            engine.dispose()


@app.command("fsck")
def fsck_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
    """Check the log, every statement, every row and every lock. Changes nothing; the server may be running."""
    with _failures():
        loaded = _load(settings)
        deployment, secrets = load_deployment(loaded), load_secrets(loaded)
        with _engine(loaded) as engine, reader(engine) as connection:
            findings = [*_check_tables(connection), *check_all(connection, deployment, secrets.master_keys)]
    if as_json:
        _print_json({"ok": not findings, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.check}: {finding.where}")
        typer.echo("clean" if not findings else f"{len(findings)} findings")
    raise typer.Exit(1 if findings else 0)


@app.command("status")
def status_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
    """Print counts: locks per master key version, retired locks, the oldest lock statement, officers."""
    with _failures():
        loaded = _load(settings)
        deployment = load_deployment(loaded)
        with _engine(loaded) as engine, reader(engine) as connection:
            status = view_status(Moment(connection, system_clock(), deployment), count_all)
    if as_json:
        _print_json(status.model_dump(mode="json"))
        return
    typer.echo(f"server {status.server}, {status.events} events")
    for name, count in status.counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {_days(count) if name.endswith('_expires_in') else count}")
    if not status.officers:
        typer.echo("no officer yet: carnet-keyservice officers enrol")
    for officer in status.officers:
        typer.echo(f"officer {officer.fingerprint}: {'in force' if officer.retired is None else 'retired'}")


@officers_app.command("enrol")
def enrol_command(
    key_file: Annotated[Path, typer.Option("--key-file", help="File with the officer's public key, base64url.")],
    settings: SettingsFile = None,
) -> None:
    """Put an officer's key in force: the way in for the first one, who then enrols others over the API."""
    with _failures():
        public_key = _read_public_key(key_file)
        event = _write(settings, lambda moment: enrol_officer(moment, public_key, by=None))
    typer.echo(f"officer {public_key.fingerprint()} is in force by event {event.index}")


# A fingerprint in base64url may begin with a hyphen, and is no option then.
@officers_app.command("retire", context_settings={"ignore_unknown_options": True})
def retire_command(
    officer: Annotated[str, typer.Argument(help="Fingerprint of the officer's key.")], settings: SettingsFile = None
) -> None:
    """Retire an officer's key, for good."""
    with _failures():
        try:
            fingerprint = Fingerprint.parse(officer)
        except MalformedError as error:
            raise SettingsError("an officer is named by the 43 characters that `officers list` shows") from error
        event = _write(settings, lambda moment: expel_officer(moment, fingerprint, by=None))
    typer.echo(f"officer {officer} is retired by event {event.index}")


@officers_app.command("list")
def list_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
    """Print every officer."""
    with _failures():
        loaded = _load(settings)
        with _engine(loaded) as engine, reader(engine) as connection:
            officers = load_officers(connection)
    if as_json:
        _print_json({"officers": [officer.model_dump(mode="json") for officer in officers]})
        return
    for officer in officers:
        typer.echo(f"{officer.fingerprint} {'in force' if officer.retired is None else 'retired'}")


def _days(seconds: int) -> str:
    if seconds <= 0:
        return "expired, issued again when it is asked for"
    days, rest = divmod(seconds, 86_400)
    return f"{days} days, {rest // 3600} hours"


def _load(file: Path | None) -> KeyServiceSettings:
    return load_settings(KeyServiceSettings, file=file, environment=os.environ, prefix=PREFIX, arguments={})


@contextmanager
def _engine(settings: KeyServiceSettings) -> Iterator[Engine]:
    """An engine on a database that is at the version of this program."""
    engine = make_engine(settings.database)
    try:
        with reader(engine) as connection:
            check_migrated(connection, REVISIONS)
        yield engine
    finally:
        engine.dispose()


def _check_tables(connection: Connection) -> Iterator[Finding]:
    for difference in find_differences(connection, tables.metadata):
        yield Finding("table_of_another_form", str(difference[0]))
    if connection.dialect.name == "sqlite":
        for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if said != "ok":
                yield Finding("database_damaged", str(said))
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Finding("row_refers_to_nothing", f"table {row[0]}, row {row[1]}")


def _write(file: Path | None, decide: Callable[[Moment], LoggedEvent]) -> LoggedEvent:
    """What `decide` does, in a transaction of the writer's kind, so that a running server is not disturbed."""
    settings = _load(file)
    deployment = load_deployment(settings)
    with _engine(settings) as engine, Writer(engine) as writer:
        return writer.run(lambda _: system_clock(), lambda connection, now: decide(Moment(connection, now, deployment)))


def _read_public_key(file: Path) -> Ed25519PublicKey:
    try:
        with file.open("rb") as stream:
            text = stream.read(_MAX_KEY_FILE_BYTES).decode("ascii").strip()
        return OfficerUpdate.model_validate({"public_key": text}).public_key
    except OSError as error:
        raise SettingsError("the key file cannot be read") from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise SettingsError("the key file does not hold an Ed25519 public key of 43 base64url characters") from error


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, sort_keys=True))


@contextmanager
def _failures() -> Iterator[None]:
    """Say what is wrong in one line, and end with 1."""
    try:
        yield
    except RefusalError as error:
        _fail(f"refused: {error.reason.replace('_', ' ')}")
    except (ServerError, KeyServiceError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"carnet-keyservice: {message}", err=True)
    sys.exit(1)
