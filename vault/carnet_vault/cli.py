"""`carnet-vault`: serve, migrate, fsck, gc, officers.

Exit code 0 says that it is done and all is well; 1 that something is wrong, with what to do on standard error; 2 that
the command was not understood.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from carnet_server.clock import system_clock
from carnet_server.database import make_engine, reader
from carnet_server.deployment import Deployment
from carnet_server.fsck import Finding, survive
from carnet_server.migrations import migrate
from carnet_server.officers.commands import make_officers_app
from carnet_server.program import check_tables, failures, open_engine, print_json
from carnet_server.serve import make_server_log, serve
from carnet_server.settings import load_settings
from carnet_server.writer import Writer
from carnet_storage import StorageError, Store
from carnet_vault import tables
from carnet_vault.app import REVISIONS, create_app
from carnet_vault.fsck import Seen, check_contents, check_database, check_objects, content_bytes
from carnet_vault.gc.collect import DEFAULT_GRACE_SECONDS, Collector
from carnet_vault.settings import PREFIX, VaultSettings
from carnet_vault.startup import LocalStore, create_store, load_deployment, load_server_key, open_store

_PROGRAM: Final = "carnet-vault"

app = typer.Typer(
    help="The vault of a Carnet deployment.",
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
    with failures(_PROGRAM, StorageError):
        loaded = _load(settings)
        deployment, store = load_deployment(loaded), open_store(loaded)
        # Before anything is taken in: a service that overwrites loses what two tries at one finish bring.
        _port(store).check()
        with open_engine(loaded, REVISIONS) as engine:
            vault = create_app(
                loaded, deployment, engine, store, make_server_log(loaded), server_key=load_server_key(loaded)
            )
            serve(vault.app, vault.chassis, loaded)


@app.command("migrate")
def migrate_command(settings: SettingsFile = None) -> None:
    """Bring the database to the version of this program, and lay out a first store. Does nothing where all is there."""
    with failures(_PROGRAM, StorageError):
        loaded = _load(settings)
        engine = make_engine(loaded.database)
        try:
            migrate(engine, REVISIONS)
            create_store(loaded, engine)
        finally:
            engine.dispose()


@app.command("fsck")
def fsck_command(
    settings: SettingsFile = None,
    *,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every object and check its digests.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the log, every statement, row and capsule, and that every object is there. Changes nothing.

    The server may be running. What nobody needs any more is counted, and is no fault: `gc` removes it. Each finding is
    printed when it is made, so that a check which is cut has said what it found.
    """
    report = _Report(is_json=as_json)
    with failures(_PROGRAM, StorageError):
        loaded = _load(settings)
        deployment, store = load_deployment(loaded), _port(open_store(loaded))
        with open_engine(loaded, REVISIONS) as engine, report, _progress() as progress:
            with reader(engine) as connection:
                task = progress.add_task("database", total=None)
                report.add(survive(check_tables(connection, tables.metadata), "tables"))
                report.add(check_database(connection, deployment))
                progress.update(task, total=1, completed=1)
            task = progress.add_task("objects", total=None)
            report.add(check_objects(engine, store, report.seen, on_object=lambda: progress.advance(task)))
            if deep:
                contents = progress.add_task("contents", total=content_bytes(engine))
                report.add(check_contents(engine, store, on_bytes=lambda size: progress.advance(contents, size)))
    raise typer.Exit(1 if report.findings else 0)


@app.command("gc")
def gc_command(
    settings: SettingsFile = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    grace_seconds: Annotated[
        int, typer.Option("--grace-seconds", min=0, help="How long something has to be of no use before it goes.")
    ] = DEFAULT_GRACE_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Remove abandoned uploads, orphan objects, and what is left of removed and replaced documents.

    The server may be running. Cut in between, it is simply run again.
    """
    with failures(_PROGRAM, StorageError):
        loaded = _load(settings)
        deployment, store = load_deployment(loaded), _port(open_store(loaded))
        with open_engine(loaded, REVISIONS) as engine, Writer(engine) as writer, _progress() as progress:
            task = progress.add_task("looking", total=None)
            collector = Collector(
                engine=engine,
                writer=writer,
                store=store,
                deployment=deployment,
                clock=system_clock,
                grace_seconds=grace_seconds,
                on_step=lambda: progress.advance(task),
            )
            counts = collector.survey() if dry_run else collector.collect()
    if as_json:
        print_json({"dry_run": dry_run, "counts": dict(counts)})
        return
    for name, count in sorted(counts.items()):
        if count:
            typer.echo(f"{name.replace('_', ' ')}: {count}")
    typer.echo("nothing to do" if not counts.total() else "these would go" if dry_run else "done")


@dataclass
class _Report:
    """What `fsck` prints: findings as they come, or one JSON object in the end, also where the check is cut."""

    is_json: bool
    seen: Seen = field(default_factory=Seen)
    findings: list[Finding] = field(default_factory=list)

    def add(self, found: Iterable[Finding]) -> None:
        """Take findings, one after the other."""
        for finding in found:
            self.findings.append(finding)
            if not self.is_json:
                typer.echo(f"{finding.check}: {finding.where}")

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Conclude; of a check that was cut, say only what it found."""
        litter = asdict(self.seen.litter)
        if self.is_json:
            is_whole, faults = kind is None, [asdict(finding) for finding in self.findings]
            report = {"ok": is_whole and not faults, "complete": is_whole, "findings": faults}
            print_json({**report, "objects": self.seen.objects, "litter": litter})
        elif kind is None:
            for name, count in litter.items():
                if count:
                    typer.echo(f"for gc: {count} {name.replace('_', ' ')}")
            typer.echo("clean" if not self.findings else f"{len(self.findings)} findings")


def _load(file: Path | None) -> VaultSettings:
    return load_settings(VaultSettings, file=file, environment=os.environ, prefix=PREFIX, arguments={})


def _port(store: LocalStore | Store) -> Store:
    return store.store if isinstance(store, LocalStore) else store


@contextmanager
def _open_database(file: Path | None) -> Iterator[tuple[Deployment, Engine]]:
    settings = _load(file)
    deployment = load_deployment(settings)
    with open_engine(settings, REVISIONS) as engine:
        yield deployment, engine


def _progress() -> Progress:
    """Bars on standard error, where somebody looks at it."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        # Standard output goes past the bars where both are on the one terminal, and nowhere else.
        redirect_stdout=sys.stdout.isatty(),
        disable=not console.is_terminal,
    )


app.add_typer(make_officers_app(_PROGRAM, _open_database), name="officers")
