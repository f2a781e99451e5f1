"""Statements of the hot path, compiled once and run at the driver.

A release asks the database some ten times, and what SQLAlchemy does around each question cost more than the answers:
44 against 3 microseconds for the look-up of a key on SQLite, measured on 2026-11-21. The statements are written with
SQLAlchemy all the same and compiled by it, once for each kind of database; only their execution goes past it. Values
are those of the driver: bytes, whole numbers, text, None. The transaction is that of the connection they are run on.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from carnet_protocol.ids import FixedBytes

Value = bytes | int | str | None
Values = Value | Sequence[Value]
"""PostgreSQL takes lists too."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement in the words of one kind of database. `order` is None where parameters go by name."""

    text: str
    constants: dict[str, Value]
    order: tuple[str, ...] | None


class Prepared:
    """One statement. Made at import, compiled at its first use; safe in several threads."""

    __slots__ = ("_by_dialect", "_statement")

    def __init__(self, statement: Executable) -> None:
        if not isinstance(statement, ClauseElement):
            raise AssertionError("internal: only what can be compiled can be prepared")  # noqa: TRY004  STYLE 32
        self._statement = statement
        self._by_dialect: dict[str, _Compiled] = {}

    def asking(self, **values: Value) -> "Question":
        """What `run_together` takes: the statement for `values`."""
        return Question(self, values)

    def rows(self, connection: Connection, **values: Values) -> Sequence[tuple[Any, ...]]:
        """Every row that the statement gives for `values`, as the driver has them.

        Raises what SQLAlchemy would: `DBAPIError` and what derives from it.
        """
        rows: Sequence[tuple[Any, ...]] = self.execute(connection, values).fetchall()
        return rows

    def first(self, connection: Connection, **values: Value) -> tuple[Any, ...] | None:
        """The first row, if there is one."""
        rows = self.rows(connection, **values)
        return rows[0] if rows else None

    def run(self, connection: Connection, **values: Value) -> None:
        """Run a statement that gives no rows."""
        self.execute(connection, values)

    def execute(self, connection: Connection, values: Mapping[str, Values]) -> Any:  # noqa: ANN401  a cursor of either driver
        """The driver's cursor after the statement. Raises what SQLAlchemy would."""
        dialect = connection.dialect
        compiled = self._by_dialect.get(dialect.name) or self._compile(connection)
        named = {**compiled.constants, **values}
        driver = connection.connection.driver_connection
        if driver is None:
            raise AssertionError("internal: a connection without its driver's")
        cursor = driver.cursor()
        try:
            if compiled.order is None:
                cursor.execute(compiled.text, named)
            else:
                cursor.execute(compiled.text, [named[name] for name in compiled.order])
        except dialect.loaded_dbapi.Error as error:
            raise _translate(connection, error, compiled.text) from error
        return cursor

    def _compile(self, connection: Connection) -> _Compiled:
        compiled = self._statement.compile(dialect=connection.dialect)
        if not isinstance(compiled, SQLCompiler):
            raise AssertionError("internal: a statement that does not compile to SQL")  # noqa: TRY004  STYLE 32
        positional = compiled.positiontup
        made = _Compiled(
            text=compiled.string,
            constants={name: _raw(value) for name, value in compiled.params.items() if value is not None},
            order=None if positional is None else tuple(positional),
        )
        self._by_dialect[connection.dialect.name] = made
        return made


@dataclass(frozen=True, slots=True)
class Question:
    """A prepared statement with its values."""

    statement: Prepared
    values: dict[str, Value]


def run_together(connection: Connection, *questions: Question) -> list[Sequence[tuple[Any, ...]]]:
    """The rows of each of `questions`, which are run in order; none where a statement gives none.

    On PostgreSQL several go out before the first answer comes back, in its pipeline mode: one round trip. So none can
    depend on another's answer. Raises as `Prepared.rows`, for the first that fails; those behind it did not run.
    """
    driver = connection.connection.driver_connection
    # For one alone it would be a second round trip: that of the pipeline's end.
    many = len(questions) > 1
    try:
        with driver.pipeline() if many and isinstance(driver, psycopg.Connection) else contextlib.nullcontext():
            cursors = [question.statement.execute(connection, question.values) for question in questions]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]
    except connection.dialect.loaded_dbapi.Error as error:
        raise _translate(connection, error, "several statements") from error


def _translate(connection: Connection, error: Any, text: str) -> StatementError:  # noqa: ANN401  either driver's
    """SQLAlchemy's error for one of the driver."""
    dialect, driver = connection.dialect, connection.connection.driver_connection
    translated: StatementError = DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=dialect.is_disconnect(error, driver, None),
        dialect=dialect,
    )
    return translated


def _raw(value: object) -> Value:
    if isinstance(value, FixedBytes):
        return value.raw
    if not isinstance(value, bytes | int | str):
        raise AssertionError("internal: a constant that no driver takes")  # noqa: TRY004  STYLE 32
    return value
