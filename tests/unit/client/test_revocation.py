"""Ending grants, at once and for good, against both real servers."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents, metadata_item
from carnet.errors import CarnetError, PartialError, RefusedError, UnfinishedError, UnreachableError
from carnet.grant_book import load_grants
from carnet.grants import GrantState, list_grants, make_grant, plan_depositing, plan_reading
from carnet.identity import renew_account_key
from carnet.inbox import load_inbox
from carnet.locks import fetch_lock
from carnet.progress import Progress, Step
from carnet.receipts import kept_receipts
from carnet.records import open_record
from carnet.revocation import complete, complete_revocation, is_under_way, revoke
from carnet.session import Session
from carnet_protocol.api import Capsule, CapsulesPage, ReleaseAnswer, ReleaseKind, ReleaseRequest
from carnet_protocol.ids import CompartmentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed
from tests.support.client import ClientWorld, Wire, find_compartment, put_document, titles
from tests.support.cuts import Cut, quiet
from tests.support.databases import BOTH

DATABASES = BOTH


@dataclass(slots=True)
class Story:
    """Alice, whose `general` compartment holds two documents, and readers."""

    world: ClientWorld
    alice: Session
    general: CompartmentId
    folder: Path

    def let_in(self, reader: Session, **scope: object) -> Signed[Grant]:
        access = open_access(self.alice, self.alice.record)
        members = {"compartments": [self.general], **scope}
        plan = plan_reading(
            self.alice,
            access,
            reader.identity,
            seconds=1800,
            purpose=Purpose.TREATMENT,
            **members,
        )
        return make_grant(self.alice, access, plan)

    def end(self, grant: Signed[Grant]) -> None:
        report = revoke(self.alice, load_grants(self.alice, open_access(self.alice, self.alice.record)), grant)
        assert report.is_everywhere, report

    def titles(self, reader: Session, grant: Signed[Grant]) -> list[str]:
        return titles(reader, open_access(reader, self.alice.record, grant.hash))

    def own_titles(self) -> list[str]:
        return titles(self.alice, open_access(self.alice, self.alice.record))

    def capsules(self) -> list[Capsule]:
        page = self.alice.vault.get(f"/v1/records/{self.alice.record}/capsules", CapsulesPage)
        return [entry.capsule for entry in page.capsules]

    def restart(self) -> None:
        """Alice's command was cut; another one begins."""
        self.alice.close()
        self.world.sessions.remove(self.alice)
        self.alice = self.world.reopen("alice")
        quiet(self.alice)


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice = world.patient("alice")
    quiet(alice)
    access = open_record(alice)
    story = Story(world, alice, find_compartment(access, "general"), tmp_path)
    for title in ("one", "two"):
        put_document(alice, access, tmp_path, title, compartment="general")
    put_document(alice, access, tmp_path, "secret", compartment="private")
    return story


def test_story(world: ClientWorld, tmp_path: Path) -> None:
    alice, bob, carol, laura = (
        world.patient("alice"),
        world.practitioner("bob"),
        world.practitioner("carol"),
        world.practitioner("laura"),
    )
    access = open_record(alice)
    general = find_compartment(access, "general")
    put_document(alice, access, tmp_path, "own letter", compartment="general")
    put_document(alice, access, tmp_path, "secret", compartment="private")
    deposit = make_grant(
        alice,
        access,
        plan_depositing(alice, access, laura.identity, compartment=general, seconds=86400, purpose=Purpose.DIAGNOSTICS),
    )
    lab = open_access(laura, alice.record, deposit.hash)
    put_document(laura, lab, tmp_path, "result", compartment="general")
    grants = [
        make_grant(
            alice,
            access,
            plan_reading(
                alice,
                access,
                reader.identity,
                compartments=[general],
                seconds=1800,
                purpose=Purpose.CONSULTATION,
                note="hello",
            ),
        )
        for reader in (bob, carol)
    ]
    received = load_inbox(bob)
    assert [entry.note for entry in received.grants] == ["hello"]
    assert titles(bob, open_access(bob, alice.record, grants[0].hash)) == ["own letter", "result"]
    book = load_grants(alice, open_access(alice, alice.record))
    report = revoke(alice, book, grants[0])
    assert report.is_everywhere, report
    with pytest.raises(RefusedError):
        open_access(bob, alice.record, grants[0].hash)
    done = complete_revocation(alice, grants[0])
    assert (done.remade, done.closed, done.skipped, done.readers_left_out) == (6, 1, (), ())
    access = open_access(alice, alice.record)
    assert access.compartment(general).newest.body.epoch == 2
    assert titles(alice, access) == ["own letter", "result", "secret"]
    assert titles(carol, open_access(carol, alice.record, grants[1].hash)) == ["own letter", "result"]
    put_document(laura, open_access(laura, alice.record, deposit.hash), tmp_path, "later", compartment="general")
    assert titles(carol, open_access(carol, alice.record, grants[1].hash)) == ["later", "own letter", "result"]
    states = [status.state for status in list_grants(load_grants(alice, access), now=world.clock())]
    assert sorted(states) == [GrantState.IN_FORCE, GrantState.IN_FORCE, GrantState.REVOKED]


def lose(wire: Wire, *, every: bool = True) -> None:
    def before(request: httpx2.Request) -> None:
        raise httpx2.ConnectError("cut", request=request)

    wire.before = before if every else None


@pytest.mark.parametrize("away", ["vault", "keyservice"])
def test_one_server_alone_stops_the_reader(story: Story, away: str) -> None:
    bob = story.world.practitioner("bob")
    grant = story.let_in(bob)
    book = load_grants(story.alice, open_access(story.alice, story.alice.record))
    wire: Wire = getattr(story.world, away)
    lose(wire)
    report = revoke(story.alice, book, grant)
    assert not report.is_everywhere
    assert isinstance(getattr(report, away), PartialError)
    wire.before = None
    with pytest.raises(RefusedError):
        open_access(bob, story.alice.record, grant.hash)
    story.restart()
    other = {"vault": story.world.keyservice, "keyservice": story.world.vault}[away]
    lose(other)
    with pytest.raises((RefusedError, UnreachableError)) as caught:
        open_access(bob, story.alice.record, grant.hash)
    other.before = None
    book = load_grants(story.alice, open_access(story.alice, story.alice.record))
    assert (book.lacking_at_vault, book.lacking_at_keyservice) == ((), ())
    assert caught.value is not None


def test_receipts_of_a_revocation_are_kept(story: Story) -> None:
    grant = story.let_in(story.world.practitioner("bob"))
    before = len(kept_receipts(story.alice.state))
    story.end(grant)
    assert len(kept_receipts(story.alice.state)) == before + 2


def test_revoking_twice_is_the_same_statement(story: Story) -> None:
    grant = story.let_in(story.world.practitioner("bob"))
    story.end(grant)
    story.end(grant)
    book = load_grants(story.alice, open_access(story.alice, story.alice.record))
    assert len(book.revocations) == 1


def test_nothing_is_completed_that_was_not_begun(story: Story) -> None:
    with pytest.raises(UnfinishedError, match="nothing to complete"):
        complete(story.alice)


def test_every_step_is_told(story: Story) -> None:
    grant = story.let_in(story.world.practitioner("bob"))
    story.end(grant)
    told: list[Progress] = []
    encrypted: list[bool] = []
    complete_revocation(
        story.alice, grant, on_step=told.append, reencrypt=lambda *_: encrypted.append(is_under_way(story.alice))
    )
    steps = [step for step, _ in itertools.groupby(progress.step for progress in told)]
    assert steps == [Step.NEW_LOCK, Step.NEW_KEYS, Step.RELOCK, Step.CLOSE, Step.RETIRE]
    assert encrypted == [True]
    assert not is_under_way(story.alice)


def test_what_a_reader_kept_opens_nothing_afterwards(story: Story) -> None:
    bob = story.world.practitioner("bob")
    grant = story.let_in(bob)
    kept = open_access(bob, story.alice.record, grant.hash)
    documents = list_documents(bob, kept).documents
    old_lock = fetch_lock(story.alice, story.alice.record)
    items = [metadata_item(document.version) for document in documents]
    story.end(grant)
    complete_revocation(story.alice, grant)
    kept_keys = kept.compartment(story.general).keys
    for capsule in story.capsules():
        assert capsule.lock_statement != old_lock.hash
        assert capsule.compartment is not None
        assert capsule.compartment.compartment_statement not in kept_keys
    # Nothing under the retired lock is released any more, not even to the patient.
    request = ReleaseRequest(grant=None, kind=ReleaseKind.LIST, items=tuple(items))
    with pytest.raises(RefusedError):
        story.alice.keyservice.post(f"/v1/records/{story.alice.record}/releases", request, ReleaseAnswer)


def test_a_reader_whose_keys_changed_is_left_out_and_named(story: Story) -> None:
    bob, carol = story.world.practitioner("bob"), story.world.person("carol", Role.PRACTITIONER)
    story.world.attest(carol)
    secret = carol.keyring.body.recovery_secret
    assert secret is not None
    ended, kept = story.let_in(bob), story.let_in(carol)
    renew_account_key(carol, secret)
    story.world.attest(carol)
    story.end(ended)
    report = complete_revocation(story.alice, ended)
    assert [skipped.grant.hash for skipped in report.readers_left_out] == [kept.hash]
    assert "keys" in report.readers_left_out[0].reason
    assert report.skipped == ()
    assert story.own_titles() == ["one", "secret", "two"]


def test_a_grant_of_nothing_readable_renews_the_lock_alone(story: Story) -> None:
    laura = story.world.practitioner("laura")
    access = open_access(story.alice, story.alice.record)
    plan = plan_depositing(
        story.alice,
        access,
        laura.identity,
        compartment=story.general,
        seconds=60,
        purpose=Purpose.DIAGNOSTICS,
    )
    grant = make_grant(story.alice, access, plan)
    story.end(grant)
    report = complete_revocation(story.alice, grant)
    assert (report.remade, report.closed) == (6, 0)
    assert open_access(story.alice, story.alice.record).compartment(story.general).newest.body.epoch == 1


def test_a_cut_anywhere_is_mended_by_running_again(story: Story) -> None:
    bob, carol = story.world.practitioner("bob"), story.world.practitioner("carol")
    kept = story.let_in(carol)
    for number in itertools.count(1):
        ended = story.let_in(bob)
        story.end(ended)
        cut = Cut(story.world, number, answer=number % 2 == 0)
        try:
            complete_revocation(story.alice, ended)
            was_cut = False
        except CarnetError:
            was_cut = True
        cut.mend()
        if was_cut:
            story.restart()
            if is_under_way(story.alice):
                assert complete(story.alice).skipped == ()
            else:
                complete_revocation(story.alice, ended)
        newest = open_access(story.alice, story.alice.record).compartment(story.general)
        assert newest.closed == {epoch.hash for epoch in newest.chain[:-1]}
        assert {capsule.lock_statement for capsule in story.capsules()} == {
            fetch_lock(story.alice, story.alice.record).hash
        }
        if not was_cut:
            break
    assert number > 15
    assert story.own_titles() == ["one", "secret", "two"]
    assert story.titles(carol, kept) == ["one", "two"]
