"""Statements run at the driver say what SQLAlchemy's own execution says, and fail as it does."""

import pytest
from sqlalchemy import bindparam, insert, literal, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from carnet_protocol.ids import RecordId
from carnet_server.prepared import Prepared
from carnet_server.tables import event_records, events
from tests.support.nouns import World
from tests.support.people import Dice

EVENT = {
    "position": 0,
    "time": 7,
    "kind": "x",
    "salt": b"s" * 32,
    "commitment": b"c" * 32,
    "leaf_hash": b"l" * 32,
    "body": b"\x00\xff{}",
}


def test_values_come_back_as_the_driver_has_them(world: World) -> None:
    found = Prepared(select(events).where(events.c.position == bindparam("wanted")))
    with world.engine.begin() as connection:
        Prepared(insert(events)).run(connection, **EVENT)
        assert found.rows(connection, wanted=0) == [tuple(EVENT.values())]
        assert found.first(connection, wanted=0) == tuple(EVENT.values())
        assert found.rows(connection, wanted=1) == []
        assert found.first(connection, wanted=1) is None


def test_constants_in_a_statement_are_kept(world: World) -> None:
    record = RecordId(Dice(1)(32))
    mine = Prepared(select(literal("here"), event_records.c.position).where(event_records.c.record == record))
    with world.engine.begin() as connection:
        Prepared(insert(events)).run(connection, **EVENT)
        Prepared(insert(event_records)).run(connection, record=record.raw, position=0)
        assert mine.rows(connection) == [("here", 0)]


def test_a_broken_rule_of_the_database_is_the_error_that_sqlalchemy_gives(world: World) -> None:
    with world.engine.connect() as connection:
        Prepared(insert(events)).run(connection, **EVENT)
        with pytest.raises(IntegrityError) as caught:
            Prepared(insert(events)).run(connection, **EVENT)
    assert "{}" not in str(caught.value)


def test_a_statement_that_the_database_does_not_understand_is_an_error(world: World) -> None:
    with world.engine.connect() as connection, pytest.raises((ProgrammingError, OperationalError)):
        Prepared(text("SELECT nothing FROM nowhere")).rows(connection)


def test_it_runs_in_the_transaction_of_its_connection(world: World) -> None:
    with world.engine.connect() as connection:
        transaction = connection.begin()
        Prepared(insert(events)).run(connection, **EVENT)
        transaction.rollback()
    with world.engine.connect() as connection:
        assert Prepared(select(events)).rows(connection) == []


def test_a_value_that_is_missing_is_an_error_and_nothing_is_asked(world: World) -> None:
    found = Prepared(select(events).where(events.c.position == bindparam("wanted")))
    with world.engine.connect() as connection, pytest.raises((KeyError, ProgrammingError)):
        found.rows(connection)
