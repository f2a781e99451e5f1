"""From suite 1 to suite 2 against both real servers: open at every step, and nothing left below at the end."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.documents.versions import Version
from carnet.errors import BelowFloorError, CarnetError, RollbackError, ServerFaultError
from carnet.grants import make_grant, plan_reading
from carnet.handover import reseal_own
from carnet.identity import renew_account_key
from carnet.keys import RecoverySecret
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete
from carnet.session import Session
from carnet.standing import load_capsules
from carnet.succession import fetch_practitioner
from carnet.suite_migration import migrate
from carnet.transport import ServerName
from carnet_keyservice.schedule import Policy
from carnet_keyservice.status import counts_under
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed
from carnet_vault.status import count_all as count_vault
from tests.support.client import ClientWorld, find_compartment, put_document, titles
from tests.support.cuts import Cut, quiet
from tests.support.people import DAY


@dataclass(slots=True)
class Story:
    """Alice with two documents under suite 1, one of them read by Bob with its compartment, one by Carol alone."""

    world: ClientWorld
    alice: Session
    bob: Session
    carol: Session
    words: dict[str, RecoverySecret]
    letter: DocumentId
    scan: DocumentId
    bobs: Signed[Grant]
    carols: Signed[Grant]
    folder: Path

    def take_card(self, *names: str) -> None:
        for name in names:
            setattr(self, name, self.world.take_card(getattr(self, name), name))
            quiet(getattr(self, name))

    def restart(self) -> None:
        self.alice.close()
        self.world.sessions.remove(self.alice)
        self.alice = self.world.reopen("alice")
        quiet(self.alice)

    def read_all(self) -> None:
        """Everybody reads, to the last byte, what they may."""
        access = open_access(self.alice, self.alice.record)
        assert titles(self.alice, access) == ["letter", "scan"]
        for document, content in ((self.letter, b"letter"), (self.scan, b"scan")):
            assert b"".join(open_document(self.alice, access, document).stream()) == content
        for reader, grant, document, content in (
            (self.bob, self.bobs, self.letter, b"letter"),
            (self.carol, self.carols, self.scan, b"scan"),
        ):
            access = open_access(reader, self.alice.record, grant.hash)
            assert b"".join(open_document(reader, access, document).stream()) == content

    def suites(self) -> set[tuple[int, int]]:
        """Inner and outer suites of every capsule of the record."""
        pages = load_capsules(self.alice, self.alice.record)
        return {(one.capsule.inner_suite, one.capsule.outer_suite) for page in pages for one in page}

    def left(self) -> dict[str, int]:
        """What the operators see under suite 1, where it is not zero."""
        counts: dict[str, int] = {}
        policy = Policy(master_key_seconds=DAY, record_lock_seconds=DAY, backup_horizon_seconds=DAY)
        for name, count_all in ((ServerName.VAULT, count_vault), (ServerName.KEYSERVICE, counts_under(policy))):
            with self.world.engines[name].connect() as connection:
                counts |= count_all(connection, self.world.clock())
        assert {name.removesuffix("1") for name in counts if name.endswith("_under_suite_1")} == {
            name.removesuffix("2") for name in counts if name.endswith("_under_suite_2")
        }
        return {
            name.removesuffix("_under_suite_1"): count
            for name, count in counts.items()
            if name.endswith("_under_suite_1") and count
        }

    def versions(self) -> list[Version]:
        access = open_access(self.alice, self.alice.record)
        return [document.version for document in list_documents(self.alice, access).documents]


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    people = {"alice": world.person("alice", Role.PATIENT)}
    for name in ("bob", "carol"):
        people[name] = world.person(name, Role.PRACTITIONER)
        world.attest(people[name])
    words = {}
    for name, session in people.items():
        secret = session.keyring.body.recovery_secret
        assert secret is not None
        words[name] = secret
        quiet(session)
    alice = people["alice"]
    access = open_record(alice)
    letter = put_document(alice, access, tmp_path, "letter", compartment="general")
    scan = put_document(alice, access, tmp_path, "scan", compartment="imaging")
    general = find_compartment(access, "general")
    common = {"seconds": 86_400, "purpose": Purpose.TREATMENT}
    bobs = make_grant(
        alice, access, plan_reading(alice, access, people["bob"].identity, compartments=[general], **common)
    )
    carols = make_grant(
        alice, access, plan_reading(alice, access, people["carol"].identity, documents=[scan], **common)
    )
    return Story(world, alice, people["bob"], people["carol"], words, letter, scan, bobs, carols, tmp_path)


def renew_practitioner(story: Story, name: str) -> None:
    """A practitioner moves, the registrar attests the new keys, and Alice accepts them."""
    session: Session = getattr(story, name)
    assert migrate(session, story.words[name]) == (None, ())
    story.world.attest(session)
    reseal_own(session)
    story.alice.people.accept(fetch_practitioner(story.alice, session.identity))


def test_a_record_goes_from_suite_1_to_suite_2_and_opens_at_every_step(story: Story) -> None:
    story.read_all()
    assert story.suites() == {(1, 1)}
    everything = {
        "digests": 2,
        "inner_locks": 6,  # two keys of each document, and Carol's two
        "outer_locks": 6,
        "locks": 1,
        "account_keys": 3,
        "epochs": 5,
        "sealed_keys": 6,  # the patient's five, and Bob's
    }
    assert story.left() == everything

    # The deployment writes suite 2, and reads suite 1 still. Not everybody has the new card at once.
    story.world.change_suites(floor=1, write=2)
    story.take_card("bob")
    story.read_all()
    story.take_card("alice", "carol")
    story.read_all()
    assert story.suites() == {(1, 1)}

    # The record lock alone moves, as when a security team rotates it: outer locks of suite 2 around inner ones of 1.
    begin_renewal(story.alice, ())
    complete(story.alice)
    assert story.suites() == {(1, 2)}
    story.read_all()
    assert story.left() == {name: count for name, count in everything.items() if name not in {"outer_locks", "locks"}}

    # Practitioners move; Bob reads on with what was sealed to his new keys.
    renew_practitioner(story, "bob")
    story.read_all()
    assert story.left() == {"digests": 2, "inner_locks": 6, "account_keys": 2, "epochs": 5, "sealed_keys": 5}

    # The patient moves: keys, locks, documents. Carol has old keys, and reads on with those.
    report, dropped = migrate(story.alice, story.words["alice"])
    assert report is not None
    assert (report.skipped, report.not_reencrypted, report.readers_left_out, dropped) == ((), (), (), ())
    story.read_all()
    assert story.suites() == {(2, 2), (1, 2)}
    versions = story.versions()
    assert {version.manifest.body.suite for version in versions} == {1}
    assert {version.content_suites.digest for version in versions} == {2}
    access = open_access(story.alice, story.alice.record)
    assert {one.newest.body.suite for one in access.compartments.values()} == {2}
    assert access.patient.current.body.suite == 2
    assert story.left() == {"inner_locks": 2, "account_keys": 1}

    # Carol moves, and the next renewal of the patient seals to her new keys.
    renew_practitioner(story, "carol")
    begin_renewal(story.alice, ())
    complete(story.alice)
    story.read_all()
    assert story.suites() == {(2, 2)}
    assert story.left() == {}

    # Nothing is left: the floor follows, at the servers and everywhere.
    story.world.change_suites(floor=2, write=2)
    story.read_all()
    story.take_card("alice", "bob", "carol")
    story.read_all()
    note = put_document(
        story.alice, open_access(story.alice, story.alice.record), story.folder, "note", compartment="general"
    )
    opened = open_document(story.alice, open_access(story.alice, story.alice.record), note)
    assert opened.version.manifest.body.suite == 2
    assert b"".join(opened.stream()) == b"note"


def test_under_a_raised_floor_suite_1_is_refused_and_the_error_says_what_to_do(story: Story) -> None:
    story.world.change_suites(floor=2, write=2)
    story.take_card("alice", "bob", "carol")
    with pytest.raises(BelowFloorError, match="renew it with `carnet renew`"):
        open_access(story.alice, story.alice.record)
    for reader, grant in ((story.bob, story.bobs), (story.carol, story.carols)):
        with pytest.raises(BelowFloorError, match="its patient has to renew it"):
            open_access(reader, story.alice.record, grant.hash)


def test_who_missed_the_card_before_moves_under_the_raised_floor(story: Story) -> None:
    """Migration alone reads below the floor; it seals nothing there."""
    story.world.change_suites(floor=2, write=2)
    story.take_card("alice", "bob", "carol")
    renew_practitioner(story, "bob")
    report, _ = migrate(story.alice, story.words["alice"])
    assert report is not None
    assert [left_out.grant.hash for left_out in report.readers_left_out] == [story.carols.hash]
    assert "suite 1" in report.readers_left_out[0].reason
    access = open_access(story.alice, story.alice.record)
    assert titles(story.alice, access) == ["letter", "scan"]
    assert b"".join(open_document(story.alice, access, story.scan).stream()) == b"scan"
    letter = open_document(story.bob, open_access(story.bob, story.alice.record, story.bobs.hash), story.letter)
    assert b"".join(letter.stream()) == b"letter"


def test_nothing_is_sealed_to_keys_below_the_floor(story: Story) -> None:
    story.world.change_suites(floor=1, write=2)
    story.take_card("alice")
    migrate(story.alice, story.words["alice"])
    story.world.change_suites(floor=2, write=2)
    story.take_card("alice")
    access = open_access(story.alice, story.alice.record)
    for scope in ({"compartments": [find_compartment(access, "private")]}, {"documents": [story.letter]}):
        with pytest.raises(BelowFloorError, match="the practitioner's keys are of suite 1"):
            plan_reading(story.alice, access, story.carol.identity, seconds=60, purpose=Purpose.TREATMENT, **scope)


def test_a_client_that_did_not_take_the_new_card_writes_nothing_below_the_servers_floor(story: Story) -> None:
    """Old statements of suite 1 are served until they are gone; new ones are refused."""
    story.world.change_suites(floor=2, write=2)
    story.read_all()
    access = open_access(story.alice, story.alice.record)
    with pytest.raises(ServerFaultError):
        put_document(story.alice, access, story.folder, "late", compartment="general")
    with pytest.raises(ServerFaultError):
        renew_account_key(story.alice, story.words["alice"])


def test_a_migration_that_was_cut_anywhere_goes_on(story: Story) -> None:
    story.world.change_suites(floor=1, write=2)
    story.take_card("alice", "bob", "carol")
    for number in itertools.count(2, 5):
        cut = Cut(story.world, number, answer=bool(number % 2))
        try:
            migrate(story.alice, story.words["alice"])
        except CarnetError:
            is_cut = True
        else:
            is_cut = False
        cut.mend()
        story.restart()
        story.read_all()
        if not is_cut:
            break
    assert story.suites() == {(2, 2), (1, 2)}


def test_no_card_lowers_the_floor(story: Story) -> None:
    story.world.change_suites(floor=2, write=2)
    story.take_card("bob")
    story.world.change_suites(floor=1, write=2)
    with pytest.raises(RollbackError, match="older cryptography"):
        story.world.take_card(story.bob, "bob")
