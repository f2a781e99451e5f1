"""A nonce is a row of the transaction that it authorises, for longer than its request can be sent."""

import pytest
from sqlalchemy import Engine, func, select

from carnet_protocol.ids import Nonce
from carnet_protocol.limits import REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import KeyId, VerifiedRequest
from carnet_server.database import reader
from carnet_server.errors import UnauthenticatedError
from carnet_server.nonces import NONCE_KEEP_SECONDS, Nonces
from tests.support.tiny_server.tables import nonces as table

NOW = 1_800_000_000


def request(number: int, *, key: int = 0, created: int = NOW) -> VerifiedRequest:
    return VerifiedRequest(KeyId(bytes([key]) * 32), created, Nonce(number.to_bytes(16, "big")))


def count(engine: Engine) -> int:
    with reader(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_nonce_goes_once_for_each_key(engine: Engine) -> None:
    nonces = Nonces(table)
    with engine.begin() as connection:
        nonces.spend(connection, request(1), NOW)
        nonces.spend(connection, request(1, key=1), NOW)
        nonces.spend(connection, request(2), NOW)
    with engine.begin() as connection, pytest.raises(UnauthenticatedError):
        nonces.spend(connection, request(1), NOW)
    assert count(engine) == 3


def test_a_nonce_of_a_transaction_that_was_rolled_back_is_not_spent(engine: Engine) -> None:
    nonces = Nonces(table)
    with engine.connect() as connection:
        nonces.spend(connection, request(1), NOW)
        connection.rollback()
    with engine.begin() as connection:
        nonces.spend(connection, request(1), NOW)


@pytest.mark.parametrize("created", [NOW - REQUEST_WINDOW_SECONDS, NOW, NOW + REQUEST_WINDOW_SECONDS])
def test_a_nonce_is_kept_while_its_request_can_be_sent(engine: Engine, created: int) -> None:
    nonces = Nonces(table)
    with engine.begin() as connection:
        nonces.spend(connection, request(1, created=created), NOW)
    last = created + REQUEST_WINDOW_SECONDS
    with engine.begin() as connection, pytest.raises(UnauthenticatedError):
        nonces.spend(connection, request(1, created=created), last)


@pytest.mark.parametrize(("later", "left"), [(NONCE_KEEP_SECONDS, 2), (NONCE_KEEP_SECONDS + 1, 1)])
def test_rows_are_dropped_when_they_are_past_use(engine: Engine, later: int, left: int) -> None:
    nonces = Nonces(table)
    for number, now in ((1, NOW), (2, NOW + later)):
        with engine.begin() as connection:
            nonces.spend(connection, request(number), now)
    assert count(engine) == left


def test_the_newest_row_says_how_late_it_is(engine: Engine) -> None:
    nonces = Nonces(table)
    with engine.begin() as connection:
        assert nonces.newest(connection) is None
        nonces.spend(connection, request(1), NOW + 5)
        nonces.spend(connection, request(2), NOW)
        assert nonces.newest(connection) == NOW + 5
