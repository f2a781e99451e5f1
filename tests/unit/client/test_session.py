"""A session: asks both servers at once, keeps what it saw, shows nothing, loads little."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest

import carnet
from carnet import errors
from carnet.access import open_access
from carnet.errors import CarnetError, NoHomeError, RefusedError, UnlockError, UnreachableError
from carnet.records import open_record
from carnet.session import Session, open_session
from carnet.transport import ServerClient
from carnet_protocol.api import CardView
from tests.support.client import PASSPHRASE, ClientWorld


def ask_card(server: ServerClient) -> str:
    return server.get("/v1/service-card", CardView).card


def test_both_servers_are_asked_at_the_same_time(world: ClientWorld) -> None:
    alice = world.patient("alice")
    together = threading.Barrier(2, timeout=60)

    def wait(_: httpx2.Request) -> None:
        together.wait()

    world.vault.before = world.keyservice.before = wait
    cards = alice.ask_both(ask_card)
    assert cards.vault == cards.keyservice == world.own.card.text


@pytest.mark.parametrize("away", ["vault", "keyservice"])
def test_the_error_of_either_server_is_raised(world: ClientWorld, away: str) -> None:
    alice = world.patient("alice")

    def lose(request: httpx2.Request) -> None:
        raise httpx2.ConnectError("cut", request=request)

    for server in alice.servers.values():
        server._sleep = lambda _: None
    getattr(world, away).before = lose
    with pytest.raises(UnreachableError):
        alice.ask_both(ask_card)
    outcomes = alice.try_both(ask_card)
    assert isinstance(getattr(outcomes, away), UnreachableError)
    assert sum(isinstance(outcome, str) for outcome in (outcomes.vault, outcomes.keyservice)) == 1


def test_a_session_shows_nothing(world: ClientWorld) -> None:
    alice = world.patient("alice")
    for shown in (repr(alice), repr(alice.keyring), repr(alice.vault), repr(alice.home)):
        assert str(alice.keyring.body.device_signer.seed()) not in shown


def test_what_was_seen_is_stored_when_a_session_ends(world: ClientWorld) -> None:
    alice = world.patient("alice")
    open_record(alice)
    with world.reopen("alice") as again:
        open_access(again, again.record)
    world.sessions.remove(again)
    assert (world.home("alice").path / "state" / "pins").exists()


def test_a_session_opens_from_a_path(world: ClientWorld) -> None:
    identity = world.patient("alice").identity
    with open_session(world.home("alice").path, passphrase=PASSPHRASE, **world.options()) as session:
        assert session.identity == identity
    with pytest.raises(UnlockError):
        open_session(world.home("alice"), passphrase="another passphrase", **world.options())
    with pytest.raises(NoHomeError):
        open_session(Path("/nowhere"), passphrase=PASSPHRASE)


def test_someone_else_s_record_looks_like_none(world: ClientWorld) -> None:
    alice, mallory = world.patient("alice"), world.patient("mallory")
    open_record(alice)
    messages = set()
    for record in (alice.record, type(alice.record)(bytes(32))):
        with pytest.raises(RefusedError) as caught:
            open_access(mallory, record)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_public_names_are_there_and_no_others() -> None:
    assert carnet.Session is Session
    for name in carnet.__all__:
        assert getattr(carnet, name) is not None
    with pytest.raises(AttributeError):
        _ = carnet.seal_box


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, carnet; print([m for m in ('cryptography', 'pydantic', 'httpx2', 'nacl') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def tree(base: type[BaseException]) -> list[type[BaseException]]:
    return [kind for child in base.__subclasses__() for kind in [child, *tree(child)]]


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    assert errors.__doc__ is not None
    drawn = [line.split("-- ")[-1].split()[0] for line in errors.__doc__.splitlines() if "-- " in line]
    defined = [kind.__name__ for kind in tree(CarnetError) if kind.__module__ == "carnet.errors"]
    assert sorted(drawn) == sorted(defined)
    assert all(kind.__doc__ for kind in tree(CarnetError))
