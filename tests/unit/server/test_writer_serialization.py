"""What PostgreSQL refuses to serialise is begun anew, counted, and decided as if it had come second.

Writers never make each other lose: they take turns. Somebody else may, who writes past them in a transaction of their
own, as an operator at a prompt does. Every failure here is PostgreSQL's own 40001, not one that is made up.
"""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from carnet_server.database import make_engine
from carnet_server.errors import BusyError
from carnet_server.metrics import Metrics
from carnet_server.writer import MAX_ATTEMPTS, BatchCount, Writer
from tests.support.tiny_server.works import run

READ = text("SELECT count(*) FROM mine")
WRITE = text("INSERT INTO mine VALUES (1)")
READ_OTHER = text("SELECT count(*) FROM theirs")
WRITE_OTHER = text("INSERT INTO theirs VALUES (1)")


@pytest.fixture
def ours(postgres_url: str) -> Iterator[Engine]:
    """The writer's engine, on a counter and two tables."""
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        for name in ("alembic_version", "counter", "mine", "theirs"):
            connection.execute(text(f"CREATE TABLE {name} (value bigint)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    yield engine
    engine.dispose()


@pytest.fixture
def others(postgres_url: str) -> Iterator[Engine]:
    """Somebody else's engine on the same database."""
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


def count_up(connection: Connection) -> int:
    value: int = connection.execute(text("SELECT value FROM counter")).scalar_one()
    connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})
    return value + 1


def overtaken(others: Engine, times: int) -> tuple[Callable[[Connection], int], list[int]]:
    """A work that reads the counter, is overtaken by another transaction `times` times, then writes; and its runs."""
    runs: list[int] = []

    def work(connection: Connection) -> int:
        value: int = connection.execute(text("SELECT value FROM counter")).scalar_one()
        runs.append(value)
        if len(runs) <= times:
            with others.begin() as other:
                count_up(other)
        connection.execute(text("UPDATE counter SET value = :value"), {"value": value + 1})
        return value + 1

    return work, runs


def test_a_work_that_was_overtaken_is_run_again_from_the_start_and_counted(ours: Engine, others: Engine) -> None:
    counts: list[BatchCount] = []
    work, runs = overtaken(others, 2)
    with Writer(ours, observe=counts.append) as writer:
        assert run(writer, work) == 3
    assert runs == [0, 1, 2]  # each time it read what is true now
    assert [(count.works, count.lost) for count in counts] == [(1, 2)]
    with others.connect() as connection:
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 3


def test_a_work_that_is_always_overtaken_is_refused_and_leaves_nothing(ours: Engine, others: Engine) -> None:
    metrics = Metrics()
    work, runs = overtaken(others, MAX_ATTEMPTS)
    with Writer(ours, observe=metrics.count_batch) as writer:
        with pytest.raises(BusyError):
            run(writer, work)
        assert len(runs) == MAX_ATTEMPTS
        # The thread is there for the next one, and what the others wrote stands.
        assert run(writer, count_up) == MAX_ATTEMPTS + 1
    assert metrics.registry.get_sample_value("carnet_commit_lost_total") == MAX_ATTEMPTS


def test_a_commit_that_would_contradict_another_is_run_again_as_a_whole(ours: Engine, others: Engine) -> None:
    """Neither wrote what the other did, but each read what the other wrote: no order of the two explains both."""
    counts: list[BatchCount] = []
    seen: list[tuple[int, int]] = []

    def work(connection: Connection) -> int:
        theirs = connection.execute(READ_OTHER).scalar_one()
        connection.execute(WRITE)
        if not seen:
            with others.begin() as other:
                mine = other.execute(READ).scalar_one()
                other.execute(WRITE_OTHER)
            seen.append((theirs, mine))
        else:
            seen.append((theirs, -1))
        return int(theirs)

    with Writer(ours, observe=counts.append) as writer:
        assert run(writer, work) == 1
    assert seen == [(0, 0), (1, -1)]
    assert [count.lost for count in counts] == [1]
    with others.connect() as connection:
        assert connection.execute(READ).scalar_one() == 1


def test_works_of_a_batch_that_was_lost_are_each_done_once(ours: Engine, others: Engine) -> None:
    work, _ = overtaken(others, 1)
    with Writer(ours) as writer:
        assert [run(writer, each) for each in (count_up, work, count_up)] == [1, 3, 4]


def test_two_writers_and_somebody_who_takes_no_turns_lose_no_count(ours: Engine, others: Engine) -> None:
    counts: list[BatchCount] = []
    works = [overtaken(others, 1)[0] for _ in range(10)]
    with Writer(ours, observe=counts.append) as one, Writer(others, observe=counts.append) as two:
        for place, work in enumerate(works):
            run(one if place % 2 else two, work)
    assert sum(count.lost for count in counts) == len(works)
    with others.connect() as connection:
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 2 * len(works)
