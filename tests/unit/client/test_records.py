"""Opening a record against both real servers, whole and cut anywhere."""

import json

import httpx2
import pytest

from carnet.access import open_access
from carnet.errors import CarnetError, UsageError
from carnet.identity import make_identity
from carnet.profiles import DEFAULT_COMPARTMENTS
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.statements import Role
from carnet_protocol.suites import Suite
from tests.support.client import PASSPHRASE, ClientWorld, Wire

pytestmark = pytest.mark.parametrize("suite", Suite)


def names(session: Session) -> list[str | None]:
    access = open_access(session, session.record, sleep=lambda _: None)
    return sorted(str(compartment.name) for compartment in access.compartments.values())


def test_open_record_gives_the_default_compartments(world: ClientWorld) -> None:
    alice = world.patient("alice")
    access = open_record(alice)
    assert {compartment.name for compartment in access.compartments.values()} == set(DEFAULT_COMPARTMENTS)
    assert access.lock is not None
    again = open_access(alice, alice.record)
    assert set(again.compartments) == set(access.compartments)
    assert all(len(compartment.keys) == 1 for compartment in again.compartments.values())


def test_a_fresh_record_takes_four_requests_and_one(world: ClientWorld) -> None:
    alice = world.patient("alice")
    for wire in (world.keyservice, world.vault):
        wire.requests.clear()
    open_record(alice)
    assert [len(wire.requests) for wire in (world.keyservice, world.vault)] == [3, 1]


def test_open_record_again_changes_nothing(world: ClientWorld) -> None:
    alice = world.patient("alice")
    first = open_record(alice)
    world.vault.requests.clear()
    world.keyservice.requests.clear()
    assert set(open_record(alice).compartments) == set(first.compartments)
    assert not world.vault.paths("POST") + world.keyservice.paths("POST")


def test_open_record_adds_what_is_missing(world: ClientWorld) -> None:
    alice = world.patient("alice")
    open_record(alice, ["general"])
    open_record(alice, ["general", "dental"])
    assert names(alice) == ["dental", "general"]


def test_a_practitioner_has_no_record(world: ClientWorld) -> None:
    with pytest.raises(UsageError, match="inbox"):
        open_record(world.practitioner("bob"))


def test_a_person_whom_no_server_knows_is_registered_first(world: ClientWorld) -> None:
    alice = make_identity(
        world.home("alice"), world.own.card, Role.PATIENT, passphrase=PASSPHRASE, device_name="a", **world.options()
    )
    world.sessions.append(alice)
    open_record(alice)
    assert names(alice) == sorted(DEFAULT_COMPARTMENTS)


def cut_at(wire: Wire, number: int, *, after: bool) -> None:
    """Lose the `number`th request on `wire`, or its answer."""
    seen = [0]

    def before(request: httpx2.Request) -> None:
        seen[0] += 1
        if seen[0] >= number and not after:
            raise httpx2.ConnectError("cut", request=request)

    def answer(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if seen[0] >= number and after:
            raise httpx2.ReadError("cut", request=request)
        return response

    wire.before, wire.after = before, answer


@pytest.mark.parametrize("server", ["vault", "keyservice"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [False, True], ids=["request", "answer"])
def test_a_cut_anywhere_is_mended_by_running_again(
    world: ClientWorld, server: str, number: int, *, after: bool
) -> None:
    alice = world.patient("alice")
    for client in alice.servers.values():
        client._sleep = lambda _: None
    wire: Wire = getattr(world, server)
    cut_at(wire, number, after=after)
    try:
        open_record(alice)
    except CarnetError:
        wire.before = wire.after = None
        alice.close()
        world.sessions.remove(alice)
        alice = world.reopen("alice")
        open_record(alice)
    wire.before = wire.after = None
    assert names(alice) == sorted(DEFAULT_COMPARTMENTS)


def test_nothing_is_put_under_a_key_that_does_not_come_back(world: ClientWorld) -> None:
    alice = world.patient("alice")

    def forget(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith("/access"):
            return response
        members = {**json.loads(response.read()), "sealed_keys": []}
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    world.keyservice.after = forget
    with pytest.raises(CarnetError, match="give back"):
        open_record(alice)
    assert not [path for path in world.vault.paths("POST") if path.endswith("/statements")]
