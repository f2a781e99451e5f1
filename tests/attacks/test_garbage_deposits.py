"""A depositor who deposits what opens for nobody holds up no revocation, no reader and no removal."""

import secrets

import pytest

from carnet.access import open_access
from carnet.capsules import seal_capsule
from carnet.documents import deposit as depositing
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import list_documents, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.removal import find_newest, remove_document
from carnet.errors import VerificationError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.locks import fetch_lock
from carnet.revocation import CompletionReport, begin_renewal, complete, complete_revocation, is_under_way, revoke
from carnet.sealing import KemPrivateKey
from carnet.session import Session
from carnet_protocol.api import Capsule, CapsulesPage
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Lock, Manifest, Purpose, Signed, TombstoneReason
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import KeyRole, WrapTuple
from tests.support.client import put_document
from tests.support.story import Story


def _spoiled(capsule: Capsule) -> Capsule:
    """An outer lock that nobody takes off: the right header around noise."""
    return capsule.model_copy(update={"sealed": capsule.sealed[:8] + secrets.token_bytes(len(capsule.sealed) - 8)})


def _deposit(
    story: Story,
    monkeypatch: pytest.MonkeyPatch,
    *,
    outer: bool,
    roles: tuple[KeyRole, ...] = tuple(KeyRole),
    previous: Signed[Manifest] | None = None,
) -> DocumentId:
    """The laboratory deposits a version whose keys of `roles` open for nobody: under no lock, or sealed to nobody."""
    nobody = KemPrivateKey.make(WRITE_SUITE).public_key

    def seal(content_key: bytes, wrap: WrapTuple, *, recipient_public_key: bytes, lock: Signed[Lock]) -> Capsule:
        if wrap.role not in roles:
            return seal_capsule(content_key, wrap, recipient_public_key=recipient_public_key, lock=lock)
        if outer:
            return _spoiled(seal_capsule(content_key, wrap, recipient_public_key=recipient_public_key, lock=lock))
        return seal_capsule(content_key, wrap, recipient_public_key=nobody, lock=lock)

    access = story.access(story.lab)
    source = story.folder / "garbage.txt"
    source.write_bytes(b"garbage")
    new = NewVersion(
        source=source,
        compartment=next(iter(access.compartments)),
        title="garbage",
        kind=DocumentKind(code="34108-1", display="Outpatient Note", system="http://loinc.org"),
        media_type="text/plain",
        author_name="Lab",
        previous=previous,
    )
    with monkeypatch.context() as lying:
        lying.setattr(depositing, "seal_capsule", seal)
        (document,) = deposit_small(story.lab, access, [new])
    return document


def _end_and_complete(story: Story, *, reencrypting: bool = False) -> CompletionReport:
    book = load_grants(story.alice, story.access(story.alice))
    assert revoke(story.alice, book, story.read_grant).is_everywhere
    return complete_revocation(story.alice, story.read_grant, reencrypt=reencrypt_record if reencrypting else None)


def _standing(session: Session) -> list[Capsule]:
    page = session.vault.get(f"/v1/records/{session.record}/capsules", CapsulesPage)
    return [entry.capsule for entry in page.capsules]


@pytest.mark.parametrize("reencrypting", [False, True])
@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("roles", [tuple(KeyRole), (KeyRole.CONTENT,), (KeyRole.METADATA,)])
def test_a_revocation_is_completed_whatever_was_deposited(
    own_story: Story,
    monkeypatch: pytest.MonkeyPatch,
    *,
    outer: bool,
    roles: tuple[KeyRole, ...],
    reencrypting: bool,
) -> None:
    story = own_story
    garbage = _deposit(story, monkeypatch, outer=outer, roles=roles)
    report = _end_and_complete(story, reencrypting=reencrypting)
    assert not is_under_way(story.alice)
    assert report.unreadable == (garbage,)
    assert {entry.capsule.role for entry in report.skipped} == set(roles)
    assert bool(report.not_reencrypted) == reencrypting
    assert {problem.document for problem in report.not_reencrypted} <= {str(garbage)}
    # All that opens is under the new locks, and nothing under the old one is released to anybody.
    newest, laboratory = fetch_lock(story.alice, story.alice.record), story.compartment("laboratory")
    left = {(entry.capsule.document, entry.capsule.role) for entry in report.skipped}
    for capsule in _standing(story.alice):
        assert (capsule.lock_statement == newest.hash) == ((capsule.document, capsule.role) not in left)
    listing = list_documents(story.alice, story.access(story.alice))
    assert {document.id for document in listing.documents} >= {story.letter, story.secret, story.result}
    # The vault closes no epoch that a capsule names; the other compartment's is closed.
    access = story.access(story.alice)
    assert len(access.compartment(laboratory).open_epochs) == 2
    assert len(access.compartment(story.compartment("general")).open_epochs) == 1
    # The patient removes it by its id; what is completed next closes what was left.
    remove_document(story.alice, find_newest(story.alice, access, garbage), reason=TombstoneReason.PATIENT_REQUEST)
    begin_renewal(story.alice, ())
    again = complete(story.alice)
    assert (again.skipped, again.closed) == ((), 1)
    assert len(story.access(story.alice).compartment(laboratory).open_epochs) == 1
    listing = list_documents(story.alice, story.access(story.alice))
    assert not listing.problems
    assert {document.id for document in listing.documents} == {story.letter, story.secret, story.result}


def test_a_second_completion_names_it_again_and_is_completed_as_well(
    own_story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = own_story
    garbage = _deposit(story, monkeypatch, outer=False)
    _end_and_complete(story)
    begin_renewal(story.alice, list(story.access(story.alice).compartments))
    report = complete(story.alice)
    assert report.unreadable == (garbage,)
    assert not is_under_way(story.alice)
    assert len(story.access(story.alice).compartment(story.compartment("laboratory")).open_epochs) == 2


def _let_in(story: Story, *documents: DocumentId) -> Signed[Grant]:
    access = story.access(story.alice)
    plan = plan_reading(
        story.alice, access, story.mallory.identity, documents=documents, seconds=3_600, purpose=Purpose.TREATMENT
    )
    return make_grant(story.alice, access, plan)


def test_a_reader_of_single_documents_keeps_them_when_one_of_them_gets_a_version_of_garbage(
    own_story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = own_story
    kept = _let_in(story, story.letter, story.result)
    access = story.access(story.alice)
    before = list_versions(story.alice, access, story.result).documents[0].version.manifest
    assert _deposit(story, monkeypatch, outer=False, previous=before) == story.result
    report = _end_and_complete(story, reencrypting=True)
    assert report.unreadable == (story.result,)
    theirs = open_access(story.mallory, story.alice.record, kept.hash)
    assert {document.id for document in list_documents(story.mallory, theirs).documents} == {story.letter, story.result}
    assert b"".join(open_document(story.mallory, theirs, story.result).stream()) == b"result content"


def test_what_does_not_open_cannot_be_shared_and_spoils_no_other_version(
    own_story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = own_story
    garbage = _deposit(story, monkeypatch, outer=True)
    with pytest.raises(VerificationError, match="does not open"):
        _let_in(story, garbage)
    access = story.access(story.alice)
    before = list_versions(story.alice, access, story.result).documents[0].version.manifest
    _deposit(story, monkeypatch, outer=True, previous=before)
    theirs = open_access(story.mallory, story.alice.record, _let_in(story, story.result).hash)
    assert [document.version.number for document in list_documents(story.mallory, theirs).documents] == [1]


def test_a_new_lock_alone_goes_around_garbage_as_around_anything(
    own_story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = own_story
    garbage = _deposit(story, monkeypatch, outer=False)
    put_document(story.lab, story.access(story.lab), story.folder, "later", compartment="laboratory")
    begin_renewal(story.alice, ())
    report = complete(story.alice)
    assert report.skipped == ()
    newest = fetch_lock(story.alice, story.alice.record).hash
    assert {capsule.lock_statement for capsule in _standing(story.alice)} == {newest}
    listing = list_documents(story.alice, story.access(story.alice))
    assert [problem.document for problem in listing.problems] == [str(garbage)]
