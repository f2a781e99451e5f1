"""Group commit when the database fails: nobody is told of a success that is none, and the writer goes on."""

import sqlite3

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert
from sqlalchemy.exc import OperationalError

from carnet_server.database import make_engine
from carnet_server.errors import BusyError, CommitError, NoSpaceError, UnavailableError
from carnet_server.writer import Writer
from tests.support.tiny_server.tables import notes
from tests.support.tiny_server.works import AUTHOR, note_id, run, run_as_one_batch, write, written


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_a_work_that_ends_the_transaction_fails_the_batch_and_nobody_is_told_of_success(
    sqlite_engine: Engine, ending: str
) -> None:
    def end(connection: Connection) -> None:
        connection.commit() if ending == "COMMIT" else connection.rollback()

    with Writer(sqlite_engine) as writer:
        outcomes = run_as_one_batch(writer, [write(1), end, write(2)])
        assert [type(outcome) for outcome in outcomes] == [CommitError, CommitError, CommitError]
        assert run(writer, write(3)) == 3


class FailingCommit:
    """Makes the next commits of an engine fail, before they happen."""

    def __init__(self, engine: Engine, error: Exception, times: int = 1) -> None:
        self.times = times
        self._error = error
        event.listen(engine, "commit", self._fail)

    def _fail(self, connection: Connection) -> None:
        del connection
        if self.times:
            self.times -= 1
            raise self._error


def driver_error(code: int) -> OperationalError:
    error = sqlite3.OperationalError("from the disk")
    error.sqlite_errorcode = code
    return OperationalError("COMMIT", {}, error)


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (sqlite3.SQLITE_FULL, NoSpaceError),
        (sqlite3.SQLITE_IOERR_FSYNC, CommitError),
        (sqlite3.SQLITE_BUSY, BusyError),
        (sqlite3.SQLITE_CORRUPT, CommitError),
    ],
)
def test_when_the_commit_fails_nobody_is_answered_success_and_the_writer_goes_on(
    sqlite_engine: Engine, code: int, refusal: type[UnavailableError]
) -> None:
    with Writer(sqlite_engine) as writer:
        failing = FailingCommit(sqlite_engine, driver_error(code), times=2)
        outcomes = run_as_one_batch(writer, [write(number) for number in range(3)])
        assert [type(outcome) for outcome in outcomes] == [refusal] * 3
        assert failing.times == 0
        assert written(sqlite_engine) == []
        assert run(writer, write(7)) == 7


def test_a_failure_that_is_no_failure_of_the_database_still_answers_everybody(sqlite_engine: Engine) -> None:
    with Writer(sqlite_engine) as writer:
        FailingCommit(sqlite_engine, MemoryError("unlucky"))
        with pytest.raises(CommitError) as caught:
            run(writer, write(1))
        assert isinstance(caught.value.__cause__, MemoryError)
        assert run(writer, write(2)) == 2


def test_a_full_database_refuses_the_work_that_does_not_fit(sqlite_engine: Engine) -> None:
    @event.listens_for(sqlite_engine, "begin")
    def _limit(connection: Connection) -> None:
        connection.connection.driver_connection.execute("PRAGMA max_page_count = 20")

    def fill(connection: Connection) -> None:
        row = {"note": note_id(9), "author": AUTHOR, "text": "x" * 1_000_000, "written_at": 9}
        connection.execute(insert(notes), row)

    with Writer(sqlite_engine) as writer:
        outcomes = run_as_one_batch(writer, [write(1), fill, write(2)])
        assert isinstance(outcomes[1], NoSpaceError)
        # Either the others were kept, or nobody was told so.
        told = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert written(sqlite_engine) == told


def test_a_locked_database_is_a_typed_refusal(sqlite_url: str, sqlite_engine: Engine) -> None:
    sqlite_engine.dispose()
    impatient = make_engine(sqlite_url)

    @event.listens_for(impatient, "connect")
    def _impatient(connection: sqlite3.Connection, record: object) -> None:
        del record
        connection.execute("PRAGMA busy_timeout = 1")

    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    with Writer(impatient) as writer:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError):
            run(writer, write(1))
        other.execute("ROLLBACK")
        assert run(writer, write(1)) == 1
    other.close()
    impatient.dispose()


def test_an_unreachable_database_is_a_typed_refusal() -> None:
    engine = create_engine("postgresql+psycopg://nobody@/none?host=/nonexistent")
    with Writer(engine) as writer, pytest.raises(UnavailableError):
        run(writer, write(1))
