"""Engines: durable, strict, and read-only where they are to read."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Column, Engine, MetaData, Table, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from carnet_protocol.ids import GrantId, IdentityHash, RandomId, RecordId
from carnet_server.database import INTEGER, Identifier, explain, is_retriable, make_engine, reader
from carnet_server.errors import BusyError, CommitError, NoSpaceError, RefusalError, SettingsError
from tests.support.tiny_server.tables import notes

SECRET = "Aspirin 500 mg for Alice"
ROW = {"note": RandomId(bytes(16)), "author": IdentityHash(bytes(32)), "text": SECRET, "written_at": 2**53 - 1}


def test_sqlite_commits_are_durable_and_foreign_keys_hold(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "busy_timeout",
                "secure_delete",
                "temp_store",
                "trusted_schema",
            )
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
        "secure_delete": 1,
        "temp_store": 2,
        "trusted_schema": 0,
    }


def test_postgresql_transactions_are_serializable_and_commits_are_waited_for(postgres_url: str) -> None:
    engine = make_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "serializable"
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "30s"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "10s"
    engine.dispose()


def test_a_sqlite_file_is_readable_by_its_owner_alone(sqlite_engine: Engine) -> None:
    with sqlite_engine.begin() as connection:
        connection.execute(insert(notes), ROW)
    path = Path(str(sqlite_engine.url.database))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_sqlite_tables_are_strict(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        strict = connection.exec_driver_sql("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").all()
    assert {name for name, is_strict in strict if is_strict} >= {"nonces", "keys", "notes", "events"}
    with sqlite_engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(text("INSERT INTO notes VALUES (x'00', x'00', 'text', 'noon')"))


def test_writing_begins_at_once_so_that_two_writers_do_not_deadlock(sqlite_engine: Engine) -> None:
    path = str(sqlite_engine.url.database)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with sqlite_engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM notes", "CREATE TABLE more (a integer)", "DROP TABLE notes", "UPDATE notes SET text = ''"],
)
def test_a_reader_cannot_write(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(insert(notes), ROW)
    with pytest.raises((DBAPIError, RefusalError)), reader(engine) as connection:
        connection.execute(text(statement))
    with reader(engine) as connection:
        assert connection.execute(select(notes.c.text)).scalar_one() == SECRET


def test_a_connection_that_was_read_from_can_be_written_to_afterwards(engine: Engine) -> None:
    for number in range(3):
        with reader(engine) as connection:
            connection.execute(select(notes)).all()
        with engine.begin() as connection:
            connection.execute(insert(notes), ROW | {"note": RandomId(number.to_bytes(16, "big"))})


def test_a_reader_stays_on_its_snapshot(engine: Engine) -> None:
    with reader(engine) as snapshot:
        assert snapshot.execute(select(notes)).all() == []
        with engine.begin() as connection:
            connection.execute(insert(notes), ROW)
        assert snapshot.execute(select(notes)).all() == []
    with reader(engine) as later:
        assert len(later.execute(select(notes)).all()) == 1


def test_a_reader_lets_the_callers_own_errors_through(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), reader(engine):
        1 / 0  # noqa: B018  the error is what the test wants


def test_a_faulty_statement_is_the_programs_fault_and_no_refusal(engine: Engine) -> None:
    with pytest.raises((OperationalError, ProgrammingError)), reader(engine) as connection:
        connection.execute(text("SELECT * FROM nowhere"))


def test_a_file_that_is_no_database_is_a_typed_refusal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"not a database" * 1000)
    engine = make_engine(f"sqlite:///{path}")
    with pytest.raises(CommitError), reader(engine):
        pass
    engine.dispose()
    assert str(path) not in open_files()


def test_sqlite_spills_nothing_to_a_temporary_file(sqlite_engine: Engine) -> None:
    spilling = (
        "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 40000) "
        "SELECT hex(zeroblob(300)) || n AS word FROM many ORDER BY word"
    )
    control = sqlite3.connect(":memory:")
    cursor = control.execute(spilling)
    assert cursor.fetchone()
    assert spilled(), "without the setting it would spill"
    cursor.close()
    control.close()
    assert not spilled()
    with sqlite_engine.connect() as connection:
        result = connection.exec_driver_sql(spilling)
        assert result.fetchone()
        assert not spilled()
        result.close()


def open_files() -> list[str]:
    """What the descriptors of this process lead to."""
    return [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]


def spilled() -> list[str]:
    """Temporary files of SQLite: it deletes them as it opens them."""
    return [name for name in open_files() if "etilqs_" in name]


def test_an_exhausted_pool_is_a_typed_refusal(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.pool, "_timeout", 0.001)
    held = [engine.connect() for _ in range(16)]
    with pytest.raises(BusyError), reader(engine):
        pass
    for connection in held:
        connection.close()


def test_errors_of_statements_do_not_show_their_values(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(insert(notes), ROW)
        with pytest.raises(IntegrityError) as caught:
            connection.execute(insert(notes), ROW)
        connection.rollback()
    assert caught.value.params is None or caught.value.hide_parameters
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///x",
        "postgresql://localhost/carnet",
        "postgresql+psycopg2://localhost/carnet",
        "mysql://localhost/carnet",
        "sqlite:////nonexistent/folder/file",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        make_engine(url)


# Identifiers in columns


def test_an_identifier_comes_back_as_the_type_that_went_in(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(notes), ROW)
        row = connection.execute(select(notes)).one()
    assert row._mapping == ROW


def test_an_identifier_of_another_type_is_refused_by_its_column(sqlite_engine: Engine) -> None:
    with sqlite_engine.begin() as connection:
        for wrong in (GrantId(bytes(16)), bytes(16)):
            with pytest.raises(Exception, match="internal"):
                connection.execute(insert(notes), ROW | {"note": wrong})


def test_an_identifier_may_be_null(empty_engine: Engine) -> None:
    table = Table("t", MetaData(), Column("record", Identifier(RecordId)), Column("n", INTEGER), sqlite_strict=True)
    with empty_engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), {"record": None, "n": -(2**62)})
        assert connection.execute(select(table)).one() == (None, -(2**62))


# What failures stand for


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("SQLITE_FULL", NoSpaceError),
        ("SQLITE_BUSY", BusyError),
        ("SQLITE_BUSY_SNAPSHOT", BusyError),
        ("SQLITE_LOCKED", BusyError),
        ("SQLITE_IOERR_WRITE", CommitError),
        ("SQLITE_READONLY", CommitError),
        ("SQLITE_CORRUPT", CommitError),
        ("SQLITE_CONSTRAINT", None),
        ("SQLITE_ERROR", None),
    ],
)
def test_each_failure_of_sqlite_stands_for_one_refusal(name: str, refusal: type[RefusalError] | None) -> None:
    cause = sqlite3.OperationalError("x")
    cause.sqlite_errorcode = getattr(sqlite3, name)
    for error in (cause, OperationalError("", {}, cause)):
        assert type(explain(error) or None) is (refusal or type(None))
        assert not is_retriable(error)


@pytest.mark.parametrize(
    ("state", "refusal", "retriable"),
    [
        ("53100", NoSpaceError, False),
        ("53300", CommitError, False),
        ("40001", BusyError, True),
        ("40P01", BusyError, True),
        ("55P03", BusyError, False),
        ("57014", BusyError, False),
        ("57P01", CommitError, False),
        ("08006", CommitError, False),
        (None, CommitError, False),
        ("23505", None, False),
        ("42P01", None, False),
    ],
)
def test_each_failure_of_postgresql_stands_for_one_refusal(
    state: str | None, refusal: type[RefusalError] | None, retriable: bool
) -> None:
    error = OperationalError(
        "", {}, psycopg.OperationalError("x") if state is None else psycopg.errors.lookup(state)("x")
    )
    assert type(explain(error) or None) is (refusal or type(None))
    assert is_retriable(error) is retriable


def test_a_fault_of_the_program_stands_for_no_refusal() -> None:
    assert explain(ValueError("ours")) is None
    assert not is_retriable(ValueError("ours"))


_STILL_LOCKED = """
import fcntl, sys
try:
    # The byte that every reader of a database in WAL mode holds a shared lock on, as long as it has it open.
    with open(sys.argv[1], "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
except BlockingIOError:
    sys.exit(3)
"""


def test_a_second_engine_takes_no_lock_away_from_the_first(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        path = str(sqlite_engine.url.database)
        make_engine(str(sqlite_engine.url)).dispose()
        asked = subprocess.run([sys.executable, "-c", _STILL_LOCKED, path], check=False)
        assert asked.returncode == 3


def test_a_database_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        make_engine(f"sqlite:///{tmp_path}")
    with pytest.raises(SettingsError):
        make_engine(f"sqlite:///{tmp_path / 'nowhere' / 'database.sqlite'}")
