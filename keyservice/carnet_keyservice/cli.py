"""`carnet-keyservice`: serve, work, migrate, fsck, status, officers, rotate, keys.

Exit code 0 says that it is done and all is well; 1 that something is wrong, with what to do on standard error; 2 that
the command was not understood.
"""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from sqlalchemy import Engine

from carnet_keyservice import tables
from carnet_keyservice.app import REVISIONS, create_app, run_alone, run_beside_workers
from carnet_keyservice.errors import KeyServiceError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.rotation.commands import make_rotate_app
from carnet_keyservice.rotation.distributed import work
from carnet_keyservice.rotation.keys_commands import make_keys_app
from carnet_keyservice.rotation.processes import WORKER
from carnet_keyservice.rotation.watch import Watch
from carnet_keyservice.rotation.wiring import open_workshop
from carnet_keyservice.schedule import Policy
from carnet_keyservice.settings import PREFIX, KeyServiceSettings
from carnet_keyservice.startup import load_deployment, load_secrets, require_master_keys
from carnet_keyservice.status import counts_under
from carnet_keyservice.words import format_span
from carnet_server.clock import system_clock
from carnet_server.database import make_engine, reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import SettingsError
from carnet_server.migrations import migrate
from carnet_server.officers.commands import make_officers_app
from carnet_server.officers.routes import view_status
from carnet_server.program import check_tables, failures, open_engine, print_json
from carnet_server.serve import make_server_log, serve
from carnet_server.settings import load_settings
from carnet_server.writer import Writer

_PROGRAM: Final = "carnet-keyservice"

app = typer.Typer(
    help="The key service of a Carnet deployment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
    with failures(_PROGRAM, KeyServiceError):
        loaded = _load(settings)
        deployment, secrets = load_deployment(loaded), load_secrets(loaded)
        with open_engine(loaded, REVISIONS) as engine:
            with Writer(engine) as writer:
                require_master_keys(engine, writer, secrets.master_keys, provider=loaded.master_key_provider)
            background = run_alone if engine.dialect.name == "sqlite" else run_beside_workers
            log = make_server_log(loaded)
            service = create_app(loaded, deployment, engine, secrets, log, background=background)
            serve(service.app, service.chassis, loaded)


@app.command("work")
def work_command(settings: SettingsFile = None) -> None:
    """Do the jobs of rotation in place of `serve`, on PostgreSQL; as many of these as you like. Stops at a signal."""
    with failures(_PROGRAM, KeyServiceError):
        loaded = _load(settings)
        deployment, secrets = load_deployment(loaded), load_secrets(loaded)
        with open_engine(loaded, REVISIONS) as engine:
            if engine.dialect.name == "sqlite":
                raise SettingsError("on SQLite `serve` does the jobs itself; workers need PostgreSQL")
            with Writer(engine) as writer:
                require_master_keys(engine, writer, secrets.master_keys)
                log = make_server_log(loaded)
                with open_workshop(loaded, deployment, engine, writer, secrets, log=log) as shop:
                    watch = Watch(shop, WORKER)
                    watch.start()
                    typer.echo(f"{WORKER}s")
                    try:
                        work(shop)
                    finally:
                        watch.stop()


@app.command("migrate")
def migrate_command(settings: SettingsFile = None) -> None:
    """Bring the database to the version of this program. Does nothing where it is there already."""
    with failures(_PROGRAM, KeyServiceError):
        loaded = _load(settings)
        engine = make_engine(loaded.database)
        try:
            migrate(engine, REVISIONS)
        finally:
            engine.dispose()


@app.command("fsck")
def fsck_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
    """Check the log, every statement, every row and every lock. Changes nothing; the server may be running."""
    with failures(_PROGRAM, KeyServiceError):
        loaded = _load(settings)
        deployment, secrets = load_deployment(loaded), load_secrets(loaded)
        with open_engine(loaded, REVISIONS) as engine, reader(engine) as connection:
            findings = [
                *check_tables(connection, tables.metadata),
                *check_all(connection, deployment, secrets.master_keys),
            ]
    if as_json:
        print_json({"ok": not findings, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.check}: {finding.where}")
        typer.echo("clean" if not findings else f"{len(findings)} findings")
    raise typer.Exit(1 if findings else 0)


@app.command("status")
def status_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
    """Print counts, what is due: keys to rotate or to destroy, a rotation that needs somebody; and officers."""
    with failures(_PROGRAM, KeyServiceError):
        loaded = _load(settings)
        deployment = load_deployment(loaded)
        with open_engine(loaded, REVISIONS) as engine, reader(engine) as connection:
            status = view_status(Moment(connection, system_clock(), deployment), counts_under(Policy.of(loaded)))
    if as_json:
        print_json(status.model_dump(mode="json"))
        return
    typer.echo(f"server {status.server}, {status.events} events")
    for name, count in status.counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {_shown(name, count)}")
    if not status.officers:
        typer.echo("no officer yet: carnet-keyservice officers enrol")
    for officer in status.officers:
        typer.echo(f"officer {officer.fingerprint}: {'in force' if officer.retired is None else 'retired'}")


def _shown(name: str, count: int) -> str:
    if name.endswith("_expires_in") and count <= 0:
        return "expired, issued again when it is asked for"
    if name.endswith("_due_in") and count <= 0:
        return f"overdue for {format_span(-count)}: rotate now"
    return format_span(count) if name.endswith(("_expires_in", "_due_in", "_age")) else str(count)


def _load(file: Path | None) -> KeyServiceSettings:
    return load_settings(KeyServiceSettings, file=file, environment=os.environ, prefix=PREFIX, arguments={})


@contextmanager
def _open_database(file: Path | None) -> Iterator[tuple[Deployment, Engine]]:
    settings = _load(file)
    deployment = load_deployment(settings)
    with open_engine(settings, REVISIONS) as engine:
        yield deployment, engine


app.add_typer(make_officers_app(_PROGRAM, _open_database), name="officers")
app.add_typer(make_rotate_app(_PROGRAM, _open_database), name="rotate")
app.add_typer(make_keys_app(_PROGRAM, _load, _open_database), name="keys")
