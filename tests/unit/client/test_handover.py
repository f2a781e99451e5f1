"""Keys of a clinician change hands: after a renewal, and to a successor, against both real servers."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from carnet.access import open_access
from carnet.documents.listing import list_documents, list_own_deposits
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.removal import remove_document
from carnet.errors import CarnetError, HomeError, RefusedError, UnlockError, UsageError, VerificationError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.handover import HandoverReport, hand_over, reseal_own, take_over
from carnet.identity import fetch_own, renew_account_key
from carnet.inbox import load_inbox
from carnet.keys import RecoverySecret
from carnet.progress import Progress, Step
from carnet.records import open_record
from carnet.revocation import CompletionReport, begin_renewal, complete, complete_revocation, revoke
from carnet.session import Session
from carnet.succession import fetch_reader
from carnet.transport import ServerName
from carnet_keyservice.tables import sealed_keys
from carnet_protocol.api import AccessView
from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed, TombstoneReason
from carnet_protocol.statements import Succession as SuccessionStatement
from tests.support.client import ClientWorld, Wire, find_compartment, put_document, titles
from tests.support.cuts import Cut, quiet
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


# Hundreds of patients: cuts, ends and lies


@dataclass(slots=True)
class Practice:
    """Bob has a patient for each name, with one letter each; Carol is to take over from him."""

    world: ClientWorld
    bob: Session
    carol: Session
    secret: RecoverySecret
    patients: dict[str, Session]
    grants: dict[str, Signed[Grant]]
    folder: Path

    def restart(self, name: str) -> Session:
        """A command of Bob's or Carol's was cut; another one begins."""
        old: Session = getattr(self, name)
        old.close()
        self.world.sessions.remove(old)
        new = self.world.reopen(name)
        quiet(new)
        setattr(self, name, new)
        return new

    def attest_carol(self) -> None:
        self.world.attest(self.carol, succeeds=self.bob.identity)

    def end(self, name: str) -> None:
        alice = self.patients[name]
        assert revoke(alice, load_grants(alice, open_access(alice, alice.record)), self.grants[name]).is_everywhere

    def reads(self, reader: Session, name: str) -> list[str]:
        return titles(reader, open_access(reader, self.patients[name].record, self.grants[name].hash))

    def copies(self, name: str) -> set[object]:
        """To whose keys the letter's compartment is sealed under the grant."""
        with self.world.engines[ServerName.KEYSERVICE].connect() as connection:
            rows = connection.execute(
                select(sealed_keys.c.reader_statement).where(sealed_keys.c.grant == self.grants[name].hash.raw)
            )
            return set(rows.scalars())


@pytest.fixture
def practice(world: ClientWorld, tmp_path: Path) -> Practice:
    bob, carol = world.practitioner("bob"), world.person("carol", Role.PRACTITIONER)
    patients = {name: world.patient(name) for name in ("alice", "zoe", "yann")}
    grants: dict[str, Signed[Grant]] = {}
    for name, patient in patients.items():
        access = open_record(patient)
        put_document(patient, access, tmp_path, f"letter of {name}", compartment="general")
        general = find_compartment(access, "general")
        plan = plan_reading(
            patient, access, bob.identity, compartments=[general], seconds=DAY, purpose=Purpose.TREATMENT
        )
        grants[name] = make_grant(patient, access, plan)
    secret = bob.keyring.body.recovery_secret
    assert secret is not None
    for session in (bob, carol):
        quiet(session)
    return Practice(world, bob, carol, secret, patients, grants, tmp_path)


def cut_until_done(
    practice: Practice, who: str, job: Callable[[Session], HandoverReport]
) -> tuple[int, HandoverReport]:
    """Run `job` with request n, or its answer, and all after it lost, then again; for n = 1, 2, ... until none is."""
    for number in itertools.count(1):
        cut = Cut(practice.world, number, answer=number % 2 == 0)
        try:
            job(getattr(practice, who))
            was_cut = cut.count >= number
        except CarnetError:
            was_cut = True
        cut.mend()
        report = job(practice.restart(who))
        if not was_cut:
            return number, report
    raise AssertionError


def test_a_renewal_that_is_cut_anywhere_is_run_again(practice: Practice) -> None:
    for number in itertools.count(1):
        renew_account_key(practice.bob, practice.secret)
        practice.world.attest(practice.bob)
        cut = Cut(practice.world, number, answer=number % 2 == 0)
        try:
            reseal_own(practice.bob)
            was_cut = cut.count >= number
        except CarnetError:
            was_cut = True
        cut.mend()
        bob = practice.restart("bob")
        report = reseal_own(bob)
        assert (report.done, report.skipped) == (3, [])
        for name in practice.patients:
            assert practice.copies(name) == {fetch_own(bob).current.hash}
            assert practice.reads(bob, name) == [f"letter of {name}"]
        if not was_cut:
            break
    assert number > 6


def test_a_handover_that_is_cut_anywhere_is_run_again(practice: Practice) -> None:
    successor = fetch_own(practice.carol).current
    files: list[bytes] = []
    number, report = cut_until_done(
        practice, "bob", lambda bob: hand_over(bob, successor, practice.secret, store=files.append)
    )
    assert (report.done, report.skipped) == (3, [])
    assert number > 6
    practice.attest_carol()
    number, report = cut_until_done(practice, "carol", lambda carol: take_over(carol, files[-1]))
    assert (report.done, report.already, report.skipped) == (3, 3, [])
    assert number > 4
    for name in practice.patients:
        assert practice.copies(name) == {successor.hash}
        assert practice.reads(practice.carol, name) == [f"letter of {name}"]


def test_the_file_is_on_disk_before_any_server_hears_of_the_succession(practice: Practice) -> None:
    """Whoever hands over does it once: a file that was lost would be lost for good."""

    def full(file: bytes) -> None:
        assert file
        raise HomeError("no space")

    with pytest.raises(HomeError):
        hand_over(practice.bob, fetch_own(practice.carol).current, practice.secret, store=full)
    assert practice.world.vault.paths("POST").count("/v1/directory") == 0
    assert practice.world.keyservice.paths("POST").count("/v1/directory") == 0


def test_handing_over_again_makes_the_same_succession_and_nobody_elses(practice: Practice) -> None:
    give(practice.bob, practice.carol, practice.secret)
    again = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    assert take_over(practice.carol, again) == HandoverReport(3, 0, [])
    dave = practice.world.person("dave", Role.PRACTITIONER)
    with pytest.raises(UsageError):
        give(practice.bob, dave, practice.secret)


def test_a_patient_who_ended_the_grant_meanwhile_bars_nobody(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    practice.end("zoe")
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert "ended" in report.skipped[0].reason
    assert practice.reads(practice.carol, "alice") == ["letter of alice"]
    with pytest.raises(RefusedError):
        practice.reads(practice.carol, "zoe")
    assert practice.copies("zoe") == set()


def test_a_patient_who_ends_the_grant_while_it_is_taken_over_bars_nobody(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    ended: list[str] = []

    def before(request: httpx2.Request) -> None:
        if request.url.path == "/v1/inbox/sealed-keys" and not ended:
            ended.append("zoe")
            practice.end("zoe")

    practice.world.keyservice.before = before
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert practice.reads(practice.carol, "yann") == ["letter of yann"]


def test_an_epoch_that_came_after_the_file_is_named(practice: Practice) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    zoe = practice.patients["zoe"]
    begin_renewal(zoe, list(open_access(zoe, zoe.record).compartments))
    complete(zoe)
    practice.attest_carol()
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert "renewed keys since" in report.skipped[0].reason
    # As it is told
    again = give(practice.bob, practice.carol, practice.secret)
    assert take_over(practice.carol, again) == HandoverReport(1, 0, [])
    assert practice.reads(practice.carol, "zoe") == ["letter of zoe"]


def changed(wire: Wire, path: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Let a server answer a GET for `path` with members that `change` has changed."""

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if request.method != "GET" or request.url.path != path or response.status_code != 200:
            return response
        members = json.loads(response.read())
        change(members)
        return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(members).encode()))

    wire.after = after


def test_a_key_service_that_shows_a_part_is_not_taken_at_its_word(practice: Practice) -> None:
    renew_account_key(practice.bob, practice.secret)
    practice.world.attest(practice.bob)
    changed(practice.world.keyservice, "/v1/inbox/access", lambda page: page["accesses"].pop())
    report = reseal_own(practice.bob)
    assert (report.done, len(report.skipped)) == (2, 1)
    changed(practice.world.keyservice, "/v1/inbox/access", lambda page: page["accesses"].clear())
    report = reseal_own(practice.bob)
    assert (report.done, {skipped.grant for skipped in report.skipped}) == (
        0,
        {grant.hash for grant in practice.grants.values()},
    )
    practice.world.keyservice.after = None
    assert reseal_own(practice.bob) == HandoverReport(3, 2, [])


@pytest.mark.parametrize("lie", ["lost", "other bytes", "an older copy"])
def test_what_is_not_given_back_lets_no_older_copy_go(practice: Practice, lie: str) -> None:
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    before = practice.copies("zoe")

    def change(page: dict[str, Any]) -> None:
        (key,) = [key for key in page["sealed_keys"] if key["grant"] == str(practice.grants["zoe"].hash)]
        if lie == "lost":
            page["sealed_keys"].remove(key)
        else:
            (other, *_) = [each for each in page["sealed_keys"] if each is not key]
            key["sealed" if lie == "other bytes" else "compartment_statement"] = other[
                "sealed" if lie == "other bytes" else "compartment_statement"
            ]

    changed(practice.world.keyservice, "/v1/inbox/sealed-keys", change)
    report = take_over(practice.carol, handover)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert before < practice.copies("zoe")
    practice.world.keyservice.after = None
    assert take_over(practice.carol, handover) == HandoverReport(3, 3, [])
    assert practice.copies("zoe") == {fetch_own(practice.carol).current.hash}


def test_a_broken_entry_of_the_file_is_named_and_never_sent(practice: Practice) -> None:
    handover = json.loads(give(practice.bob, practice.carol, practice.secret))
    practice.attest_carol()
    (zoes,) = [entry for entry in handover["records"] if entry["record"] == str(practice.patients["zoe"].record)]
    (other, *_) = [entry for entry in handover["records"] if entry is not zoes]
    zoes["sealed_keys"][0]["sealed"] = other["sealed_keys"][0]["sealed"]
    before = practice.copies("zoe")
    report = take_over(practice.carol, format_canonical_json(handover))
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])
    assert practice.copies("zoe") == before


def test_a_planted_key_is_sealed_to_nobody(practice: Practice) -> None:
    """The key service shows a compartment of its own making under a patient's grant, with a key that opens."""
    renew_account_key(practice.bob, practice.secret)
    practice.world.attest(practice.bob)
    names = {name: str(grant.hash) for name, grant in practice.grants.items()}

    def change(page: dict[str, Any]) -> None:
        views = {view["sealed_keys"][0]["grant"]: view for view in page["accesses"]}
        views[names["zoe"]]["compartments"] = views[names["yann"]]["compartments"]

    changed(practice.world.keyservice, "/v1/inbox/access", change)
    report = reseal_own(practice.bob)
    assert (report.done, [skipped.grant for skipped in report.skipped]) == (2, [practice.grants["zoe"].hash])


def test_pages_that_lead_nowhere_are_refused(practice: Practice) -> None:
    for then in (str(min(grant.hash for grant in practice.grants.values())), "x"):
        changed(practice.world.keyservice, "/v1/inbox/access", lambda page, then=then: page.update(next=then))
        with pytest.raises(VerificationError):
            reseal_own(practice.bob)


def test_every_step_of_a_job_is_told(practice: Practice) -> None:
    told: list[Progress] = []
    handover = give(practice.bob, practice.carol, practice.secret)
    practice.attest_carol()
    take_over(practice.carol, handover, on_step=told.append)
    steps = [step for step, _ in itertools.groupby(progress.step for progress in told)]
    assert steps == [Step.PATIENTS, Step.RESEAL, Step.READ_BACK]
    assert [progress.done for progress in told if progress.step is Step.PATIENTS] == [1, 2, 3]
    assert {progress.total for progress in told} == {3}
