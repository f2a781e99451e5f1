"""Keys of a clinician change hands: after a renewal, and to a successor, against both real servers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents, list_own_deposits
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.removal import remove_document
from carnet.errors import CarnetError, RefusedError, UnlockError, UsageError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.handover import HandoverReport, hand_over, reseal_own, take_over
from carnet.identity import fetch_own, renew_account_key
from carnet.inbox import load_inbox
from carnet.keys import RecoverySecret
from carnet.records import open_record
from carnet.revocation import CompletionReport, begin_renewal, complete, complete_revocation, revoke
from carnet.session import Session
from carnet.succession import fetch_reader
from carnet_protocol.api import AccessView
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed, TombstoneReason
from carnet_protocol.statements import Succession as SuccessionStatement
from tests.support.client import ClientWorld, find_compartment, put_document, titles
from tests.support.people import DAY


@dataclass(slots=True)
class Story:
    world: ClientWorld
    alice: Session
    bob: Session
    grant: Signed[Grant]
    secret: RecoverySecret


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice, bob = world.patient("alice"), world.person("bob", Role.PRACTITIONER)
    world.attest(bob)
    access = open_record(alice)
    put_document(alice, access, tmp_path, "letter", compartment="general")
    plan = plan_reading(
        alice,
        access,
        bob.identity,
        compartments=[find_compartment(access, "general")],
        seconds=3600,
        purpose=Purpose.TREATMENT,
        note="for you",
    )
    secret = bob.keyring.body.recovery_secret
    assert secret is not None
    return Story(world, alice, bob, make_grant(alice, access, plan), secret)


def give(old: Session, successor: Session, secret: RecoverySecret) -> bytes:
    """The file that `old` writes for `successor`, when nothing is left out."""
    files: list[bytes] = []
    report = hand_over(old, fetch_own(successor).current, secret, store=files.append)
    assert report.skipped == []
    (file,) = files
    return file


def sealed_to(story: Story, session: Session) -> set[object]:
    path = f"/v1/records/{story.alice.record}/access"
    view = session.keyservice.get(path, AccessView, query={"grant": str(story.grant.hash)})
    return {key.reader_statement for key in view.sealed_keys}


def test_own_keys_are_sealed_anew_after_a_renewal(story: Story) -> None:
    renew_account_key(story.bob, story.secret)
    with pytest.raises(CarnetError):
        open_access(story.bob, story.alice.record, story.grant.hash)
    story.world.attest(story.bob)
    assert titles(story.bob, open_access(story.bob, story.alice.record, story.grant.hash)) == ["letter"]
    assert reseal_own(story.bob) == HandoverReport(1, 0, [])
    assert reseal_own(story.bob) == HandoverReport(1, 1, [])
    assert sealed_to(story, story.bob) == {fetch_own(story.bob).current.hash}
    assert titles(story.bob, open_access(story.bob, story.alice.record, story.grant.hash)) == ["letter"]
    assert [entry.note for entry in load_inbox(story.bob).grants] == ["for you"]


def test_a_successor_reads_what_was_handed_over(story: Story) -> None:
    carol = story.world.person("carol", Role.PRACTITIONER)
    handover = give(story.bob, carol, story.secret)
    with pytest.raises(CarnetError):
        open_access(carol, story.alice.record, story.grant.hash)
    story.world.attest(carol, succeeds=story.bob.identity)
    assert take_over(carol, handover) == HandoverReport(1, 0, [])
    assert titles(carol, open_access(carol, story.alice.record, story.grant.hash)) == ["letter"]
    assert [entry.note for entry in load_inbox(carol).grants] == [None]


@dataclass(slots=True)
class Succession:
    """Carol has taken over from Bob, whose own attestation lapses in ten days; Dave has a grant that is to be ended."""

    story: Story
    carol: Session
    folder: Path
    ended: Signed[Grant]
    kept: Signed[Grant]
    single: Signed[Grant]
    letter: DocumentId

    def lapse(self) -> None:
        """Twenty days pass: Bob's attestation is over, Carol's is not."""
        self.story.world.clock.now += 20 * DAY

    def renew(self, *, reencrypting: bool = False) -> CompletionReport:
        """Alice ends Dave's grant and completes that: new epochs, a new lock."""
        alice = self.story.alice
        assert revoke(alice, load_grants(alice, open_access(alice, alice.record)), self.ended).is_everywhere
        return complete_revocation(alice, self.ended, reencrypt=reencrypt_record if reencrypting else None)

    def titles(self, session: Session, grant: Signed[Grant]) -> list[str]:
        return titles(session, open_access(session, self.story.alice.record, grant.hash))

    def put(self, title: str) -> None:
        alice = self.story.alice
        put_document(alice, open_access(alice, alice.record), self.folder, title, compartment="general")


@pytest.fixture
def succession(world: ClientWorld, tmp_path: Path) -> Succession:
    alice, bob = world.patient("alice"), world.person("bob", Role.PRACTITIONER)
    world.attest(bob, expires=world.clock() + 10 * DAY)
    dave, carol = world.practitioner("dave"), world.person("carol", Role.PRACTITIONER)
    access = open_record(alice)
    general = find_compartment(access, "general")
    letter = put_document(alice, access, tmp_path, "letter", compartment="general")

    def let_in(reader: Session, **scope: Any) -> Signed[Grant]:
        plan = plan_reading(alice, access, reader.identity, seconds=90 * DAY, purpose=Purpose.TREATMENT, **scope)
        return make_grant(alice, access, plan)

    ended, kept = let_in(dave, compartments=[general]), let_in(bob, compartments=[general])
    single = let_in(bob, documents=[letter])
    secret = bob.keyring.body.recovery_secret
    assert secret is not None
    handover = give(bob, carol, secret)
    world.attest(carol, succeeds=bob.identity)
    assert take_over(carol, handover) == HandoverReport(1, 0, [])
    return Succession(Story(world, alice, bob, kept, secret), carol, tmp_path, ended, kept, single, letter)


@pytest.mark.parametrize("is_lapsed", [True, False])
def test_new_epochs_reach_the_successor(succession: Succession, *, is_lapsed: bool) -> None:
    if is_lapsed:
        succession.lapse()
    report = succession.renew()
    assert report.readers_left_out == ()
    assert {followed.grant.hash for followed in report.succeeded} == {succession.kept.hash, succession.single.hash}
    assert {followed.successor.person.identity for followed in report.succeeded} == {succession.carol.identity}
    succession.put("later")
    assert succession.titles(succession.carol, succession.kept) == ["later", "letter"]


@pytest.mark.parametrize("reencrypting", [True, False])
def test_single_documents_reach_the_successor_once_the_patient_makes_new_locks(
    succession: Succession, *, reencrypting: bool
) -> None:
    succession.lapse()
    report = succession.renew(reencrypting=reencrypting)
    assert (report.skipped, report.not_reencrypted, report.readers_left_out) == ((), (), ())
    assert succession.titles(succession.carol, succession.single) == ["letter"]
    with pytest.raises(RefusedError):
        succession.titles(succession.story.bob, succession.single)


def test_a_renewal_of_the_successor_beside_another_attestation_changes_nothing(succession: Succession) -> None:
    """The registrar attests a successor once more without naming whom they succeed, and for longer."""
    world, carol = succession.story.world, succession.carol
    succession.lapse()
    world.attest(carol)
    assert succession.titles(carol, succession.kept) == ["letter"]
    assert succession.renew().readers_left_out == ()
    assert succession.titles(carol, succession.kept) == ["letter"]


def test_without_an_attestation_that_says_so_new_epochs_go_to_no_successor(succession: Succession) -> None:
    world, carol = succession.story.world, succession.carol
    world.clock.now += 61 * DAY
    world.attest(carol)  # attested, but not any more as the one who takes over
    report = succession.renew()
    assert report.succeeded == ()
    assert {left.grant.hash for left in report.readers_left_out} == {succession.kept.hash, succession.single.hash}
    with pytest.raises(CarnetError):
        succession.titles(carol, succession.kept)


def test_a_successor_whose_keys_changed_is_left_out_until_accepted(succession: Succession) -> None:
    world, carol = succession.story.world, succession.carol
    succession.lapse()
    succession.renew()
    secret = carol.keyring.body.recovery_secret
    assert secret is not None
    renew_account_key(carol, secret)
    world.attest(carol, succeeds=succession.story.bob.identity)
    alice = succession.story.alice
    begin_renewal(alice, list(open_access(alice, alice.record).compartments))
    report = complete(alice)
    assert {left.grant.hash for left in report.readers_left_out} == {succession.kept.hash, succession.single.hash}
    alice.people.accept(fetch_reader(alice, succession.story.bob.identity))
    begin_renewal(alice, list(open_access(alice, alice.record).compartments))
    assert complete(alice).readers_left_out == ()
    assert succession.titles(carol, succession.kept) == ["letter"]
    assert succession.titles(carol, succession.single) == ["letter"]


def test_an_invented_succession_moves_no_key(succession: Succession) -> None:
    """A server shows a succession that the predecessor's root key never signed."""
    world, alice = succession.story.world, succession.story.alice
    mallory = world.person("mallory", Role.PRACTITIONER)
    world.attest(mallory, succeeds=succession.story.bob.identity)
    secret = mallory.keyring.body.recovery_secret
    assert secret is not None
    forged = Signed.sign(
        SuccessionStatement(
            predecessor=succession.story.bob.identity,
            successor=mallory.identity,
            successor_statement=fetch_own(mallory).current.hash,
            issued_at=world.clock(),
        ),
        secret.derive_root_signer(),
    )

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.url.path != f"/v1/people/{succession.story.bob.identity}" or response.status_code != 200:
            return response
        members = {**json.loads(response.read()), "succession": forged.text}
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    world.vault.after = world.keyservice.after = after
    assert fetch_reader(alice, succession.story.bob.identity).person.identity == succession.story.bob.identity
    assert succession.renew().succeeded == ()


def let_deposit(succession: Succession) -> Signed[Grant]:
    """Alice lets Bob deposit, for long."""
    alice = succession.story.alice
    access = open_access(alice, alice.record)
    plan = plan_depositing(
        alice,
        access,
        succession.story.bob.identity,
        compartment=find_compartment(access, "general"),
        seconds=90 * DAY,
        purpose=Purpose.TREATMENT,
    )
    return make_grant(alice, access, plan)


def test_a_successor_deposits_for_all_to_read_and_may_retract_it(succession: Succession) -> None:
    alice, carol = succession.story.alice, succession.carol
    deposit = let_deposit(succession)
    succession.lapse()
    theirs = open_access(carol, alice.record, deposit.hash)
    document = put_document(carol, theirs, succession.folder, "by the successor", compartment="general")
    assert titles(alice, open_access(alice, alice.record)) == ["by the successor", "letter"]
    assert succession.titles(carol, succession.kept) == ["by the successor", "letter"]
    (manifest,) = list_own_deposits(carol, theirs)
    assert manifest.body.document == document
    remove_document(carol, manifest, reason=TombstoneReason.MISFILED)
    assert titles(alice, open_access(alice, alice.record)) == ["letter"]


def test_who_took_over_from_nobody_has_no_right_to_deposit(succession: Succession) -> None:
    """The vault takes a deposit as a successor's and then shows readers no succession."""
    world, alice, carol = succession.story.world, succession.story.alice, succession.carol
    deposit = let_deposit(succession)
    put_document(carol, open_access(carol, alice.record, deposit.hash), succession.folder, "x", compartment="general")

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not request.url.path.startswith("/v1/people/") or response.status_code != 200:
            return response
        members = {**json.loads(response.read()), "succession": None}
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    world.vault.after = world.keyservice.after = after
    listing = list_documents(alice, open_access(alice, alice.record))
    assert [document.metadata.title for document in listing.documents] == ["letter"]
    assert [problem.reason for problem in listing.problems] == ["a document's author had no right to deposit it"]


def test_the_patient_ends_it_like_any_grant(succession: Succession) -> None:
    alice, carol = succession.story.alice, succession.carol
    assert revoke(alice, load_grants(alice, open_access(alice, alice.record)), succession.kept).is_everywhere
    with pytest.raises(RefusedError):
        succession.titles(carol, succession.kept)
    complete_revocation(alice, succession.kept)
    with pytest.raises(RefusedError):
        succession.titles(carol, succession.kept)


def test_without_a_registrar_nobody_succeeds(story: Story) -> None:
    carol = story.world.practitioner("carol")
    report = take_over(carol, give(story.bob, carol, story.secret))
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (0, [story.grant.hash])
    with pytest.raises(RefusedError):
        open_access(carol, story.alice.record, story.grant.hash)


def test_without_the_old_key_nobody_succeeds(story: Story) -> None:
    mallory = story.world.person("mallory", Role.PRACTITIONER)
    story.world.attest(mallory, succeeds=story.bob.identity)
    with pytest.raises(RefusedError):
        open_access(mallory, story.alice.record, story.grant.hash)
    assert load_inbox(mallory).grants == ()


def test_only_the_newest_words_hand_over(story: Story) -> None:
    carol = story.world.practitioner("carol")
    with pytest.raises(UnlockError):
        give(story.bob, carol, RecoverySecret.make())


@pytest.mark.parametrize("content", [b"", b"{}", b"not json"])
def test_what_is_no_handover_is_refused(story: Story, content: bytes) -> None:
    with pytest.raises(UsageError):
        take_over(story.bob, content)


def test_an_inbox_is_what_both_servers_show(story: Story) -> None:
    assert [entry.grant.hash for entry in load_inbox(story.bob).grants] == [story.grant.hash]
    assert load_inbox(story.world.practitioner("carol")).grants == ()
    story.world.clock.now += 3600
    assert load_inbox(story.bob).grants == ()


def test_an_inbox_of_several_pages_is_read_to_its_end(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carnet_server.grants.routes.INBOX_PAGE", 1)
    access = open_access(story.alice, story.alice.record)
    for _ in range(2):
        plan = plan_reading(
            story.alice,
            access,
            story.bob.identity,
            compartments=[find_compartment(access, "imaging")],
            seconds=60,
            purpose=Purpose.TREATMENT,
        )
        make_grant(story.alice, access, plan)
    inbox = load_inbox(story.bob)
    assert len(inbox.grants) == 3
    assert inbox.problems == ()


def test_an_entry_that_proves_nothing_is_named_and_hides_no_other(story: Story) -> None:
    body = story.grant.body.model_copy(update={"expires": story.grant.body.expires + 1})
    forged = Signed.sign(body, story.world.own.vault.key)

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.url.path != "/v1/inbox":
            return response
        members = json.loads(response.read())
        entry = members["entries"][0]
        members["entries"] += [{**entry, "grant": forged.text}]
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    story.world.vault.after = story.world.keyservice.after = after
    inbox = load_inbox(story.bob)
    assert [entry.grant.hash for entry in inbox.grants] == [story.grant.hash]
    assert len(inbox.problems) == 1
