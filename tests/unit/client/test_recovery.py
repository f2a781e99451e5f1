"""The recovery kit, and beginning anew from its words, against both real servers."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import open_access
from carnet.errors import (
    CarnetError,
    DisagreementError,
    HomeTakenError,
    RefusedError,
    RollbackError,
    UnauthenticatedError,
    UnlockError,
    UsageError,
    VerificationError,
)
from carnet.identity import fetch_own, make_identity, register, renew_account_key
from carnet.inbox import load_inbox
from carnet.keyring import load_keyring_identity
from carnet.keys import RecoverySecret
from carnet.records import open_record
from carnet.recovery import forget_kit, read_kit, restore
from carnet.session import Session
from carnet_protocol.statements import Role
from tests.support.client import PASSPHRASE, ClientWorld, put_document, titles
from tests.support.databases import BOTH

DATABASES = BOTH


def own_secret(session: Session) -> RecoverySecret:
    secret = session.keyring.body.recovery_secret
    assert secret is not None
    return secret


def begin_anew(world: ClientWorld, secret: RecoverySecret, name: str = "new", **change: Any) -> Session:
    members = {"passphrase": PASSPHRASE, "device_name": name, **world.options(), **change}
    session = restore(world.home(name), world.own.card, secret, **members)
    world.sessions.append(session)
    return session


def test_the_kit_says_whose_it_is(world: ClientWorld) -> None:
    alice = world.person("alice", Role.PATIENT)
    kit = read_kit(alice)
    assert RecoverySecret.from_words(" ".join(kit.words)).reveal() == own_secret(alice).reveal()
    assert kit.identity == alice.identity
    assert kit.card.hash == world.own.card.hash
    assert kit.words[0] not in repr(kit).split()


def test_the_words_are_forgotten_once_they_were_confirmed(world: ClientWorld) -> None:
    alice = world.person("alice", Role.PATIENT)
    secret = own_secret(alice)
    with pytest.raises(UnlockError):
        forget_kit(alice, RecoverySecret.make())
    assert alice.keyring.body.recovery_secret is not None
    forget_kit(alice, secret)
    forget_kit(alice, secret)
    assert world.reopen("alice").keyring.body.recovery_secret is None
    with pytest.raises(UsageError, match=r"nowhere but on that paper: .*`carnet recovery renew`"):
        read_kit(alice)


def test_the_words_are_kept_until_the_key_service_has_what_they_open(world: ClientWorld) -> None:
    alice = make_identity(
        world.home("alice"), world.own.card, Role.PATIENT, passphrase=PASSPHRASE, device_name="a", **world.options()
    )
    world.sessions.append(alice)
    alice.keyservice._sleep = lambda _: None

    def lose(request: httpx2.Request) -> None:
        raise httpx2.ConnectError("cut", request=request)

    world.keyservice.before = lose
    with pytest.raises(CarnetError):
        forget_kit(alice, own_secret(alice))
    assert alice.keyring.body.recovery_secret is not None


def test_words_open_everything_again(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.person("alice", Role.PATIENT)
    secret = own_secret(alice)
    put_document(alice, open_record(alice), tmp_path, "one", compartment="general")
    renew_account_key(alice, secret)
    put_document(alice, open_access(alice, alice.record), tmp_path, "two", compartment="private")
    again = begin_anew(world, secret)
    assert again.identity == alice.identity
    assert len(again.keyring.body.account_keys) == 2
    assert titles(again, open_access(again, again.record)) == ["one", "two"]
    assert len(fetch_own(alice).devices) == 2


def test_a_new_kit_makes_the_old_words_worthless(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.person("alice", Role.PATIENT)
    put_document(alice, open_record(alice), tmp_path, "one", compartment="general")
    old, new = own_secret(alice), RecoverySecret.make()
    renew_account_key(alice, old, new_kit=new)
    assert own_secret(alice).reveal() == new.reveal()
    with pytest.raises((UnlockError, RefusedError, UnauthenticatedError)):
        begin_anew(world, old)
    again = begin_anew(world, new, "newer")
    assert titles(again, open_access(again, again.record)) == ["one"]


def test_unknown_words_restore_nothing(world: ClientWorld) -> None:
    world.patient("alice")
    with pytest.raises((RefusedError, UnauthenticatedError)):
        begin_anew(world, RecoverySecret.make())
    assert not world.home("new").has("keyring.json")


def test_nobody_is_overwritten(world: ClientWorld) -> None:
    alice = world.person("alice", Role.PATIENT)
    bob = world.person("bob", Role.PRACTITIONER)
    with pytest.raises(HomeTakenError):
        begin_anew(world, own_secret(alice), "bob")
    assert load_keyring_identity(world.home("bob")) == bob.identity


def spoil(world: ClientWorld, change: Any) -> None:
    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.url.path != "/v1/recovery":
            return response
        members = json.loads(response.read())
        change(members)
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    world.keyservice.after = after


@pytest.mark.parametrize("lie", ["another person", "no newest", "another's recovery", "an older state", "swapped"])
def test_a_key_service_that_lies_restores_nothing(world: ClientWorld, lie: str) -> None:
    alice, mallory = world.person("alice", Role.PATIENT), world.person("mallory", Role.PATIENT)
    secret = own_secret(alice)
    renew_account_key(alice, secret)
    others = mallory.keyring.body

    def change(members: dict[str, Any]) -> None:
        match lie:
            case "another person":
                members["person"] = others.person.model_dump(mode="json")
            case "no newest":
                members["recoveries"].pop()
            case "another's recovery":
                members["recoveries"][-1] = others.recovery
            case "an older state":
                members["person"]["identities"].pop()
                members["recoveries"].pop()
            case _:
                members["person"]["identities"].reverse()

    spoil(world, change)
    with pytest.raises((UnlockError, VerificationError, DisagreementError, RollbackError)):
        begin_anew(world, secret)


def test_a_wrong_kit_renews_nothing(world: ClientWorld) -> None:
    alice = world.person("alice", Role.PATIENT)
    with pytest.raises(UnlockError):
        renew_account_key(alice, RecoverySecret.make())
    assert len(alice.keyring.body.account_keys) == 1


def test_a_renewal_that_was_cut_is_told_to_the_servers_later(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.person("alice", Role.PATIENT)
    put_document(alice, open_record(alice), tmp_path, "one", compartment="general")
    for server in alice.servers.values():
        server._sleep = lambda _: None

    def lose(request: httpx2.Request) -> None:
        if request.url.path == "/v1/people":
            raise httpx2.ConnectError("cut", request=request)

    world.keyservice.before = lose
    with pytest.raises(CarnetError):
        renew_account_key(alice, own_secret(alice))
    world.keyservice.before = None
    again = world.reopen("alice")
    assert titles(again, open_access(again, again.record)) == ["one"]
    assert fetch_own(again).current.body.serial == 1


def cut_restoring(
    world: ClientWorld,
    secret: RecoverySecret,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: bool,
    name: str = "new",
) -> None:
    """Begin anew in the home `name`, and lose what tells `server` of the new device, or its answer."""
    monkeypatch.setattr("carnet.transport._PAUSES_SECONDS", ())
    wire = world.vault if server == "vault" else world.keyservice

    def lose(request: httpx2.Request) -> None:
        if request.url.path == "/v1/people":
            raise httpx2.ConnectError("cut", request=request)

    def lose_answer(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        lose(request)
        return response

    wire.before, wire.after = (None, lose_answer) if after else (lose, None)
    with pytest.raises(CarnetError):
        begin_anew(world, secret, name)
    wire.before = wire.after = None


cuts = pytest.mark.parametrize(
    ("server", "after"), [("vault", False), ("vault", True), ("keyservice", False), ("keyservice", True)]
)


@cuts
def test_beginning_anew_goes_on_where_it_was_cut(
    world: ClientWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, *, after: bool
) -> None:
    alice = world.person("alice", Role.PATIENT)
    secret = own_secret(alice)
    put_document(alice, open_record(alice), tmp_path, "one", compartment="general")
    cut_restoring(world, secret, server, monkeypatch, after=after)
    again = begin_anew(world, secret)
    assert titles(again, open_access(again, again.record)) == ["one"]
    assert len(fetch_own(alice).devices) == 2
    with pytest.raises(HomeTakenError):
        begin_anew(world, secret)


@cuts
def test_any_command_mends_a_beginning_that_was_cut(
    world: ClientWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, *, after: bool
) -> None:
    alice, bob = world.person("alice", Role.PATIENT), world.person("bob", Role.PRACTITIONER)
    put_document(alice, open_record(alice), tmp_path, "one", compartment="general")
    cut_restoring(world, own_secret(alice), server, monkeypatch, after=after)
    again = world.reopen("new")
    assert titles(again, open_access(again, again.record)) == ["one"]
    cut_restoring(world, own_secret(bob), server, monkeypatch, after=after, name="other")
    assert load_inbox(world.reopen("other")).grants == ()
    assert len(fetch_own(world.reopen("other")).devices) == 2


def test_a_kill_before_the_servers_hear_is_mended(world: ClientWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = world.person("alice", Role.PATIENT)
    open_record(alice)

    def kill(_: Session) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("carnet.recovery.note_unregistered", kill)
        with pytest.raises(KeyboardInterrupt):
            begin_anew(world, own_secret(alice))
    assert len(fetch_own(world.reopen("new")).devices) == 2


def test_only_the_same_person_goes_on(world: ClientWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = world.person("alice", Role.PATIENT), world.person("bob", Role.PRACTITIONER)
    cut_restoring(world, own_secret(alice), "keyservice", monkeypatch, after=False)
    with pytest.raises(HomeTakenError, match="somebody else"):
        begin_anew(world, own_secret(bob))
    with pytest.raises(UnlockError, match="another passphrase"):
        begin_anew(world, own_secret(alice), passphrase="another one entirely")
    assert begin_anew(world, own_secret(alice)).identity == alice.identity


def test_an_identity_is_made_once_in_a_home(world: ClientWorld) -> None:
    world.person("alice", Role.PATIENT)
    with pytest.raises(HomeTakenError, match="another home"):
        world.person("alice", Role.PATIENT)


@pytest.mark.parametrize("passphrase", ["", "short"])
def test_a_poor_passphrase_makes_no_home(world: ClientWorld, passphrase: str) -> None:
    with pytest.raises(UsageError):
        make_identity(
            world.home("x"), world.own.card, Role.PATIENT, passphrase=passphrase, device_name="a", **world.options()
        )
    assert not world.home("x").path.exists()


def test_registering_twice_changes_nothing(world: ClientWorld) -> None:
    alice = world.person("alice", Role.PATIENT)
    register(alice)
    person = fetch_own(alice)
    assert (len(person.chain), len(person.devices)) == (1, 1)
