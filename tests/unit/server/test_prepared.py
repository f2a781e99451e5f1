"""Statements run at the driver: one by one, and several in one round trip, on both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Connection, Engine, MetaData, Table, bindparam, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from carnet_server.database import BYTES, INTEGER, is_retriable
from carnet_server.prepared import Prepared, run_together

SECRET = b"Aspirin 500 mg for Alice"
THINGS = Table("things", MetaData(), Column("id", INTEGER, primary_key=True), Column("content", BYTES, nullable=False))
INSERT = Prepared(insert(THINGS))
ALL = Prepared(select(THINGS.c.id, THINGS.c.content).order_by(THINGS.c.id))
ONE = Prepared(select(THINGS.c.content).where(THINGS.c.id == bindparam("wanted")))


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        THINGS.metadata.create_all(connection)
        yield connection


def test_answers_come_in_the_order_of_the_questions(connection: Connection) -> None:
    answers = run_together(
        connection,
        INSERT.asking(id=1, content=b"one"),
        ONE.asking(wanted=1),
        ONE.asking(wanted=2),
        INSERT.asking(id=2, content=b"two"),
        ALL.asking(),
    )
    assert [[tuple(row) for row in rows] for rows in answers] == [[], [(b"one",)], [], [], [(1, b"one"), (2, b"two")]]
    assert run_together(connection) == []


def test_a_failure_is_told_without_values_and_what_came_after_it_did_not_run(connection: Connection) -> None:
    INSERT.run(connection, id=1, content=SECRET)
    connection.exec_driver_sql("SAVEPOINT before")
    with pytest.raises(IntegrityError) as caught:
        run_together(connection, INSERT.asking(id=1, content=SECRET), INSERT.asking(id=3, content=SECRET))
    assert SECRET.decode() not in str(caught.value)
    assert not is_retriable(caught.value)
    connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before")
    assert [row[0] for row in ALL.rows(connection)] == [1]


def test_a_savepoint_undoes_all_that_ran_together(connection: Connection) -> None:
    connection.exec_driver_sql("SAVEPOINT before")
    run_together(connection, INSERT.asking(id=1, content=b"x"), INSERT.asking(id=2, content=b"y"))
    connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before")
    assert ALL.rows(connection) == []


def test_one_that_fails_alone_is_translated_as_well(connection: Connection) -> None:
    with pytest.raises(DBAPIError):
        INSERT.run(connection, id=1, content=None)
