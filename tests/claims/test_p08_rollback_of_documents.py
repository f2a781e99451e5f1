"""P08: what a client saw of a document it is not talked out of: an older version, an undone move, a silent deletion.

Attacks 10 and 11, by a vault that lies with answers that were all true once.
"""

import copy
from typing import Any

import pytest

from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.filing import move_document
from carnet.documents.listing import Document, Listing, list_documents, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.documents.removal import remove_document
from carnet.documents.reseal import reseal_version
from carnet.errors import RollbackError
from carnet.session import Session
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import TombstoneReason
from tests.support.story import Story, lying


def _list(story: Story, session: Session) -> Listing:
    return list_documents(session, story.access(session))


def _answer(story: Story, session: Session) -> Any:
    """The vault's page as it is now."""
    kept: list[Any] = []

    def keep(answer: Any) -> Any:
        kept.append(copy.deepcopy(answer))
        return answer

    with lying(story.world.vault, "/documents", keep):
        _list(story, session)
    return kept[0]


def _find(story: Story, document: DocumentId) -> Document:
    return next(one for one in _list(story, story.alice).documents if one.id == document)


def _correct(story: Story) -> None:
    access = story.access(story.alice)
    source = story.folder / "corrected.txt"
    source.write_bytes(b"corrected")
    new = NewVersion(
        source=source,
        compartment=story.compartment("general"),
        title="corrected",
        kind=DocumentKind(code="34108-1", display="Outpatient Note"),
        media_type="text/plain",
        author_name="Alice",
        previous=list_versions(story.alice, access, story.letter).documents[-1].version.manifest,
    )
    deposit_small(story.alice, access, [new])


def _move(story: Story) -> None:
    move_document(story.alice, story.access(story.alice), _find(story, story.letter), story.compartment("private"))


def _reseal(story: Story) -> None:
    reseal_version(story.alice, story.access(story.alice), story.letter, version=1)


def _remove(story: Story) -> None:
    remove_document(story.alice, _find(story, story.letter).version, reason=TombstoneReason.ERROR)


@pytest.mark.parametrize("change", [_correct, _move, _reseal, _remove])
def test_a_page_from_before_is_noticed_by_who_saw_it_since(own_story: Story, change: Any) -> None:
    story = own_story
    before = _answer(story, story.alice)
    change(story)
    assert _list(story, story.alice).problems == ()
    with lying(story.world.vault, "/documents", lambda _: before):
        listing = _list(story, story.alice)
    assert story.letter not in {document.id for document in listing.documents}
    assert str(story.letter) in {problem.document for problem in listing.problems}
    assert _list(story, story.alice).problems == ()


def test_a_clinician_is_not_shown_an_older_version_again(own_story: Story) -> None:
    story = own_story
    access = story.access(story.bob)
    page = _answer(story, story.bob)
    kept: list[Any] = []

    def keep(answer: Any) -> Any:
        kept.append(copy.deepcopy(answer))
        return answer

    with lying(story.world.vault, "/newest", keep):
        open_document(story.bob, access, story.letter)
    _correct(story)
    assert "corrected" in {document.metadata.title for document in _list(story, story.bob).documents}
    with lying(story.world.vault, "/documents", lambda _: page):
        assert {document.metadata.title for document in _list(story, story.bob).documents} == {"result"}
    with lying(story.world.vault, "/newest", lambda _: kept[0]), pytest.raises(RollbackError):
        open_document(story.bob, access, story.letter)
    assert open_document(story.bob, access, story.letter, version=1).metadata.title == "letter"
    assert open_document(story.bob, access, story.letter).metadata.title == "corrected"


def test_it_is_noticed_after_a_restart_too(own_story: Story) -> None:
    story = own_story
    page = _answer(story, story.bob)
    _correct(story)
    _list(story, story.bob)
    story.bob.pins.store()
    again = story.world.reopen("bob")
    with lying(story.world.vault, "/documents", lambda _: page):
        listing = list_documents(again, story.access(story.bob))
    assert [problem.document for problem in listing.problems] == [str(story.letter)]


def test_the_patient_misses_what_nobody_removed(own_story: Story) -> None:
    story = own_story
    assert len(_list(story, story.alice).documents) == 3

    def drop(answer: Any) -> Any:
        return answer | {"documents": answer["documents"][1:]}

    with lying(story.world.vault, "/documents", drop):
        listing = _list(story, story.alice)
    assert len(listing.documents) == 2
    assert len(listing.problems) == 1
    _remove(story)
    assert len(_list(story, story.alice).documents) == 2
    assert _list(story, story.alice).problems == ()


def test_a_clinician_misses_nothing_that_was_hidden_since(own_story: Story) -> None:
    """P13 goes before: what is hidden from a clinician is gone without a word."""
    story = own_story
    assert len(_list(story, story.bob).documents) == 2
    _move(story)
    listing = _list(story, story.bob)
    assert [document.id for document in listing.documents] == [story.result]
    assert listing.problems == ()


def test_the_patient_opens_what_was_moved_and_resealed(own_story: Story) -> None:
    story = own_story
    _move(story)
    _reseal(story)
    for _ in range(2):
        assert _list(story, story.alice).problems == ()
        open_document(story.alice, story.access(story.alice), story.letter).check()
