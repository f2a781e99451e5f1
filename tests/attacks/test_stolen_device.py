"""Attack 14: a stolen device, a thief who moves first, and what an honest removal leaves as it was (P14 in part)."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reseal import reseal_version
from carnet.errors import CarnetError, DataError, RefusedError, UnauthenticatedError
from carnet.grant_book import load_grants, statements_path
from carnet.grants import plan_reading
from carnet.identity import fetch_own, sign_device
from carnet.records import NewEpoch, make_compartment, make_epoch
from carnet.revocation import complete_revocation, is_under_way, remove_lost_device, revoke
from carnet.session import Session
from carnet_protocol.api import Accepted, AccessView, CapsulesPage, DocumentsPage, PeopleUpdate, RecordUpdate
from carnet_protocol.ids import GrantId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Closing, Purpose
from tests.support.story import Story


@pytest.fixture
def phone(own_story: Story) -> Session:
    """A second device of Alice's: the one that is lost later."""
    session = own_story.pair("phone")
    own_story.world.clock.now += 600
    return session


def _remove(story: Story, phone: Session, *, seconds_ago: int) -> None:
    remove_lost_device(story.alice, phone.device, story.secrets["alice"], since=story.world.clock() - seconds_ago)


def _sign_epoch(phone: Session) -> NewEpoch:
    """The next epoch of a compartment that holds no document."""
    access = open_access(phone, phone.record)
    empty = next(name for name, one in access.compartments.items() if one.name == "medication")
    return make_epoch(phone, access, empty, book=load_grants(phone, access))


def _tell_keyservice(phone: Session, epoch: NewEpoch) -> None:
    update = RecordUpdate(statements=(epoch.statement.text,), sealed_keys=(epoch.own_copy,), capsules=())
    phone.keyservice.post(statements_path(phone.record), update, Accepted)


def _tell_vault(phone: Session, epoch: NewEpoch) -> None:
    update = RecordUpdate(statements=(epoch.statement.text,), sealed_keys=(), capsules=())
    phone.vault.post(statements_path(phone.record), update, Accepted)


def _thiefs_epoch(phone: Session, *, garbage: bool = False) -> NewEpoch:
    epoch = _sign_epoch(phone)
    if garbage:
        own_copy = epoch.own_copy
        sealed = own_copy.sealed[:8] + secrets.token_bytes(len(own_copy.sealed) - 8)
        epoch = replace(epoch, own_copy=own_copy.model_copy(update={"sealed": sealed}))
    _tell_keyservice(phone, epoch)
    _tell_vault(phone, epoch)
    return epoch


def _titles(story: Story, session: Session) -> list[str]:
    listing = list_documents(session, story.access(session))
    assert not listing.problems
    return sorted(document.metadata.title for document in listing.documents)


def test_what_an_honest_device_closed_and_resealed_outlives_its_removal(own_story: Story, phone: Session) -> None:
    story = own_story
    access = open_access(phone, phone.record)
    reseal_version(phone, access, story.letter, version=1)
    book = load_grants(phone, access)
    revoke(phone, book, story.read_grant)
    complete_revocation(phone, story.read_grant)
    story.world.clock.now += 600
    _remove(story, phone, seconds_ago=900)
    assert _titles(story, story.alice) == ["letter", "result", "secret"]
    assert story.access(story.lab).compartments
    with pytest.raises(UnauthenticatedError):
        fetch_own(phone)


def test_a_revocation_that_one_server_lacks_outlives_the_device_that_signed_it(
    own_story: Story, phone: Session
) -> None:
    story = own_story
    book = load_grants(phone, open_access(phone, phone.record))

    def cut(request: httpx2.Request) -> None:
        if request.method == "POST":
            raise httpx2.ConnectError("down")

    story.world.vault.before = cut
    revoke(phone, book, story.read_grant)
    story.world.vault.before = None
    story.world.clock.now += 600
    _remove(story, phone, seconds_ago=300)
    path = f"/v1/records/{story.alice.record}/documents"
    with pytest.raises(RefusedError):
        story.bob.vault.get(path, DocumentsPage, query={"grant": str(story.read_grant.hash)})


def test_an_epoch_that_nobody_can_open_does_not_keep_a_thief_in(own_story: Story, phone: Session) -> None:
    story = own_story
    _thiefs_epoch(phone, garbage=True)
    with pytest.raises(DataError):
        story.access(story.alice)
    story.world.clock.now += 60
    _remove(story, phone, seconds_ago=600)
    assert _titles(story, story.alice) == ["letter", "result", "secret"]
    with pytest.raises(CarnetError):
        fetch_own(phone)


def test_nothing_is_sealed_to_an_epoch_that_a_thief_slips_in_before_the_removal(
    own_story: Story, phone: Session
) -> None:
    story = own_story
    epoch = _sign_epoch(phone)
    slipped_in: list[NewEpoch] = []

    def before(request: httpx2.Request) -> None:
        if request.url.path == "/v1/people" and request.method == "POST" and not slipped_in:
            slipped_in.append(epoch)
            _tell_keyservice(phone, epoch)
            with suppress(UnauthenticatedError):  # the vault may have the removal already
                _tell_vault(phone, epoch)

    story.world.keyservice.before = before
    _remove(story, phone, seconds_ago=600)
    story.world.keyservice.before = None
    assert slipped_in
    access = story.access(story.alice)
    assert all(compartment.is_trusted for compartment in access.compartments.values())
    assert not is_under_way(story.alice)
    page = story.alice.vault.get(f"/v1/records/{story.alice.record}/capsules", CapsulesPage, query={"limit": "500"})
    recipients = {
        entry.capsule.compartment.compartment_statement for entry in page.capsules if entry.capsule.compartment
    }
    assert slipped_in[0].statement.hash not in recipients


def _tell_vault_and_close(phone: Session, epoch: NewEpoch) -> None:
    """The vault alone hears of an epoch, and that the one before it, which nothing is under, is closed."""
    _tell_vault(phone, epoch)
    body = epoch.statement.body
    assert body.previous is not None
    closing = phone.sign(
        Closing(
            record=body.record,
            compartment=body.compartment,
            epoch=body.epoch - 1,
            compartment_statement=body.previous,
            device=phone.device,
            issued_at=phone.clock(),
        )
    )
    update = RecordUpdate(statements=(closing.text,), sealed_keys=(), capsules=())
    phone.vault.post(statements_path(phone.record), update, Accepted)


def _check_shut_out_and_whole(story: Story, phone: Session) -> None:
    """The servers agree again, the record is as it was, and everything is under epochs of a device in force."""
    access = story.access(story.alice)
    assert all(compartment.is_trusted for compartment in access.compartments.values())
    assert _titles(story, story.alice) == ["letter", "result", "secret"]
    assert story.access(story.bob).compartments
    assert story.access(story.lab).compartments
    assert not is_under_way(story.alice)
    with pytest.raises(UnauthenticatedError):
        fetch_own(phone)


@pytest.mark.parametrize("teller", [_tell_keyservice, _tell_vault, _tell_vault_and_close])
def test_an_epoch_that_a_thief_gives_to_one_server_alone_parts_the_servers_no_longer_than_the_thief_is_in(
    own_story: Story, phone: Session, teller: Callable[[Session, NewEpoch], None]
) -> None:
    story = own_story
    teller(phone, _sign_epoch(phone))
    story.world.clock.now += 60
    _remove(story, phone, seconds_ago=600)
    _check_shut_out_and_whole(story, phone)


def test_a_thief_who_gives_each_server_another_epoch_does_not_part_them_for_good(
    own_story: Story, phone: Session
) -> None:
    story = own_story
    for_vault, for_keyservice = _sign_epoch(phone), _sign_epoch(phone)
    assert for_vault.statement.body.previous == for_keyservice.statement.body.previous
    _tell_vault(phone, for_vault)
    _tell_keyservice(phone, for_keyservice)
    story.world.clock.now += 60
    _remove(story, phone, seconds_ago=600)
    _check_shut_out_and_whole(story, phone)


@pytest.mark.parametrize("teller", [_tell_keyservice, _tell_vault])
def test_a_compartment_that_a_thief_shows_to_one_server_alone_does_not_part_them_for_good(
    own_story: Story, phone: Session, teller: Callable[[Session, NewEpoch], None]
) -> None:
    story = own_story
    teller(phone, make_compartment(phone, story.access(phone).patient, "the thief's"))
    story.world.clock.now += 60
    _remove(story, phone, seconds_ago=600)
    _check_shut_out_and_whole(story, phone)


def test_a_grant_that_a_thief_dates_back_lets_nobody_in_and_holds_nothing_up(own_story: Story, phone: Session) -> None:
    story = own_story
    access = open_access(phone, phone.record)
    plan = plan_reading(
        phone,
        access,
        story.mallory.identity,
        compartments=list(access.compartments),
        seconds=86_400,
        purpose=Purpose.CONSULTATION,
        note="",
    )
    grant = phone.sign(
        story.read_grant.body.model_copy(
            update={
                "id": GrantId.make(),
                "grantee": story.mallory.identity,
                "grantee_statement": plan.practitioner.person.current.hash,
                "attestation": plan.practitioner.attestation.hash,
                "device": phone.device,
                "expires": plan.expires,
                "issued_at": story.world.clock() - 3_600,
            }
        )
    )
    update = RecordUpdate(statements=(grant.text,), sealed_keys=(), capsules=())
    for server in (phone.keyservice, phone.vault):
        server.post(statements_path(phone.record), update, Accepted)
    story.world.clock.now += 60
    _remove(story, phone, seconds_ago=600)
    _check_shut_out_and_whole(story, phone)
    for server in (story.mallory.keyservice, story.mallory.vault):
        with pytest.raises(RefusedError):
            server.get(f"/v1/records/{phone.record}/access", AccessView, query={"grant": str(grant.hash)})


def test_a_thief_who_enrols_devices_cannot_use_up_the_owners_room(own_story: Story, phone: Session) -> None:
    story = own_story
    body = phone.keyring.body

    def enrol(signer: Signer, enrolled_by: Session | None) -> str:
        return sign_device(
            Signer(secrets.token_bytes(32)).public_key,
            by=signer,
            enrolled_by=None if enrolled_by is None else enrolled_by.device,
            identity=phone.identity,
            account_key=body.account_key,
            name="x",
            now=story.world.clock(),
        ).text

    def fill_up() -> None:
        for _ in range(20):
            texts = tuple(enrol(body.device_signer, phone) for _ in range(16))
            phone.keyservice.post("/v1/people", PeopleUpdate(statements=texts), Accepted)

    with pytest.raises(CarnetError):
        fill_up()
    root = story.secrets["alice"].derive_root_signer()
    story.alice.keyservice.post("/v1/people", PeopleUpdate(statements=(enrol(root, None),)), Accepted)
