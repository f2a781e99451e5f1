"""Engines for the two databases that a server runs on: SQLite embedded, PostgreSQL through psycopg 3.

One engine per program. Whatever begins on it may write: `BEGIN IMMEDIATE` on SQLite, `SERIALIZABLE` on PostgreSQL.
`reader` gives a snapshot that cannot write. Nothing here commits for anyone; `writer.py` does.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import BigInteger, Connection, Dialect, Engine, Integer, LargeBinary, Text, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.types import TypeDecorator, TypeEngine
from typing_extensions import override

from carnet_protocol.ids import FixedBytes
from carnet_server.errors import BusyError, CommitError, NoSpaceError, RefusalError, SettingsError

POOL_SIZE: Final = 16
BUSY_SECONDS: Final = 10
_CUT_MILLISECONDS: Final = 200
"""How long cutting the log ahead waits for readers, while writers wait for it."""
_STATEMENT_MILLISECONDS: Final = 30_000
_READ_ONLY: Final = "carnet_read_only"
_SERIALIZATION_FAILURES: Final = frozenset({"40001", "40P01"})
_CONTENTION: Final = frozenset({"55P03", "57014"})
_POSTGRESQL_FAILURES: Final = frozenset({"08", "25", "53", "57", "58", "XX"})
_SQLITE_FAILURES: Final = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)

INTEGER: Final[TypeEngine[int]] = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both databases: a `STRICT` table of SQLite knows INTEGER alone."""
TEXT: Final = Text()
OBJECT_NAME: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")
"""In the order of stores, by ASCII codes, whatever language the database sorts in."""
BYTES: Final = LargeBinary()

_Id = TypeVar("_Id", bound=FixedBytes)


class Identifier(TypeDecorator[_Id]):
    """Column of one type of identifier: its raw bytes in the database, the value in Python."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, identifier: type[_Id]) -> None:
        super().__init__()
        self.identifier = identifier

    @override
    def process_bind_param(self, value: _Id | None, dialect: Dialect) -> bytes | None:
        """The raw bytes; refuses another identifier's."""
        if value is None:
            return None
        if type(value) is not self.identifier:
            raise AssertionError(f"internal: a column of {self.identifier.__name__} is given something else")
        return value.raw

    @override
    def process_result_value(self, value: Any | None, dialect: Dialect) -> _Id | None:
        """The value that the bytes stand for."""
        return None if value is None else self.identifier(value)


def make_engine(url: str) -> Engine:
    """An engine for `url`, `sqlite:///FILE` or `postgresql+psycopg://…`.

    On SQLite every table is made `STRICT` by its migration, and the file is readable by its owner alone. Statements'
    values never appear in errors. Raises `SettingsError` for any other URL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(
            "the database URL cannot be read; write sqlite:///FILE or postgresql+psycopg://…"
        ) from error
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            if parsed.database in {None, "", ":memory:"}:
                raise SettingsError("a server keeps its SQLite database in a file: sqlite:///FILE")
            return _make_sqlite_engine(url, Path(str(parsed.database)))
        case "postgresql+psycopg":
            return _make_postgresql_engine(url)
        case _:
            raise SettingsError("the database is sqlite:///FILE or postgresql+psycopg://…")


@contextlib.contextmanager
def reader(engine: Engine) -> Iterator[Connection]:
    """A connection from the pool on one snapshot of the database, which refuses to write.

    Raises `RefusalError` where the database cannot be reached.
    """
    with explaining(), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            snapshot = connection.execution_options(**{_READ_ONLY: True})
        else:
            snapshot = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with snapshot.begin():
            yield snapshot


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Raise the refusal that stands for a failure of the database; a fault of the program's own as it is."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:  # the driver's own where a connection or transaction begins
        refusal = explain(error)
        if refusal is None:
            raise
        raise refusal from error


def overwrite_deleted(engine: Engine) -> None:
    """Have what was deleted gone from the files of the database, as far as that can be done now.

    SQLite overwrites what it deletes, but the log ahead of the database goes on holding older pages until it is cut. It
    is cut unless somebody reads just then; then it is the next time. On PostgreSQL nothing is done (`limits.md`).
    """
    if engine.dialect.name != "sqlite":
        return
    with contextlib.closing(engine.raw_connection()) as pooled:
        driver = pooled.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise AssertionError("internal: a SQLite engine without a SQLite connection")  # noqa: TRY004  STYLE 32
        driver.execute(f"PRAGMA busy_timeout = {_CUT_MILLISECONDS}")
        try:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError:
            return
        finally:
            driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def is_retriable(error: Exception) -> bool:
    """Whether the whole transaction may be run again: lost to another one, or its connection is gone."""
    if not isinstance(error, DBAPIError):
        return False
    is_lost = isinstance(error.orig, psycopg.Error) and error.orig.sqlstate in _SERIALIZATION_FAILURES
    return is_lost or error.connection_invalidated


def explain(error: Exception) -> RefusalError | None:
    """The refusal that stands for a failure of the database, or None if the fault is the program's own."""
    if isinstance(error, PoolTimeoutError):
        return BusyError("database_pool")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _explain_sqlite(cause)
    if isinstance(cause, psycopg.Error):
        return _explain_postgresql(cause)
    return None


def _explain_sqlite(cause: sqlite3.Error) -> RefusalError | None:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the extended codes share their first byte
    if code == sqlite3.SQLITE_FULL:
        return NoSpaceError("database_full")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BusyError("database_locked")
    return CommitError("database_failed") if code in _SQLITE_FAILURES else None


def _explain_postgresql(cause: psycopg.Error) -> RefusalError | None:
    state = cause.sqlstate
    if state == "53100":
        return NoSpaceError("database_full")
    if state in _CONTENTION | _SERIALIZATION_FAILURES:
        return BusyError("database_contended")
    # Without a state there was no answer at all: no connection.
    return CommitError("database_failed") if state is None or state[:2] in _POSTGRESQL_FAILURES else None


def _make_sqlite_engine(url: str, path: Path) -> Engine:
    _create_for_its_owner(path)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_use_lifo=True,  # few connections under little load, and these know their statements already
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_for_its_owner(path: Path) -> None:
    """Make the file unless it is there. Raises `SettingsError`.

    One that is there is not opened: closing it again would drop every lock that SQLite holds on it in this process.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if os.access(path, os.R_OK | os.W_OK) and path.is_file():
            return
        raise SettingsError("the SQLite database cannot be read and written") from None
    except OSError as error:
        raise SettingsError("the folder of the SQLite database is not there or cannot be written") from error


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    """Take transaction control from the driver, and make commits durable."""
    del record
    try:
        _set_pragmas(connection)
    except sqlite3.Error:
        connection.close()  # the pool never heard of it
        raise


def _set_pragmas(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "secure_delete = ON",  # what is deleted is overwritten: sealed keys, nonces
        "temp_store = MEMORY",  # what is undone or sorted is not spilled to files of /var/tmp
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_reader = connection.get_execution_options().get(_READ_ONLY, False)
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise AssertionError("internal: a SQLite engine without a SQLite connection")  # noqa: TRY004  see STYLE 32
    if connection.info.get(_READ_ONLY) is not is_reader:
        # Setting it makes SQLite prepare every statement of the connection anew, so it is set when it changes alone.
        driver.execute(f"PRAGMA query_only = {int(is_reader)}")
        connection.info[_READ_ONLY] = is_reader
    driver.execute("BEGIN" if is_reader else "BEGIN IMMEDIATE")


def _make_postgresql_engine(url: str) -> Engine:
    options = f"-c statement_timeout={_STATEMENT_MILLISECONDS} -c lock_timeout={BUSY_SECONDS * 1000}"
    return create_engine(
        url,
        hide_parameters=True,
        isolation_level="SERIALIZABLE",
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_use_lifo=True,  # few connections under little load, and these know their statements already
        pool_timeout=BUSY_SECONDS,
        connect_args={
            "connect_timeout": BUSY_SECONDS,
            "options": f"{options} -c idle_in_transaction_session_timeout={_STATEMENT_MILLISECONDS}",
            "target_session_attrs": "read-write",  # never a replica: it may not know a revocation yet
        },
    )
