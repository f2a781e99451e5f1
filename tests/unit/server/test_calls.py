"""What a route is given: two ways into the database, each with the time at which it decides."""

import asyncio

import pytest
from sqlalchemy import Connection, Engine, delete, func, insert, select

from carnet_protocol.ids import Nonce, RandomId
from carnet_protocol.requests import VerifiedRequest
from carnet_server.authentication import Credentials
from carnet_server.calls import OpenCall, SignedCall
from carnet_server.database import POOL_SIZE, reader
from carnet_server.errors import ClockBehindError, RefusedError, UnauthenticatedError
from carnet_server.principals import SigningKey
from tests.support.tables import digest_tables
from tests.support.tiny_server.tables import keys, nonces, notes
from tests.support.tiny_server.world import ALICE, NOW, World

ROW = {"note": RandomId(bytes(16)), "author": ALICE.identity, "text": "", "written_at": 0}


def signed_call(world: World, nonce: int = 0) -> SignedCall[None]:
    """A call by Alice, as authentication makes it."""
    request = VerifiedRequest(ALICE.key_id, NOW, Nonce(nonce.to_bytes(16, "big")))
    credentials = Credentials(request, SigningKey(ALICE.signer.public_key, ALICE.kind, ALICE.identity), ALICE.head())
    return SignedCall(credentials.principal, None, credentials, world.chassis)


def open_call(world: World) -> OpenCall[None]:
    return OpenCall(None, world.chassis)


def write(connection: Connection, now: int) -> int:
    connection.execute(insert(notes), ROW | {"written_at": now})
    return now


def look(connection: Connection, now: int) -> tuple[int, int]:
    return connection.execute(select(func.count()).select_from(notes)).scalar_one(), now


@pytest.mark.parametrize("make", [signed_call, open_call], ids=["signed", "open"])
def test_a_call_writes_and_reads_at_the_time_of_the_clock(world_on_each: World, make: object) -> None:
    assert callable(make)
    assert make(world_on_each).run(write) == NOW
    world_on_each.clock.now = NOW + 1
    assert make(world_on_each).read(look) == (1, NOW + 1)
    assert asyncio.run(make(world_on_each, *([1] if make is signed_call else [])).submit(look)) == (1, NOW + 1)


def test_a_signed_call_may_read_more_than_once_and_then_write(world: World) -> None:
    call = signed_call(world)
    assert [call.read(look)[0], call.read(look)[0], call.run(write), call.read(look)[0]] == [0, 0, NOW, 1]


def test_a_signed_call_writes_once(world_on_each: World) -> None:
    call = signed_call(world_on_each)
    call.run(write)
    before = digest_tables(world_on_each.engine, leave_out=())
    with pytest.raises(UnauthenticatedError):
        call.run(look)
    assert digest_tables(world_on_each.engine, leave_out=()) == before


def test_a_refused_work_leaves_its_nonce_and_nothing_else(world_on_each: World) -> None:
    def refuse(connection: Connection, now: int) -> None:
        write(connection, now)
        raise RefusedError("no_grant")

    before = digest_tables(world_on_each.engine)
    with pytest.raises(RefusedError):
        signed_call(world_on_each).run(refuse)
    assert digest_tables(world_on_each.engine) == before
    with reader(world_on_each.engine) as connection:
        assert connection.execute(select(func.count()).select_from(nonces)).scalar_one() == 1


def test_a_call_whose_key_is_not_in_force_any_more_neither_reads_nor_writes(world_on_each: World) -> None:
    with world_on_each.engine.begin() as connection:
        connection.execute(delete(keys))
    before = digest_tables(world_on_each.engine)
    for attempt in (signed_call(world_on_each).read, signed_call(world_on_each).run):
        with pytest.raises(UnauthenticatedError):
            attempt(write)
    assert digest_tables(world_on_each.engine) == before


def test_an_open_call_is_refused_by_a_clock_that_was_set_back(world: World) -> None:
    signed_call(world).run(write)
    world.clock.now = NOW - 10
    for attempt in (open_call(world).read, open_call(world).run):
        with pytest.raises(ClockBehindError):
            attempt(look)


def test_a_read_cannot_write(world_on_each: World) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?only|database_failed"):
        open_call(world_on_each).read(write)
    assert open_call(world_on_each).read(look)[0] == 0


def test_readers_that_hold_every_connection_do_not_keep_the_writer_waiting(world: World) -> None:
    signed_call(world).run(write)
    held = [world.engine.connect() for _ in range(POOL_SIZE - 1)]
    assert signed_call(world, nonce=1).run(look) == (1, NOW)
    for connection in held:
        connection.close()


def test_a_nonce_stays_spent_when_the_program_starts_again(engine: Engine) -> None:
    content = b'{"note":"AAAAAAAAAAAAAAAAAAAAAA","text":""}'
    headers = ALICE.sign("POST", "/v1/notes", content)
    statuses = []
    for _ in range(2):
        world = World(engine)
        if not statuses:
            world.enrol(ALICE)
        with world.client:
            statuses.append(world.post("/v1/notes", content, headers).status_code)
    assert statuses == [200, 401]
