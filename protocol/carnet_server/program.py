"""What the console commands of both servers share: a database at the right version, and failures told in one line."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from sqlalchemy import Connection, Engine, MetaData

from carnet_server.database import make_engine, reader
from carnet_server.errors import RefusalError, ServerError
from carnet_server.fsck import Finding
from carnet_server.migrations import check_migrated, find_differences
from carnet_server.settings import ServerSettings


@contextmanager
def open_engine(settings: ServerSettings, revisions: Path) -> Iterator[Engine]:
    """An engine on a database that is at the version of this program. Raises `MigrationError` or a refusal."""
    engine = make_engine(settings.database)
    try:
        with reader(engine) as connection:
            check_migrated(connection, revisions)
        yield engine
    finally:
        engine.dispose()


def check_tables(connection: Connection, metadata: MetaData) -> Iterator[Finding]:
    """What is wrong with the database itself: tables of another form, damage, rows that refer to nothing."""
    for difference in find_differences(connection, metadata):
        yield Finding("table_of_another_form", str(difference[0]))
    if connection.dialect.name == "sqlite":
        for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if said != "ok":
                yield Finding("database_damaged", str(said))
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Finding("row_refers_to_nothing", f"table {row[0]}, row {row[1]}")


def print_json(value: object) -> None:
    """One JSON value on a line of its own."""
    typer.echo(json.dumps(value, sort_keys=True))


@contextmanager
def failures(program: str, *others: type[Exception]) -> Iterator[None]:
    """Say in one line, as `program`, what is wrong, and end with 1: for our own errors, and for those of `others`."""
    kinds: tuple[type[Exception], ...] = (ServerError, *others)
    try:
        yield
    except RefusalError as error:
        _fail(program, f"refused: {error.reason.replace('_', ' ')}")
    except kinds as error:
        _fail(program, str(error))


def _fail(program: str, message: str) -> NoReturn:
    typer.echo(f"{program}: {message}", err=True)
    sys.exit(1)
