"""The verified view of a record: nothing that a server makes up, hides, changes or holds back gets through."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import RecordAccess, open_access, release
from carnet.boxes import seal_compartment_key
from carnet.documents.listing import list_documents, metadata_item
from carnet.errors import (
    AnswerError,
    CarnetError,
    DisagreementError,
    GrantEndedError,
    RefusedError,
    RollbackError,
    VerificationError,
)
from carnet.grants import make_grant, plan_reading
from carnet.receipts import kept_receipts
from carnet.records import open_record
from carnet.sealing import KemPrivateKey
from carnet.session import Session
from carnet_protocol.api import ReleaseKind
from carnet_protocol.ids import CompartmentId
from carnet_protocol.statements import Grant, Identity, Lock, Purpose, Receipt, Signed
from carnet_protocol.suites import WRITE_SUITE
from tests.support.client import ClientWorld, Wire, find_compartment, put_document
from tests.support.people import Dice

Edit = Callable[[dict[str, Any]], None]


def edit(wire: Wire, ending: str, change: Edit, *, times: int = 99) -> None:
    """Have the server behind `wire` change what it answers on paths with `ending`."""
    left = [times]

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith(ending) or response.status_code != 200 or not left[0]:
            return response
        left[0] -= 1
        members = json.loads(response.read())
        change(members)
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    wire.after = after


@dataclass(slots=True)
class Story:
    world: ClientWorld
    alice: Session
    bob: Session
    general: CompartmentId
    grant: Signed[Grant]
    access: RecordAccess

    def as_alice(self) -> RecordAccess:
        return open_access(self.alice, self.alice.record, sleep=lambda _: None)

    def as_bob(self) -> RecordAccess:
        return open_access(self.bob, self.alice.record, self.grant.hash, sleep=lambda _: None)


@pytest.fixture
def story(world: ClientWorld) -> Story:
    alice, bob = world.patient("alice"), world.practitioner("bob")
    access = open_record(alice)
    general = find_compartment(access, "general")
    plan = plan_reading(alice, access, bob.identity, compartments=[general], seconds=1800, purpose=Purpose.CONSULTATION)
    return Story(world, alice, bob, general, make_grant(alice, access, plan), access)


def test_a_reader_sees_what_the_grant_covers_and_nothing_else(story: Story) -> None:
    access = story.as_bob()
    assert set(access.compartments) == {story.general}
    assert access.compartment(story.general).name == "general"
    with pytest.raises(VerificationError):
        access.compartment(CompartmentId(bytes(16)))
    assert "general" not in repr(access.compartment(story.general))


def test_both_servers_are_asked_once(story: Story) -> None:
    for wire in (story.world.vault, story.world.keyservice):
        wire.requests.clear()
    story.as_bob()
    assert [len(wire.requests) for wire in (story.world.vault, story.world.keyservice)] == [1, 1]


def drop(member: str) -> Edit:
    return lambda members: members.update({member: []})


def pop(member: str, index: int = -1) -> Edit:
    return lambda members: members[member].pop(index)


@pytest.mark.parametrize("server", ["vault", "keyservice"])
def test_a_compartment_that_one_server_hides_is_noticed(story: Story, server: str) -> None:
    edit(getattr(story.world, server), "/access", pop("compartments"))
    with pytest.raises(DisagreementError, match="shows 1 epochs"):
        story.as_alice()


def test_a_compartment_that_both_hide_is_noticed(story: Story) -> None:
    for wire in (story.world.vault, story.world.keyservice):
        edit(wire, "/access", lambda members: members.update(compartments=sorted(members["compartments"])[1:]))
    with pytest.raises(RollbackError):
        story.as_alice()


def test_a_server_a_statement_ahead_is_asked_again(story: Story) -> None:
    edit(story.world.vault, "/access", pop("compartments"), times=2)
    assert len(story.as_alice().compartments) == 5


def test_a_grantee_to_whom_part_of_the_grant_is_hidden_notices(story: Story) -> None:
    for wire in (story.world.vault, story.world.keyservice):
        edit(wire, "/access", drop("compartments"))
    with pytest.raises(VerificationError):
        story.as_bob()


@pytest.mark.parametrize("server", ["vault", "keyservice"])
def test_a_grant_that_one_server_replaces_is_noticed(story: Story, server: str) -> None:
    edit(getattr(story.world, server), "/access", lambda members: members.update(grant=None))
    with pytest.raises(DisagreementError):
        story.as_bob()


def sign_grant(story: Story, **change: object) -> Signed[Grant]:
    return story.alice.sign(story.grant.body.model_copy(update=change))


@pytest.mark.parametrize("change", ["another id", "another signer", "another vault", "another grantee", "a later end"])
def test_another_grant_at_both_servers_is_refused(story: Story, change: str) -> None:
    body = story.grant.body
    mallory = Dice("mallory").signer()
    other = {
        "another id": lambda: sign_grant(story, id=type(body.id)(bytes(16))),
        "another signer": lambda: Signed.sign(body, mallory),
        "another vault": lambda: sign_grant(story, vault=body.keyservice, keyservice=body.vault),
        "another grantee": lambda: sign_grant(story, grantee=story.alice.identity),
        "a later end": lambda: sign_grant(story, expires=body.expires + 1),
    }[change]()
    for wire in (story.world.vault, story.world.keyservice):
        edit(wire, "/access", lambda members: members.update(grant=other.text))
    with pytest.raises(VerificationError):
        story.as_bob()


def test_a_client_knows_the_end_of_a_grant_by_itself(story: Story) -> None:
    story.as_bob()
    clock = story.world.clock
    start = clock.now
    frozen = {wire: [] for wire in (story.world.vault, story.world.keyservice)}
    for wire, kept in frozen.items():

        def keep(request: httpx2.Request, response: httpx2.Response, kept: list[bytes] = kept) -> httpx2.Response:
            if request.url.path.endswith("/access") and not kept:
                kept.append(response.read())
            return httpx2.Response(200, stream=httpx2.ByteStream(kept[0]))

        wire.after = keep
    story.as_bob()
    clock.now = start + 1799
    story.as_bob()
    for now in (start + 1800, start - 1):
        clock.now = now
        with pytest.raises(GrantEndedError):
            story.as_bob()


def test_servers_refuse_a_grant_that_is_over(story: Story) -> None:
    story.world.clock.now += 1800
    with pytest.raises(RefusedError):
        story.as_bob()


@pytest.mark.parametrize("server", ["vault", "keyservice"])
def test_another_person_in_the_place_of_the_patient_is_refused(story: Story, server: str) -> None:
    other = story.bob.keyring.body.person.model_dump(mode="json")
    edit(getattr(story.world, server), "/access", lambda members: members.update(patient=other))
    with pytest.raises((VerificationError, DisagreementError)):
        story.as_alice()


def test_a_planted_compartment_key_is_refused(story: Story) -> None:
    planted = seal_compartment_key(
        KemPrivateKey.make(WRITE_SUITE),
        compartment=story.access.compartment(story.general).newest,
        grant=story.grant.hash,
        reader=Signed.parse(story.bob.keyring.body.person.identities[0], Identity),
    )
    edit(
        story.world.keyservice,
        "/access",
        lambda members: members.update(sealed_keys=[planted.model_dump(mode="json")]),
    )
    with pytest.raises(VerificationError, match="planted"):
        story.as_bob()


def test_a_key_that_is_held_back_is_noticed(story: Story) -> None:
    edit(story.world.keyservice, "/access", drop("sealed_keys"))
    with pytest.raises(VerificationError, match="no key"):
        story.as_bob()


def test_keys_for_others_are_not_opened(story: Story) -> None:
    def add(members: dict[str, Any]) -> None:
        stranger = {**members["sealed_keys"][0], "reader_statement": str(story.alice.device)}
        unknown = {**members["sealed_keys"][0], "compartment_statement": str(story.alice.device)}
        members["sealed_keys"] += [stranger, unknown]

    edit(story.world.keyservice, "/access", add)
    assert len(story.as_bob().compartment(story.general).keys) == 1


def make_lock(story: Story, **change: object) -> str:
    assert story.access.lock is not None
    body: Lock = story.access.lock.body.model_copy(update=change)
    return Signed.sign(body, story.world.own.keyservice.key).text


@pytest.mark.parametrize("change", ["record", "key service", "signer", "another kind"])
def test_a_lock_that_is_not_this_record_s_is_refused(story: Story, change: str) -> None:
    assert story.access.lock is not None
    text = {
        "record": lambda: make_lock(story, record=type(story.alice.record)(story.bob.identity.raw)),
        "key service": lambda: make_lock(story, keyservice=story.alice.vault.fingerprint),
        "signer": lambda: Signed.sign(story.access.lock.body, story.world.own.vault.key).text,
        "another kind": lambda: story.grant.text,
    }[change]()
    edit(story.world.keyservice, "/access", lambda members: members.update(lock=text))
    with pytest.raises(VerificationError):
        story.as_alice()


def test_an_older_lock_is_refused(story: Story) -> None:
    newer, older = make_lock(story, version=2), make_lock(story)
    edit(story.world.keyservice, "/access", lambda members: members.update(lock=newer))
    story.as_alice()
    edit(story.world.keyservice, "/access", lambda members: members.update(lock=older))
    with pytest.raises(RollbackError):
        story.as_alice()


def test_a_restarted_client_remembers(story: Story) -> None:
    story.alice.close()
    story.world.sessions.remove(story.alice)
    story.alice = story.world.reopen("alice")
    for wire in (story.world.vault, story.world.keyservice):
        edit(wire, "/access", lambda members: members.update(compartments=sorted(members["compartments"])[1:]))
    with pytest.raises(RollbackError):
        story.as_alice()


def test_releases_are_checked_and_their_receipts_kept(story: Story, tmp_path: Path) -> None:
    put_document(story.alice, story.access, tmp_path, "letter", compartment="general")
    access = story.as_bob()
    (document,) = list_documents(story.bob, access).documents
    before = len(kept_receipts(story.bob.state))
    item = metadata_item(document.version)
    (inner,) = release(story.bob, access, ReleaseKind.LIST, [item])
    assert inner is not None
    assert len(kept_receipts(story.bob.state)) == before + 1


@pytest.mark.parametrize("change", ["fewer", "more", "another receipt", "a receipt of the vault"])
def test_a_release_that_is_not_one_is_refused(story: Story, tmp_path: Path, change: str) -> None:
    put_document(story.alice, story.access, tmp_path, "letter", compartment="general")
    access = story.as_bob()
    (document,) = list_documents(story.bob, access).documents

    def spoil(members: dict[str, Any]) -> None:
        match change:
            case "fewer":
                members["inner"] = []
            case "more":
                members["inner"] *= 2
            case "another receipt":
                members["receipt"] = story.grant.text
            case _:
                receipt = Signed.parse(members["receipt"], Receipt)
                members["receipt"] = Signed.sign(receipt.body, story.world.own.vault.log_key).text

    edit(story.world.keyservice, "/releases", spoil)
    with pytest.raises((AnswerError, VerificationError)):
        release(story.bob, access, ReleaseKind.LIST, [metadata_item(document.version)])


def test_a_release_in_part_keeps_its_places(story: Story, tmp_path: Path) -> None:
    put_document(story.alice, story.access, tmp_path, "letter", compartment="general")
    access = story.as_bob()
    (document,) = list_documents(story.bob, access).documents
    item = metadata_item(document.version)
    strange = item.model_copy(update={"author": story.bob.identity})
    inner_locks = release(story.bob, access, ReleaseKind.LIST, [strange, item])
    assert [inner is None for inner in inner_locks] == [True, False]
    with pytest.raises(RefusedError):
        release(story.bob, access, ReleaseKind.LIST, [strange])


def test_no_error_shows_a_secret_or_a_name(story: Story) -> None:
    edit(story.world.keyservice, "/access", drop("sealed_keys"))
    with pytest.raises(CarnetError) as caught:
        story.as_bob()
    assert "general" not in str(caught.value)
