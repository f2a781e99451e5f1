"""A vault that lies about what was removed, moved or corrected, alone or with a stranger or a thief (P08, P13, P14)."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from carnet.access import open_access
from carnet.capsules import seal_capsule
from carnet.content import MetadataKey, seal_metadata
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.export import export_record
from carnet.documents.filing import move_document
from carnet.documents.listing import (
    Document,
    Listing,
    list_all_versions,
    list_documents,
    list_own_deposits,
    list_versions,
)
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.documents.removal import remove_document
from carnet.documents.verification import verify_record
from carnet.errors import DataError, RollbackError
from carnet.grants import plan_reading, visible_documents
from carnet.revocation import remove_lost_device
from carnet.session import Session
from carnet_protocol.encoding import format_base64url
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Filing, Manifest, Purpose, Reseal, Signed, Tombstone, TombstoneReason
from carnet_protocol.tuples import CompartmentLock, KeyRole, WrapTuple
from tests.support.story import Story, lying


def _list(story: Story, session: Session) -> Listing:
    return list_documents(session, story.access(session))


def _find(story: Story, document: DocumentId) -> Document:
    listing = _list(story, story.alice)
    assert not listing.problems
    return next(one for one in listing.documents if one.id == document)


def _titles(listing: Listing) -> set[str]:
    return {document.metadata.title for document in listing.documents}


def _named(listing: Listing) -> set[str]:
    return {problem.document for problem in listing.problems}


@pytest.fixture
def thief(own_story: Story) -> Session:
    """Alice's phone in the hands of a thief, shut out since; a lying vault takes what it signs nevertheless."""
    phone = own_story.pair("phone")
    own_story.world.clock.now += 600
    remove_lost_device(own_story.alice, phone.device, own_story.secrets["alice"], since=own_story.world.clock() - 600)
    own_story.world.clock.now += 60
    return phone


def _is_of(entry: Any, document: DocumentId) -> bool:
    return entry["metadata_capsule"]["document"] == str(document)


def _entry(story: Story, document: DocumentId) -> Any:
    """How the vault shows `document` to the patient now."""
    kept: list[Any] = []

    def keep(answer: Any) -> Any:
        kept.append(copy.deepcopy(answer))
        return answer

    with lying(story.world.vault, "/documents", keep):
        _list(story, story.alice)
    return next(entry for entry in kept[0]["documents"] if _is_of(entry, document))


def _showing(document: DocumentId, **members: Any) -> Callable[[Any], Any]:
    """The change to a page that shows `document` with other `members`."""

    def change(answer: Any) -> Any:
        entries = [entry | members if _is_of(entry, document) else entry for entry in answer["documents"]]
        return answer | {"documents": entries}

    return change


def _burying(document: DocumentId, tombstone: Signed[Tombstone]) -> Callable[[Any], Any]:
    """The change to a page that shows `tombstone` in the place of `document`."""

    def change(answer: Any) -> Any:
        left = [entry for entry in answer["documents"] if not _is_of(entry, document)]
        return answer | {"documents": left, "tombstones": [*answer["tombstones"], tombstone.text]}

    return change


def _tombstone(signer: Session, document: Document) -> Signed[Tombstone]:
    manifest = document.version.manifest
    return signer.sign(
        Tombstone(
            record=manifest.body.record,
            document=document.id,
            manifest=manifest.hash,
            by=signer.identity,
            device=signer.device,
            reason=TombstoneReason.ERROR,
            issued_at=signer.clock(),
        )
    )


# Removing


def _check_buried_in_vain(story: Story, document: Document, tombstone: Signed[Tombstone]) -> None:
    with lying(story.world.vault, "/documents", _burying(document.id, tombstone)):
        listing = _list(story, story.alice)
    assert document.id not in {one.id for one in listing.documents}
    assert str(document.id) in _named(listing)
    assert listing.tombstones == ()
    assert _list(story, story.alice).problems == ()
    assert len(_list(story, story.alice).documents) == 3


def test_a_tombstone_by_a_stranger_hides_nothing(own_story: Story) -> None:
    story = own_story
    for stranger in (story.mallory, story.lab):
        document = _find(story, story.secret)
        _check_buried_in_vain(story, document, _tombstone(stranger, document))


def test_a_tombstone_by_a_removed_device_hides_nothing(own_story: Story, thief: Session) -> None:
    document = _find(own_story, own_story.secret)
    _check_buried_in_vain(own_story, document, _tombstone(thief, document))


def test_a_tombstone_by_a_stranger_beside_the_document_is_not_believed(own_story: Story) -> None:
    story = own_story
    tombstone = _tombstone(story.mallory, _find(story, story.secret))
    newcomer = story.pair("tablet")

    def change(answer: Any) -> Any:
        return answer | {"tombstones": [tombstone.text]}

    with lying(story.world.vault, "/documents", change):
        listing = _list(story, newcomer)
    assert (len(listing.documents), listing.tombstones) == (3, ())
    assert _named(listing) == {str(story.secret)}


def test_what_a_client_never_saw_is_removed_by_the_patients_word_alone(own_story: Story) -> None:
    """Whose the document was, a newcomer cannot tell; that is no reason to alarm anyone either."""
    story = own_story
    document = _find(story, story.result)
    for signer, is_believed in ((story.mallory, False), (story.lab, False), (story.alice, True)):
        newcomer = story.pair(f"tablet of {signer.identity}")
        with lying(story.world.vault, "/documents", _burying(document.id, _tombstone(signer, document))):
            listing = _list(story, newcomer)
        assert listing.problems == ()
        assert len(listing.tombstones) == is_believed
        assert len(_list(story, newcomer).documents) == 3


def test_what_its_author_removed_is_gone_without_a_problem(own_story: Story) -> None:
    story = own_story
    document = _find(story, story.result)
    manifest = list_own_deposits(story.lab, story.access(story.lab))[0]
    tombstone = remove_document(story.lab, manifest, reason=TombstoneReason.MISFILED)
    listing = _list(story, story.alice)
    assert (len(listing.documents), listing.problems) == (2, ())
    assert [signed.hash for signed in listing.tombstones] == [tombstone.hash]
    assert document.id not in {one.id for one in listing.documents}


# Labelling


def test_a_removed_device_relabels_no_document(own_story: Story, thief: Session) -> None:
    story = own_story
    access, document = story.access(story.alice), _find(story, story.result)
    identity, manifest = document.version.identity, document.version.manifest
    key = MetadataKey.make()
    forged = document.metadata.model_copy(update={"title": "forged"})
    metadata, digest = seal_metadata(forged.formatted(), metadata_key=key, context=identity.metadata_context())
    reseal = thief.sign(
        Reseal(
            record=access.record,
            manifest=manifest.hash,
            serial=1,
            previous=None,
            suite=manifest.body.suite,
            digest=manifest.body.digest,
            ciphertext_size=manifest.body.ciphertext_size,
            metadata_digest=digest,
            device=thief.device,
            issued_at=thief.clock(),
        )
    )
    assert document.compartment is not None
    capsule = _sealed_to(story, document, key, document.compartment)
    change = _showing(story.result, reseal=reseal.text, metadata=format_base64url(metadata), metadata_capsule=capsule)
    for session in (story.bob, story.alice):
        with lying(story.world.vault, "/documents", change):
            listing = _list(story, session)
        assert "forged" not in _titles(listing)
        assert _named(listing) == {str(story.result)}
        assert _list(story, session).problems == ()


def _sealed_to(story: Story, document: Document, key: MetadataKey, name: Any) -> Any:
    """A metadata capsule of `document` in the compartment `name`, as anyone who has the key makes it."""
    access = story.access(story.alice)
    newest, lock = access.compartment(name).newest, access.lock
    assert lock is not None
    wrap = WrapTuple(
        document.version.identity,
        KeyRole.METADATA,
        CompartmentLock(name, newest.hash),
        newest.body.suite,
        lock.body.suite,
        lock.hash,
    )
    capsule = seal_capsule(key.reveal(), wrap, recipient_public_key=newest.body.compartment_key, lock=lock)
    return json.loads(capsule.model_dump_json())


# Moving


def _move(story: Story, document: DocumentId, name: str) -> None:
    move_document(story.alice, story.access(story.alice), _find(story, document), story.compartment(name))


def test_what_was_shown_to_readers_is_not_passed_off_as_hidden(own_story: Story) -> None:
    """The new filing with the old capsule."""
    story = own_story
    old = _entry(story, story.secret)
    _move(story, story.secret, "general")
    with lying(story.world.vault, "/documents", _showing(story.secret, metadata_capsule=old["metadata_capsule"])):
        listing = _list(story, story.alice)
    assert story.secret not in {document.id for document in listing.documents}
    assert _named(listing) == {str(story.secret)}


def test_a_correction_is_where_its_document_is_filed_whatever_its_capsule_says(own_story: Story) -> None:
    story = own_story
    _correct(story, story.secret, "private")
    old = _entry(story, story.secret)
    _move(story, story.secret, "general")
    with lying(story.world.vault, "/documents", _showing(story.secret, metadata_capsule=old["metadata_capsule"])):
        document = _find(story, story.secret)
    general = story.compartment("general")
    assert document.compartment == general
    access = story.access(story.alice)
    plan = plan_reading(
        story.alice,
        access,
        story.mallory.identity,
        compartments=[general],
        seconds=600,
        purpose=Purpose.CONSULTATION,
    )
    assert visible_documents(plan, [document]) == [document]


def test_the_same_filing_twice_undoes_no_move(own_story: Story) -> None:
    story = own_story
    _move(story, story.secret, "general")
    old = _entry(story, story.secret)
    _move(story, story.secret, "private")
    _find(story, story.secret)
    for filings in (old["filings"] * 2, old["filings"] * 3, []):
        change = _showing(story.secret, filings=filings, metadata_capsule=old["metadata_capsule"])
        with lying(story.world.vault, "/documents", change):
            listing = _list(story, story.alice)
        assert _named(listing) == {str(story.secret)}
    assert _find(story, story.secret).compartment == story.compartment("private")


def _filing(signer: Session, document: Document, name: Any, *, after: Signed[Filing] | None = None) -> Signed[Filing]:
    return signer.sign(
        Filing(
            record=document.version.manifest.body.record,
            document=document.id,
            serial=1 if after is None else after.body.serial + 1,
            previous=None if after is None else after.hash,
            compartment=name,
            device=signer.device,
            issued_at=signer.clock(),
        )
    )


def test_another_filing_in_the_place_of_the_one_that_was_seen_undoes_no_move(own_story: Story) -> None:
    """The phone filed it as well, once upon a time, and the vault kept that back."""
    story = own_story
    phone = story.pair("phone")
    document, old = _find(story, story.secret), _entry(story, story.secret)
    kept_back = _filing(phone, document, story.compartment("private"))
    more = _filing(phone, document, story.compartment("private"), after=kept_back)
    _move(story, story.secret, "general")
    _find(story, story.secret)
    for filings in ([kept_back.text], [kept_back.text, more.text]):
        change = _showing(story.secret, filings=filings, metadata_capsule=old["metadata_capsule"])
        with lying(story.world.vault, "/documents", change):
            assert _named(_list(story, story.alice)) == {str(story.secret)}
    assert _find(story, story.secret).compartment == story.compartment("general")


def test_a_removed_device_moves_no_document(own_story: Story, thief: Session) -> None:
    story = own_story
    access, document = story.access(story.alice), _find(story, story.letter)
    private = story.compartment("private")
    key = open_document(story.alice, access, story.letter).metadata_key
    change = _showing(
        story.letter,
        filings=[_filing(thief, document, private).text],
        metadata_capsule=_sealed_to(story, document, key, private),
    )
    with lying(story.world.vault, "/documents", change):
        assert _named(_list(story, story.alice)) == {str(story.letter)}
    assert _find(story, story.letter).compartment == story.compartment("general")


def test_a_reader_and_a_vault_move_no_document_that_was_deposited_under_a_grant(own_story: Story) -> None:
    """Bob has the key of what he read, and seals it to another part, so that Alice believes it hidden."""
    story = own_story
    key = open_document(story.bob, story.access(story.bob), story.result).metadata_key
    moved = _sealed_to(story, _find(story, story.result), key, story.compartment("private"))
    with lying(story.world.vault, "/documents", _showing(story.result, metadata_capsule=moved)):
        assert _named(_list(story, story.alice)) == {str(story.result)}


def test_a_correction_after_a_move_is_shown_to_the_patient_where_its_document_is_filed(own_story: Story) -> None:
    """Honest servers: the laboratory knows of no move, and corrects where it may."""
    story = own_story
    _move(story, story.result, "private")
    _correct(story, story.result, "laboratory")
    document = _find(story, story.result)
    assert (document.version.number, document.compartment) == (2, story.compartment("private"))
    assert document.is_filed_apart
    assert story.result not in {one.id for one in _list(story, story.bob).documents}
    _move(story, story.result, "private")
    document = _find(story, story.result)
    assert (document.compartment, document.is_filed_apart) == (story.compartment("private"), False)
    assert len(list_versions(story.alice, story.access(story.alice), story.result).documents) == 2


# Correcting


def _correct(story: Story, document: DocumentId, name: str) -> None:
    manifest = _find(story, document).version.manifest
    author = next(session for session in (story.alice, story.lab) if session.identity == manifest.body.author)
    source = story.folder / "corrected.txt"
    source.write_bytes(b"corrected")
    new = NewVersion(
        source=source,
        compartment=story.compartment(name),
        title="corrected",
        kind=DocumentKind(code="34108-1", display="Outpatient Note"),
        media_type="text/plain",
        author_name="the author",
        previous=_newest_manifest(story, author, manifest),
    )
    deposit_small(author, story.access(author), [new])
    assert "corrected" in _titles(_list(story, story.alice))


def _newest_manifest(story: Story, author: Session, manifest: Signed[Manifest]) -> Signed[Manifest]:
    if author is story.alice:
        return manifest
    own = list_own_deposits(author, open_access(author, story.alice.record, story.deposit_grant.hash))
    return next(signed for signed in own if signed.body.document == manifest.body.document)


def test_no_correction_is_kept_from_an_export_or_a_verification_without_a_word(own_story: Story) -> None:
    story = own_story
    access = story.access(story.alice)
    _correct(story, story.letter, "general")

    def cut(answer: Any) -> Any:
        return answer | {"versions": answer["versions"][:1]}

    with lying(story.world.vault, f"/documents/{story.letter}", cut):
        with pytest.raises(RollbackError):
            list_versions(story.alice, access, story.letter)
        with pytest.raises(RollbackError):
            move_document(story.alice, access, _find(story, story.letter), story.compartment("private"))
        listing = list_all_versions(story.alice, access)
        verified = verify_record(story.alice, access)
        exported = export_record(story.alice, story.folder / "export")
    assert _named(listing) == {str(story.letter)}
    assert story.letter not in {document.id for document in listing.documents}
    for problems in (verified.problems, exported.problems):
        assert [problem.split(":")[0] for problem in problems] == [str(story.letter)]


def test_versions_of_nothing_or_of_another_document_are_refused(own_story: Story) -> None:
    story = own_story
    access, secret = story.access(story.alice), _entry(story, story.secret)
    for versions in ([], [secret]):
        answer = {"versions": versions, "deposit_grants": [], "next": None}
        with lying(story.world.vault, f"/documents/{story.letter}", lambda _, answer=answer: answer):
            with pytest.raises(DataError):
                list_versions(story.alice, access, story.letter)


def test_versions_that_disagree_on_where_they_are_filed_are_refused(own_story: Story) -> None:
    story = own_story
    access = story.access(story.alice)
    old = _entry(story, story.letter)
    _correct(story, story.letter, "general")
    _move(story, story.letter, "private")

    def change(answer: Any) -> Any:
        first = answer["versions"][0] | {"filings": [], "metadata_capsule": old["metadata_capsule"]}
        return answer | {"versions": [first, *answer["versions"][1:]]}

    with lying(story.world.vault, f"/documents/{story.letter}", change), pytest.raises(DataError):
        list_versions(story.alice, access, story.letter)
