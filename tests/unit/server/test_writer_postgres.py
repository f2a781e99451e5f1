"""Group commit on PostgreSQL: lost transactions, broken connections, two processes on one database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from carnet_server.database import make_engine
from carnet_server.errors import BusyError, CommitError
from carnet_server.writer import MAX_ATTEMPTS, Writer
from tests.support.tiny_server.works import run


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("CREATE TABLE counter (value bigint)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    yield engine
    engine.dispose()


def count_up(connection: Connection) -> int:
    value: int = connection.execute(text("SELECT value FROM counter")).scalar_one()
    connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})
    return value + 1


def test_a_batch_that_lost_against_another_transaction_is_run_again_as_a_whole(postgres_engine: Engine) -> None:
    runs: list[str] = []

    def disturbed(connection: Connection) -> int:
        runs.append("disturbed")
        value = count_up(connection)
        if len(runs) == 1:
            raise OperationalError("SELECT 1", {}, lost_transaction(postgres_engine))
        return value

    with Writer(postgres_engine) as writer:
        assert run(writer, disturbed) == 1
        assert runs == ["disturbed", "disturbed"]
        assert run(writer, count_up) == 2


def lost_transaction(engine: Engine) -> BaseException:
    """A real serialization failure, from two transactions that read what the other writes."""
    first, second = engine.connect(), engine.connect()
    with first, second:
        for connection, table in ((first, "one"), (second, "two")):
            connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} (value bigint)"))
            connection.commit()
        first.execute(text("SELECT count(*) FROM two"))
        second.execute(text("SELECT count(*) FROM one"))
        first.execute(text("INSERT INTO one VALUES (1)"))
        second.execute(text("INSERT INTO two VALUES (1)"))
        first.commit()
        with pytest.raises(OperationalError) as caught:
            second.commit()
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", None) == "40001"
    return caught.value.orig


def test_a_batch_that_always_loses_is_a_typed_refusal(postgres_engine: Engine) -> None:
    lost, runs = lost_transaction(postgres_engine), []

    def hopeless(connection: Connection) -> None:
        runs.append(count_up(connection))
        raise OperationalError("SELECT 1", {}, lost)

    with Writer(postgres_engine) as writer:
        with pytest.raises(BusyError):
            run(writer, hopeless)
        assert runs == [1] * MAX_ATTEMPTS
        assert run(writer, count_up) == 1


def test_two_writers_on_one_database_take_turns_without_losing_a_transaction(
    postgres_url: str, postgres_engine: Engine
) -> None:
    other_engine = make_engine(postgres_url)
    runs: list[int] = []

    def counted(connection: Connection) -> int:
        runs.append(1)
        return count_up(connection)

    with Writer(postgres_engine) as one, Writer(other_engine) as two, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(run, writer, counted) for _ in range(40) for writer in (one, two)]
        values = [future.result() for future in futures]
    assert sorted(values) == list(range(1, 81))
    # Not one work ran twice: whoever waited for the lock read what the other had committed.
    assert len(runs) == 80
    other_engine.dispose()


def test_a_connection_that_broke_before_the_commit_is_replaced_and_the_batch_run_again(postgres_engine: Engine) -> None:
    runs: list[int] = []

    def broken(connection: Connection) -> int:
        runs.append(1)
        if len(runs) == 1:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with postgres_engine.connect() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        return count_up(connection)

    with Writer(postgres_engine) as writer:
        assert run(writer, broken) == 1
        assert len(runs) == 2


def test_a_connection_that_breaks_in_the_commit_leaves_it_unknown_and_is_not_run_again(postgres_engine: Engine) -> None:
    runs: list[int] = []

    def counted(connection: Connection) -> int:
        runs.append(1)
        return count_up(connection)

    @event.listens_for(postgres_engine, "commit")
    def _cut(connection: Connection) -> None:
        if len(runs) == 1:
            connection.connection.driver_connection.close()

    with Writer(postgres_engine) as writer:
        with pytest.raises(CommitError):
            run(writer, counted)
        assert runs == [1]
        assert run(writer, counted) == 1
