"""What only restricts reaches every server that can be reached: no other server keeps it back, by lying or by silence.

A revocation, the removal of a device, what waits in the outbox; and no completion from a view that leaves things out.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import RecordAccess, release
from carnet.cli.entry import main
from carnet.documents.listing import list_documents, metadata_item
from carnet.documents.removal import remove_document
from carnet.errors import PartialError, RefusedError, RollbackError, UnauthenticatedError
from carnet.grant_book import load_grants
from carnet.identity import fetch_own
from carnet.locks import fetch_lock
from carnet.revocation import (
    CompletionReport,
    RevocationReport,
    begin_renewal,
    complete,
    complete_revocation,
    is_under_way,
    revoke,
)
from carnet.session import Session, open_session
from carnet_protocol.api import PersonView, ReleaseItem, ReleaseKind
from carnet_protocol.statements import TombstoneReason
from tests.support.client import PASSPHRASE, Wire, put_document
from tests.support.cuts import quiet
from tests.support.story import Story, lying

Answer = Callable[[httpx2.Request], httpx2.Response]


def _lose(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("cut", request=request)


def _refuse(code: str, status: int) -> Answer:
    body = f'{{"error":{{"code":"{code}","message":""}}}}'.encode()
    return lambda _: httpx2.Response(status, stream=httpx2.ByteStream(body))


def _told(wire: Wire, path_end: str) -> list[httpx2.Request]:
    """The statements that were brought to a server."""
    return [request for request in wire.requests if request.method == "POST" and request.url.path.endswith(path_end)]


@pytest.fixture(autouse=True)
def _at_once(own_story: Story) -> None:
    for session in (own_story.alice, own_story.bob):
        quiet(session)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def members(self) -> dict[str, Any]:
        """The one object on standard output."""
        value: dict[str, Any] = json.loads(self.out)
        return value


Type = Callable[..., Said]


@pytest.fixture
def type_as_alice(own_story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command in Alice's home, whose servers are those of the story."""
    world = own_story.world
    own_story.alice.pins.store()

    def open_quietly(home: Path, *, passphrase: str) -> Session:
        session = open_session(home, passphrase=passphrase, **world.options())
        quiet(session)
        return session

    monkeypatch.setattr("carnet.cli.command.open_session", open_quietly)
    file = own_story.folder / "passphrase"
    file.write_text(PASSPHRASE + "\n")

    def run(*words: object) -> Said:
        capsys.readouterr()
        shared = ["--home", str(world.home("alice").path), "--passphrase-file", str(file)]
        code = main([*shared, *map(str, words)])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@contextlib.contextmanager
def _down(wire: Wire) -> Iterator[None]:
    wire.before = _lose
    try:
        yield
    finally:
        wire.before = None


def _hiding_an_epoch(wire: Wire) -> contextlib.AbstractContextManager[None]:
    return lying(wire, "/access", lambda view: view | {"compartments": view["compartments"][1:]})


def _showing_junk(wire: Wire) -> contextlib.AbstractContextManager[None]:
    return lying(wire, "/grants", lambda view: view | {"grants": [*view["grants"], "e30.e30.e30"]})


Mischief = Callable[[Wire], contextlib.AbstractContextManager[None]]
_MISCHIEF = pytest.mark.parametrize("mischief", [_down, _hiding_an_epoch, _showing_junk])


def _kept_by_bob(story: Story) -> tuple[RecordAccess, list[ReleaseItem]]:
    """All that Bob keeps, to ask the key service for keys once more."""
    access = story.access(story.bob)
    return access, [metadata_item(document.version) for document in list_documents(story.bob, access).documents]


def _check_nothing_is_released(story: Story, kept: tuple[RecordAccess, list[ReleaseItem]]) -> None:
    access, items = kept
    with pytest.raises(RefusedError):
        release(story.bob, access, ReleaseKind.LIST, items)


# Revoking ----------------------------------------------------------------------------------------


@_MISCHIEF
def test_a_vault_keeps_no_revocation_from_the_key_service(
    own_story: Story, type_as_alice: Type, mischief: Mischief
) -> None:
    story = own_story
    kept = _kept_by_bob(story)
    with mischief(story.world.vault):
        said = type_as_alice("--json", "revoke", story.read_grant.body.id)
        _check_nothing_is_released(story, kept)
    members = said.members()
    assert members["keyservice"]["time"] == story.world.clock()
    assert (members["vault"] is None) == (mischief is _down)
    assert said.code == (3 if mischief is _down else 0)
    # The vault, once it is there and honest, has it too.
    again = story.world.reopen("alice")
    book = load_grants(again, story.access(again))
    assert {revocation.hash for revocation in book.revocations} == book.at_vault & book.at_keyservice - {
        grant.hash for grant in book.grants
    }


@_MISCHIEF
def test_who_revokes_is_told_what_became_of_it_at_each_server_and_what_to_do_next(
    own_story: Story, type_as_alice: Type, mischief: Mischief
) -> None:
    story = own_story
    with mischief(story.world.vault):
        said = type_as_alice("revoke", story.read_grant.body.id, "--complete")
    shown = " ".join(said.out.split())
    assert "is ended" in shown
    assert ("The vault does not know it yet" in shown) == (mischief is _down)
    assert f"carnet revoke {str(story.read_grant.body.id)[:8]} --complete" in shown
    assert said.code == (3 if mischief is _down else 1)
    done = type_as_alice("--json", "revoke", story.read_grant.body.id, "--complete")
    assert (done.code, done.members()["complete"]) == (0, True)


@_MISCHIEF
def test_a_vault_keeps_nobody_from_finding_what_to_revoke(
    own_story: Story, type_as_alice: Type, mischief: Mischief
) -> None:
    with mischief(own_story.world.vault):
        said = type_as_alice("--json", "grants")
        shown = type_as_alice("grants")
    assert {grant["grant"] for grant in said.members()["grants"]} == {
        str(grant.body.id) for grant in (own_story.read_grant, own_story.deposit_grant)
    }
    assert said.members()["reason"]
    assert said.code == shown.code == (3 if mischief is _down else 1)
    assert "Only one server shows this" in " ".join(shown.out.split())


def test_a_completion_that_stops_does_not_hide_that_the_grant_is_ended(own_story: Story, type_as_alice: Type) -> None:
    with _hiding_an_epoch(own_story.world.vault):
        said = type_as_alice("--json", "revoke", own_story.read_grant.body.id, "--complete")
    members = said.members()
    assert said.code == 1
    assert members["complete"] is False
    assert "epochs" in members["reason"]
    assert members["keyservice"]
    assert members["vault"]


def test_a_key_service_keeps_no_revocation_from_the_vault(own_story: Story, type_as_alice: Type) -> None:
    story = own_story
    with _down(story.world.keyservice):
        said = type_as_alice("--json", "revoke", story.read_grant.body.id)
    assert said.code == 3
    assert said.members()["keyservice"] is None
    assert said.members()["vault"]
    with pytest.raises(RefusedError):
        story.bob.vault.get(
            f"/v1/records/{story.alice.record}/documents", PersonView, query={"grant": str(story.read_grant.hash)}
        )


@pytest.mark.parametrize("away", ["vault", "keyservice"])
def test_a_grant_that_one_server_hides_is_revoked_at_both(own_story: Story, type_as_alice: Type, away: str) -> None:
    story = own_story
    kept = _kept_by_bob(story)
    wire: Wire = getattr(story.world, away)
    with lying(wire, "/grants", lambda view: {"grants": [], "revocations": []} | {"revocations": view["revocations"]}):
        said = type_as_alice("--json", "revoke", story.read_grant.body.id)
    assert said.code == 0
    assert said.members()["keyservice"]
    assert said.members()["vault"]
    _check_nothing_is_released(story, kept)


def test_nothing_is_revoked_that_the_patient_never_granted(own_story: Story, type_as_alice: Type) -> None:
    story = own_story
    forged = story.mallory.sign(story.read_grant.body.model_copy(update={"device": story.mallory.device}))

    def show(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"grants": [forged.text]}

    with lying(story.world.vault, "/grants", show), lying(story.world.keyservice, "/grants", show):
        said = type_as_alice("--json", "revoke", story.read_grant.body.id)
    assert said.code == 2
    assert not _told(story.world.keyservice, "/statements") or "revocation" not in str(
        _told(story.world.keyservice, "/statements")[-1].content
    )


# Shutting a device out ---------------------------------------------------------------------------


@pytest.fixture
def phone(own_story: Story) -> Session:
    """A second device of Alice's: the one that is lost."""
    session = own_story.pair("phone")
    own_story.world.clock.now += 600
    return session


@pytest.fixture
def words(own_story: Story) -> Path:
    """The words of Alice's kit."""
    file = own_story.folder / "words"
    file.write_text(" ".join(own_story.secrets["alice"].words()))
    return file


def _hiding_the_person(wire: Wire) -> contextlib.AbstractContextManager[None]:
    def change(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"person": view["person"] | {"identities": ["e30.e30.e30"]}}

    path = next(request.url.path for request in reversed(wire.requests) if "/people/" in request.url.path)
    return lying(wire, path, change)


def _refusing_people(wire: Wire) -> contextlib.AbstractContextManager[None]:
    @contextlib.contextmanager
    def refuse() -> Iterator[None]:
        answer = _refuse("internal", 500)
        wire.before = lambda request: answer(request) if request.url.path == "/v1/people" else None
        try:
            yield
        finally:
            wire.before = None

    return refuse()


@pytest.mark.parametrize("mischief", [_down, _hiding_an_epoch, _showing_junk, _hiding_the_person, _refusing_people])
def test_a_vault_keeps_no_removal_of_a_device_from_the_key_service(
    own_story: Story, phone: Session, words: Path, type_as_alice: Type, mischief: Mischief
) -> None:
    story = own_story
    fetch_own(story.alice)
    remove = ("--json", "device", "remove", "phone", "--words-file", words, "--yes")
    with mischief(story.world.vault):
        said = type_as_alice(*remove)
        with pytest.raises(UnauthenticatedError):
            phone.keyservice.get(f"/v1/people/{phone.identity}", PersonView)
    assert said.members()["keyservice"]
    assert said.members()["complete"] is False
    assert said.members()["reason"]
    assert said.code == (3 if mischief in (_down, _refusing_people) else 1)
    # Run again, it is finished.
    done = type_as_alice(*remove)
    assert (done.code, done.members()["complete"]) == (0, True), done
    with pytest.raises(UnauthenticatedError):
        phone.vault.get(f"/v1/people/{phone.identity}", PersonView)
    again = story.world.reopen("alice")
    assert len(fetch_own(again).removals) == 1
    assert fetch_own(again).current.body.serial >= 1
    access = story.access(again)
    assert all(compartment.newest.body.epoch >= 2 for compartment in access.compartments.values())
    assert not list_documents(again, access).problems


def test_a_key_service_keeps_no_removal_of_a_device_from_the_vault(
    own_story: Story, phone: Session, words: Path, type_as_alice: Type
) -> None:
    with _down(own_story.world.keyservice):
        said = type_as_alice("device", "remove", "phone", "--words-file", words, "--yes")
        with pytest.raises(UnauthenticatedError):
            phone.vault.get(f"/v1/people/{phone.identity}", PersonView)
    assert said.code == 3
    shown = " ".join(said.out.split())
    assert "The key service does not know it yet" in shown
    assert "The vault has shut it out" in shown
    assert "carnet device remove" in shown


def test_keys_are_not_renewed_for_a_thief_who_still_has_the_account_key(
    own_story: Story, phone: Session, words: Path, type_as_alice: Type
) -> None:
    """What is sealed anew before the account key is, is sealed to a key that the thief has."""
    assert phone.device
    with _down(own_story.world.vault):
        type_as_alice("device", "remove", "phone", "--words-file", words, "--yes")
    said = type_as_alice("--json", "revoke", "--complete")
    assert (said.code, json.loads(said.err)["error"]["code"]) == (3, "unfinished")
    assert "carnet device remove" in json.loads(said.err)["error"]["message"]


# What waits --------------------------------------------------------------------------------------


def _revoke(story: Story) -> RevocationReport:
    return revoke(story.alice, load_grants(story.alice, story.access(story.alice)), story.read_grant)


def _knows_revocation(story: Story, session: Session) -> bool:
    book = load_grants(session, story.access(session))
    return bool(book.decided_revocations)


@pytest.mark.parametrize(
    ("code", "status"), [("internal", 500), ("unauthenticated", 401), ("clock_behind", 503), ("no_space", 507)]
)
def test_a_revocation_that_waits_outlives_a_server_that_fails(own_story: Story, code: str, status: int) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    with _down(story.world.keyservice), _down(story.world.vault):
        revoke(story.alice, book, story.read_grant)
    story.world.keyservice.before = _refuse(code, status)
    again = story.world.reopen("alice")
    assert not again.outbox.is_empty()
    story.world.keyservice.before = None
    third = story.world.reopen("alice")
    assert third.outbox.is_empty()
    assert _knows_revocation(story, third)


@pytest.mark.parametrize(("code", "status"), [("internal", 500), ("unauthenticated", 401)])
def test_a_revocation_outlives_a_server_that_fails_when_it_is_made(own_story: Story, code: str, status: int) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    story.world.keyservice.before = _refuse(code, status)
    report = revoke(story.alice, book, story.read_grant)
    assert isinstance(report.keyservice, PartialError)
    story.world.keyservice.before = None
    assert _knows_revocation(story, story.world.reopen("alice"))


def test_a_revocation_that_a_server_refuses_for_good_is_not_forgotten_in_silence(
    own_story: Story, type_as_alice: Type
) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    with _down(story.world.vault):
        revoke(story.alice, book, story.read_grant)
    answer = _refuse("refused", 404)
    story.world.vault.before = lambda request: answer(request) if request.method == "POST" else None
    said = type_as_alice("grants")
    assert said.code == 0
    shown = " ".join(said.err.split())
    assert "vault" in shown
    assert f"carnet revoke {str(story.read_grant.body.id)[:8]}" in shown
    assert "carnet revoke" not in type_as_alice("grants").err


def test_a_revocation_that_still_waits_is_told_of(own_story: Story, type_as_alice: Type) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    with _down(story.world.vault):
        revoke(story.alice, book, story.read_grant)
    answer = _refuse("internal", 500)
    story.world.vault.before = lambda request: answer(request) if request.method == "POST" else None
    for _ in range(2):
        said = type_as_alice("--json", "grants")
        warning = json.loads(said.err)["warning"]
        assert (said.code, warning["code"]) == (0, "partial")
        assert "waits" in warning["message"]
        assert str(story.read_grant.body.id)[:8] in warning["message"]


def test_a_server_that_is_away_holds_up_nothing_that_waits_for_the_other(own_story: Story) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    secret = next(
        one for one in list_documents(story.alice, story.access(story.alice)).documents if one.id == story.secret
    )
    with _down(story.world.vault):
        with pytest.raises(PartialError):
            remove_document(story.alice, secret.version, reason=TombstoneReason.ERROR)
        story.world.clock.now += 5
        with _down(story.world.keyservice):
            revoke(story.alice, book, story.read_grant)
        story.world.keyservice.requests.clear()
        again = story.world.reopen("alice")
        assert len(_told(story.world.keyservice, "/statements")) == 1
        assert not again.outbox.is_empty()
    third = story.world.reopen("alice")
    assert third.outbox.is_empty()
    assert _knows_revocation(story, third)


def test_what_only_restricts_does_not_wait_behind_what_its_server_has_to_get_later(own_story: Story) -> None:
    story = own_story
    book = load_grants(story.alice, story.access(story.alice))
    secret = next(
        one for one in list_documents(story.alice, story.access(story.alice)).documents if one.id == story.secret
    )
    # The key service may have got the tombstone or not, so it is kept; the vault is to get it next.
    story.world.keyservice.before = _refuse("internal", 500)
    with pytest.raises(PartialError):
        remove_document(story.alice, secret.version, reason=TombstoneReason.ERROR)
    story.world.clock.now += 5
    with _down(story.world.keyservice), _down(story.world.vault):
        revoke(story.alice, book, story.read_grant)
    with _down(story.world.keyservice):
        story.world.vault.requests.clear()
        story.world.reopen("alice")
        (told,) = _told(story.world.vault, "/statements")
    assert story.read_grant.text.encode() in told.content


def test_a_receipt_that_is_none_keeps_no_command_from_running(own_story: Story) -> None:
    story = own_story
    with _down(story.world.vault):
        _revoke_from(story)
    with lying(story.world.vault, "/statements", lambda answer: answer | {"receipts": ["e30.e30.e30"]}):
        again = story.world.reopen("alice")
        assert not again.outbox.is_empty()
    assert story.world.reopen("alice").outbox.is_empty()


def _revoke_from(story: Story) -> None:
    story.world.vault.before = None
    book = load_grants(story.alice, story.access(story.alice))
    story.world.vault.before = _lose
    revoke(story.alice, book, story.read_grant)


# Completing --------------------------------------------------------------------------------------


def _leaving_out(story: Story, *roles: str) -> contextlib.AbstractContextManager[None]:
    def change(page: dict[str, Any]) -> dict[str, Any]:
        shown = [
            entry
            for entry in page["capsules"]
            if entry["capsule"]["document"] != str(story.secret) or entry["capsule"]["role"] not in roles
        ]
        return page | {"capsules": shown}

    return lying(story.world.vault, "/capsules", change)


@pytest.mark.parametrize("roles", [("content", "metadata"), ("content",), ("metadata",)])
def test_no_lock_is_retired_while_the_vault_leaves_out_what_this_client_saw(
    own_story: Story, roles: tuple[str, ...]
) -> None:
    story = own_story
    assert len(list_documents(story.alice, story.access(story.alice)).documents) == 3
    _revoke(story)
    with _leaving_out(story, *roles), pytest.raises(RollbackError, match="left out"):
        complete_revocation(story.alice, story.read_grant)
    assert is_under_way(story.alice)
    access = story.access(story.alice)
    assert len(access.compartment(story.compartment("general")).open_epochs) == 2
    assert fetch_lock(story.alice, story.alice.record).body.version == 2
    done = complete(story.alice)
    assert (done.skipped, done.closed) == ((), 2)
    listing = list_documents(story.alice, story.access(story.alice))
    assert ({document.id for document in listing.documents}, listing.problems) == (
        {story.letter, story.secret, story.result},
        (),
    )


def _complete(story: Story) -> CompletionReport:
    _revoke(story)
    return complete_revocation(story.alice, story.read_grant)


def test_a_document_that_another_device_removed_bars_no_completion(own_story: Story, phone: Session) -> None:
    story = own_story
    documents = list_documents(story.alice, story.access(story.alice)).documents
    secret = next(one for one in documents if one.id == story.secret)
    remove_document(phone, secret.version, reason=TombstoneReason.ERROR)
    assert _complete(story).closed == 2
    begin_renewal(story.alice, ())
    assert complete(story.alice).skipped == ()


def test_a_document_that_its_author_withdrew_bars_no_completion(own_story: Story) -> None:
    story = own_story
    documents = list_documents(story.alice, story.access(story.alice)).documents
    result = next(one for one in documents if one.id == story.result)
    remove_document(story.lab, result.version, reason=TombstoneReason.MISFILED)
    assert _complete(story).closed == 2


def test_documents_that_this_client_never_saw_bar_no_completion(own_story: Story) -> None:
    story = own_story
    put_document(story.lab, story.access(story.lab), story.folder, "later", compartment="laboratory")
    assert _complete(story).closed == 2
