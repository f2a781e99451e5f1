"""Encrypting a record anew, against both real servers: who may still read goes on reading, who may not does not."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import list_documents, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.reseal import reseal_version
from carnet.errors import CarnetError, RefusedError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.identity import renew_account_key
from carnet.records import open_record
from carnet.revocation import complete, complete_revocation, is_under_way, revoke
from carnet.session import Session
from carnet_protocol.api import CapsulesPage
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed
from carnet_protocol.suites import Suite
from tests.support.client import ClientWorld, find_compartment, put_document, titles
from tests.support.cuts import Cut, quiet
from tests.support.databases import BOTH
from tests.support.tables import count_rows

pytestmark = pytest.mark.parametrize("suite", Suite)
DATABASES = BOTH


@dataclass(slots=True)
class Story:
    """Alice with three documents; whom she lets read single ones."""

    world: ClientWorld
    alice: Session
    folder: Path
    one: DocumentId
    two: DocumentId
    three: DocumentId

    def let_in(self, reader: Session, *documents: DocumentId, seconds: int = 86_400) -> Signed[Grant]:
        access = open_access(self.alice, self.alice.record)
        plan = plan_reading(
            self.alice, access, reader.identity, documents=documents, seconds=seconds, purpose=Purpose.TREATMENT
        )
        return make_grant(self.alice, access, plan)

    def end(self, grant: Signed[Grant]) -> None:
        book = load_grants(self.alice, open_access(self.alice, self.alice.record))
        assert revoke(self.alice, book, grant).is_everywhere

    def titles(self, reader: Session, grant: Signed[Grant]) -> list[str]:
        return titles(reader, open_access(reader, self.alice.record, grant.hash))

    def content(self, reader: Session, grant: Signed[Grant], document: DocumentId, version: int | None = None) -> bytes:
        opened = open_document(reader, open_access(reader, self.alice.record, grant.hash), document, version=version)
        return b"".join(opened.stream())

    def restart(self) -> None:
        self.world.clock.now += 5
        self.alice.close()
        self.world.sessions.remove(self.alice)
        self.alice = self.world.reopen("alice")
        quiet(self.alice)

    def personal_capsules(self) -> int:
        return count_rows(self.world.engines[self.alice.vault.name], "personal_capsules")


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice = world.patient("alice")
    quiet(alice)
    access = open_record(alice)
    documents = [
        put_document(alice, access, tmp_path, title, compartment=compartment)
        for title, compartment in (("one", "general"), ("two", "general"), ("three", "imaging"))
    ]
    return Story(world, alice, tmp_path, *documents)


def test_readers_of_single_documents_go_on_reading_what_is_encrypted_anew(story: Story) -> None:
    bob, carol = story.world.practitioner("bob"), story.world.practitioner("carol")
    ended, kept = story.let_in(bob, story.one), story.let_in(carol, story.one, story.three)
    before = open_access(story.alice, story.alice.record)
    digest = open_document(story.alice, before, story.one).sealed.digest
    story.end(ended)
    report = complete_revocation(story.alice, ended, reencrypt=reencrypt_record)
    assert (report.skipped, report.not_reencrypted, report.readers_left_out) == ((), (), ())
    assert open_document(story.alice, before, story.one).sealed.digest != digest
    assert story.titles(carol, kept) == ["one", "three"]
    assert story.content(carol, kept, story.one) == b"one"
    assert story.content(carol, kept, story.three) == b"three"
    with pytest.raises(RefusedError):
        story.titles(bob, ended)
    assert story.personal_capsules() == 4


def test_each_version_that_was_shared_is_shared_anew_and_no_other(story: Story) -> None:
    carol = story.world.practitioner("carol")
    kept = story.let_in(carol, story.one)
    access = open_access(story.alice, story.alice.record)
    first = list_versions(story.alice, access, story.one).documents[0].version.manifest
    source = story.folder / "later.txt"
    source.write_bytes(b"later")
    correction = NewVersion(
        source=source,
        compartment=find_compartment(access, "general"),
        title="one, corrected",
        kind=DocumentKind(code="34108-1", display="Outpatient Note", system="http://loinc.org"),
        media_type="text/plain",
        author_name="Test",
        previous=first,
    )
    deposit_small(story.alice, access, [correction])
    for version in (1, 2):
        reseal_version(story.alice, access, story.one, version=version)
    assert story.titles(carol, kept) == ["one"]
    assert story.content(carol, kept, story.one, 1) == b"one"
    with pytest.raises(RefusedError):
        story.content(carol, kept, story.one, 2)
    both = story.let_in(carol, story.one)
    reseal_version(story.alice, access, story.one, version=2)
    assert story.content(carol, both, story.one, 2) == b"later"
    assert story.content(carol, both, story.one, 1) == b"one"
    assert story.titles(carol, kept) == ["one"]


def test_a_reader_whose_keys_changed_gets_nothing_anew_and_is_named(story: Story) -> None:
    carol = story.world.person("carol", Role.PRACTITIONER)
    story.world.attest(carol)
    secret = carol.keyring.body.recovery_secret
    assert secret is not None
    dave = story.world.practitioner("dave")
    changed, kept = story.let_in(carol, story.one), story.let_in(dave, story.one)
    renew_account_key(carol, secret)
    story.world.attest(carol)
    ended = story.let_in(dave, story.two)
    story.end(ended)
    report = complete_revocation(story.alice, ended, reencrypt=reencrypt_record)
    assert {skipped.grant.hash for skipped in report.readers_left_out} == {changed.hash}
    assert story.titles(dave, kept) == ["one"]
    assert story.titles(carol, changed) == []


def test_a_grant_made_while_a_document_is_encrypted_anew_loses_nothing(story: Story) -> None:
    """The vault refuses a reseal that leaves out somebody who was let in meanwhile; it is made again with them."""
    carol, dave = story.world.practitioner("carol"), story.world.practitioner("dave")
    kept = story.let_in(carol, story.one)
    access = open_access(story.alice, story.alice.record)
    made: list[Signed[Grant]] = []

    def before(request: httpx2.Request) -> None:
        if request.url.path.endswith("/reseals") and not made:
            made.append(story.let_in(dave, story.one))

    story.world.vault.before = before
    reseal_version(story.alice, access, story.one, version=1)
    story.world.vault.before = None
    assert story.content(dave, made[0], story.one) == b"one"
    assert story.content(carol, kept, story.one) == b"one"


def test_a_grant_ended_while_a_document_is_encrypted_anew_gets_nothing(story: Story) -> None:
    carol, dave = story.world.practitioner("carol"), story.world.practitioner("dave")
    kept, ended = story.let_in(carol, story.one), story.let_in(dave, story.one)
    access = open_access(story.alice, story.alice.record)
    rounds: list[int] = []

    def before(request: httpx2.Request) -> None:
        if request.url.path.endswith("/reseals") and not rounds:
            rounds.append(1)
            story.end(ended)

    story.world.vault.before = before
    reseal_version(story.alice, access, story.one, version=1)
    story.world.vault.before = None
    assert story.content(carol, kept, story.one) == b"one"
    assert story.personal_capsules() == 2


def test_one_document_that_cannot_be_encrypted_anew_is_named_and_stops_nothing(story: Story) -> None:
    bob = story.world.practitioner("bob")
    ended = story.let_in(bob, story.two)
    story.end(ended)

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if "/v1/objects/" not in request.url.path or request.method != "GET":
            return response
        body = response.read()
        broken = body[:-1] + bytes([body[-1] ^ 1])
        story.world.vault.after = None  # the first object alone
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return httpx2.Response(response.status_code, headers=headers, stream=httpx2.ByteStream(broken))

    story.world.vault.after = after
    report = complete_revocation(story.alice, ended, reencrypt=reencrypt_record)
    assert len(report.not_reencrypted) == 1
    assert report.not_reencrypted[0].document in {str(story.one), str(story.two), str(story.three)}
    assert not is_under_way(story.alice)
    listing = list_documents(story.alice, open_access(story.alice, story.alice.record))
    resealed = [document.id for document in listing.documents if document.version.reseal is not None]
    assert len(resealed) == 2


def standing(session: Session) -> CapsulesPage:
    return session.vault.get(f"/v1/records/{session.record}/capsules", CapsulesPage)


@pytest.mark.parametrize("answer", [False, True])
def test_encrypting_anew_is_cut_anywhere_and_simply_run_again(story: Story, *, answer: bool) -> None:
    bob, carol = story.world.practitioner("bob"), story.world.practitioner("carol")
    kept = story.let_in(carol, story.one, story.three, seconds=864_000)
    number = 0
    for number in itertools.count(1, 3):
        ended = story.let_in(bob, story.one)
        story.end(ended)
        cut = Cut(story.world, number, answer=answer)
        try:
            complete_revocation(story.alice, ended, reencrypt=reencrypt_record)
            was_cut = False
        except CarnetError:
            was_cut = True
        cut.mend()
        # Whenever it is cut, nobody who may read is without a key.
        assert story.content(carol, kept, story.one) == b"one"
        if was_cut:
            story.restart()
            if is_under_way(story.alice):
                complete(story.alice, reencrypt=reencrypt_record)
            else:
                complete_revocation(story.alice, ended, reencrypt=reencrypt_record)
        assert story.titles(carol, kept) == ["one", "three"]
        assert story.content(carol, kept, story.three) == b"three"
        assert len([entry for entry in standing(story.alice).capsules if entry.capsule.personal]) == 4
        if not was_cut:
            break
    assert number > 15
