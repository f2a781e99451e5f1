"""The outbox: what was begun is finished, whatever is cut; what is refused is forgotten."""

from collections.abc import Callable

import httpx2
import pytest

from carnet.cli.exits import error_name
from carnet.errors import PartialError, RefusalError, UnreachableError
from carnet.outbox import Outbox, Step, Unsent
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.api import PeopleUpdate
from carnet_protocol.statements import Role
from tests.support.client import ClientWorld
from tests.support.people import Dice, make_person


def steps(seed: str) -> list[Step]:
    """A person whom both servers will accept, the key service first."""
    update = PeopleUpdate(statements=tuple(make_person(Dice(seed), Role.PATIENT).statements()))
    return [Step(ServerName.KEYSERVICE, "/v1/people", update), Step(ServerName.VAULT, "/v1/people", update)]


def lost(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("cut", request=request)


def refuse(code: str, status: int) -> Callable[[httpx2.Request], httpx2.Response]:
    body = f'{{"error":{{"code":"{code}","message":""}}}}'.encode()
    return lambda _: httpx2.Response(status, stream=httpx2.ByteStream(body))


@pytest.fixture
def session(world: ClientWorld) -> Session:
    session = world.person("alice", Role.PATIENT)
    for server in session.servers.values():
        server._sleep = lambda _: None
    world.keyservice.requests.clear()
    world.vault.requests.clear()
    return session


def test_what_is_sent_is_gone(world: ClientWorld, session: Session) -> None:
    receipts = session.outbox.send(steps("one"))
    assert [len(each) for each in receipts] == [2, 2]
    assert session.outbox.is_empty()


def test_nothing_is_kept_while_no_server_accepted_anything(world: ClientWorld, session: Session) -> None:
    world.keyservice.before = lost
    with pytest.raises(UnreachableError):
        session.outbox.send(steps("one"))
    assert session.outbox.is_empty()
    assert not world.vault.requests


def test_the_rest_is_kept_once_a_server_accepted_its_part(world: ClientWorld, session: Session) -> None:
    world.vault.before = lost
    with pytest.raises(PartialError, match="vault"):
        session.outbox.send(steps("one"))
    assert not session.outbox.is_empty()
    unsent: list[Unsent] = []
    with pytest.raises(PartialError):
        session.outbox.flush(unsent.append)
    assert [one.is_kept for one in unsent] == [True]
    world.vault.before = None
    world.keyservice.requests.clear()
    session.outbox.flush(unsent.append)
    assert len(unsent) == 1
    assert session.outbox.is_empty()
    assert not world.keyservice.requests


@pytest.mark.parametrize(
    ("code", "status"),
    [("unavailable", 503), ("rate_limited", 429), ("no_space", 507), ("internal", 500), ("unauthenticated", 401)],
)
def test_a_server_that_cannot_now_is_asked_later(world: ClientWorld, session: Session, code: str, status: int) -> None:
    world.vault.before = refuse(code, status)
    with pytest.raises(PartialError):
        session.outbox.send(steps("one"))
    assert not session.outbox.is_empty()


def test_what_is_refused_is_forgotten(world: ClientWorld, session: Session) -> None:
    world.vault.before = refuse("conflict", 409)
    with pytest.raises(RefusalError):
        session.outbox.send(steps("one"))
    assert session.outbox.is_empty()
    session.outbox.keep(steps("two"))
    unsent: list[Unsent] = []
    session.outbox.flush(unsent.append)
    assert [(error_name(one.error), one.is_kept) for one in unsent] == [("conflict", False)]
    assert session.outbox.is_empty()


def test_the_next_session_sends_what_waits(world: ClientWorld, session: Session) -> None:
    world.vault.before = lost
    with pytest.raises(PartialError):
        session.outbox.send(steps("one"))
    world.vault.before = None
    assert world.reopen("alice").outbox.is_empty()


def test_a_session_opens_although_what_waits_cannot_be_sent(world: ClientWorld, session: Session) -> None:
    world.vault.before = lost
    session.outbox.keep(steps("one"))
    again = world.reopen("alice")
    assert not again.outbox.is_empty()


def test_what_waits_lies_sealed(world: ClientWorld, session: Session) -> None:
    session.outbox.keep(steps("one"))
    (name,) = session.state.names("outbox-")
    assert b"statements" not in session.home.load(f"state/{name}")


def test_an_outbox_of_its_own_clock_keeps_order(world: ClientWorld, session: Session) -> None:
    outbox = Outbox(session.state, session.servers, world.clock)
    first = outbox.keep(steps("one"))
    world.clock.now += 1
    second = outbox.keep(steps("two"))
    assert session.state.names("outbox-") == [first, second]
