"""Attack 14, further: what a thief shows to one server alone, or too often, locks no record once it is removed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from carnet.access import open_access
from carnet.devices import shut_out
from carnet.errors import ConflictError, DisagreementError
from carnet.grant_book import load_grants, statements_path
from carnet.grants import make_grant, plan_reading
from carnet.records import NewEpoch, make_compartment, make_epoch, open_record
from carnet.revocation import complete_revocation, is_under_way, remove_lost_device, revoke
from carnet.session import Session
from carnet.transport import ServerClient
from carnet_protocol.api import Accepted, AccessView, RecordUpdate
from carnet_protocol.ids import GrantId
from carnet_protocol.limits import MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.statements import Grant, Purpose, Revocation, Signed
from tests.support.story import Story


@pytest.fixture
def phone(own_story: Story) -> Session:
    """A second device of Alice's: the thief's from now on."""
    session = own_story.pair("phone")
    own_story.world.clock.now += 600
    return session


def _tell(server: ServerClient, session: Session, *texts: str) -> None:
    update = RecordUpdate(statements=texts, sealed_keys=(), capsules=())
    server.post(statements_path(session.record), update, Accepted)


def _grant(story: Story, phone: Session, **changes: object) -> Signed[Grant]:
    body = story.read_grant.body.model_copy(
        update={"id": GrantId.make(), "device": phone.device, "issued_at": story.world.clock(), **changes}
    )
    return phone.sign(body)


def _revocation(phone: Session, grant: Signed[Grant], *, earlier: int = 0) -> Signed[Revocation]:
    return phone.sign(
        Revocation(
            record=grant.body.record,
            grant_id=grant.body.id,
            grant=grant.hash,
            device=phone.device,
            issued_at=phone.clock() - earlier,
        )
    )


def _remove(story: Story, phone: Session) -> None:
    story.world.clock.now += 60
    remove_lost_device(story.alice, phone.device, story.secrets["alice"], since=story.world.clock() - 600)


def _go_on(story: Story) -> None:
    """The patient lets somebody in and out again, and completes that: nothing bars the way."""
    alice = story.alice
    for _ in range(2):
        story.world.clock.now += 7_200
        access = open_record(alice)
        compartment = story.compartment("general")
        plan = plan_reading(
            alice, access, story.mallory.identity, compartments=[compartment], seconds=600, purpose=Purpose.CONSULTATION
        )
        grant = make_grant(alice, access, plan)
        book = load_grants(alice, open_record(alice))
        report = revoke(alice, book, grant)
        assert report.is_everywhere
        complete_revocation(alice, grant)
        load_grants(alice, open_record(alice))
    assert not is_under_way(alice)


Servers = Callable[[Session], ServerClient]
_AT_ONE_SERVER = pytest.mark.parametrize(
    "server", [lambda session: session.keyservice, lambda session: session.vault], ids=["keyservice", "vault"]
)
_MORE_THAN_FIT_IN_ONE_REQUEST = MAX_STATEMENTS_PER_REQUEST + 30


@_AT_ONE_SERVER
def test_a_grant_that_counts_for_nothing_and_its_revocation_at_one_server_alone(
    own_story: Story, phone: Session, server: Servers
) -> None:
    grant = _grant(own_story, phone)
    _tell(server(phone), phone, grant.text, _revocation(phone, grant).text)
    _remove(own_story, phone)
    _go_on(own_story)


@_AT_ONE_SERVER
@pytest.mark.parametrize("earlier", [0, 3_600], ids=["counts for nothing", "dated back"])
def test_a_grant_at_one_server_alone(own_story: Story, phone: Session, server: Servers, earlier: int) -> None:
    now = own_story.world.clock()
    grant = _grant(own_story, phone, issued_at=now - earlier, expires=now + 86_400)
    _tell(server(phone), phone, grant.text)
    _remove(own_story, phone)
    _go_on(own_story)


@_AT_ONE_SERVER
def test_a_revocation_at_one_server_alone(own_story: Story, phone: Session, server: Servers) -> None:
    _tell(server(phone), phone, _revocation(phone, own_story.read_grant).text)
    _remove(own_story, phone)
    _go_on(own_story)


@_AT_ONE_SERVER
def test_more_revocations_at_one_server_than_fit_in_one_request(
    own_story: Story, phone: Session, server: Servers
) -> None:
    for earlier in range(_MORE_THAN_FIT_IN_ONE_REQUEST):
        _tell(server(phone), phone, _revocation(phone, own_story.read_grant, earlier=earlier).text)
    _remove(own_story, phone)
    _go_on(own_story)


def test_completing_again_and_again_makes_no_more_revocations_of_what_is_revoked(
    own_story: Story, phone: Session
) -> None:
    story = own_story
    _tell(phone.keyservice, phone, _revocation(phone, story.read_grant).text)
    _remove(story, phone)
    counts = []
    for _ in range(3):
        story.world.clock.now += 100
        complete_revocation(story.alice, story.read_grant)
        counts.append(len(load_grants(story.alice, open_record(story.alice)).revocations))
    assert counts == [2, 2, 2]


@pytest.mark.parametrize("earlier", [0, 3_600], ids=["count for nothing", "dated back"])
def test_two_grants_of_one_id_one_at_each_server(own_story: Story, phone: Session, earlier: int) -> None:
    story, now = own_story, own_story.world.clock()
    one = _grant(story, phone, issued_at=now - earlier, expires=now + 86_400)
    two = _grant(story, phone, issued_at=now - earlier, expires=now + 86_401, id=one.body.id)
    _tell(phone.keyservice, phone, one.text)
    _tell(phone.vault, phone, two.text)
    _remove(story, phone)
    book = load_grants(story.alice, open_record(story.alice))
    standing = [grant for grant in book.grants if grant.hash in {one.hash, two.hash}]
    assert len(standing) == (2 if earlier else 0)
    for grant, at, elsewhere in ((one, "keyservice", "vault"), (two, "vault", "keyservice")):
        if grant in standing:
            report = revoke(story.alice, book, grant)
            assert isinstance(getattr(report, at), Signed)
            assert isinstance(getattr(report, elsewhere), ConflictError)
    _go_on(story)


def _tell_keyservice(phone: Session, epoch: NewEpoch) -> None:
    update = RecordUpdate(statements=(epoch.statement.text,), sealed_keys=(epoch.own_copy,), capsules=())
    phone.keyservice.post(statements_path(phone.record), update, Accepted)


def test_more_epochs_at_the_key_service_than_fit_in_one_request(own_story: Story, phone: Session) -> None:
    access = open_access(phone, phone.record)
    book, name = load_grants(phone, access), own_story.compartment("medication")
    for _ in range(_MORE_THAN_FIT_IN_ONE_REQUEST):
        epoch = make_epoch(phone, access, name, book=book)
        held = access.compartment(name)
        keys = {**held.keys, epoch.statement.hash: epoch.compartment_key}
        longer = replace(held, chain=(*held.chain, epoch.statement), keys=keys)
        access = replace(access, compartments={**access.compartments, name: longer})
        _tell_keyservice(phone, epoch)
    _remove(own_story, phone)
    _go_on(own_story)


def test_more_compartments_at_the_key_service_than_fit_in_one_request(own_story: Story, phone: Session) -> None:
    patient = open_access(phone, phone.record).patient
    for place in range(_MORE_THAN_FIT_IN_ONE_REQUEST):
        _tell_keyservice(phone, make_compartment(phone, patient, f"compartment {place}"))
    _remove(own_story, phone)
    _go_on(own_story)


def test_a_second_thief_has_the_vault_drop_no_epoch_of_the_first_for_good(own_story: Story, phone: Session) -> None:
    """Between removal and completion the newest epoch is a removed device's, and gives way to any other."""
    story = own_story
    tablet = story.pair("tablet")
    name = story.compartment("general")
    ours, rival = (
        make_epoch(session, access, name, book=load_grants(session, access))
        for session in (phone, tablet)
        for access in (open_access(session, session.record),)
    )
    _tell_keyservice(phone, ours)
    _tell(phone.vault, phone, ours.statement.text)
    story.world.clock.now += 60
    shut_out(story.alice, phone.device, story.secrets["alice"], since=story.world.clock() - 600)
    _tell(tablet.vault, tablet, rival.statement.text)
    with pytest.raises(DisagreementError):
        story.access(story.bob)
    _remove(story, tablet)
    _go_on(story)
    view = story.alice.vault.get(f"/v1/records/{story.alice.record}/access", AccessView)
    assert ours.statement.text in view.compartments
    assert rival.statement.text not in view.compartments


def test_many_grants_and_revocations_dated_back_do_not_keep_the_patient_reckoning(
    own_story: Story, phone: Session
) -> None:
    """What an epoch commits to is looked for from both ends: as fast beside many that a thief dates back."""
    alice, now = own_story.alice, own_story.world.clock()
    revoke(alice, load_grants(alice, open_record(alice)), own_story.read_grant)
    complete_revocation(alice, own_story.read_grant)
    grants = [_grant(own_story, phone, issued_at=now - 86_000 + place) for place in range(150)]
    for lot in (grants[:50], grants[50:100], grants[100:]):  # one grantee has no room for more that last
        _tell(phone.keyservice, phone, *(grant.text for grant in lot))
        for earlier in range(86_000, 86_004):
            _tell(phone.keyservice, phone, *(_revocation(phone, grant, earlier=earlier).text for grant in lot))
    book = load_grants(alice, open_record(alice))
    assert (len(book.grants), len(book.decided_revocations)) == (152, 601)
    _remove(own_story, phone)
    book = load_grants(alice, open_record(alice))
    assert (len(book.grants), len(book.decided_revocations)) == (152, 601)
