"""P05: from the receipt of a revocation, and from the second of expiry, an honest key service releases nothing.

The clinician kept every key ever received and has the whole vault. That no order of events gets round it is the model
in `test_p05_revocation_model.py`.
"""

import json
from collections.abc import Callable

import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.grant_book import load_grants
from carnet.revocation import revoke
from carnet_protocol.api import ReleaseKind
from carnet_protocol.statements import Signed
from tests.support.attacker import Attacker
from tests.support.copies import ask_release, items_in_vault, keys_kept
from tests.support.sealed import read_tables
from tests.support.story import Story


def _revoke(story: Story) -> int:
    report = revoke(story.alice, load_grants(story.alice, story.access(story.alice)), story.read_grant)
    assert isinstance(report.keyservice, Signed)
    return report.keyservice.body.index


def _expire(story: Story) -> int:
    story.world.clock.now = story.read_grant.body.expires
    return len(read_tables(story.world.root / "keyservice.sqlite")["events"])


@pytest.mark.parametrize("end", [_revoke, _expire])
def test_who_kept_every_key_opens_nothing_that_was_not_released(own_story: Story, end: Callable[[Story], int]) -> None:
    story = own_story
    assert list_documents(story.bob, story.access(story.bob)).documents
    open_document(story.bob, story.access(story.bob), story.letter).check()
    kept = keys_kept(story, story.bob)
    index = end(story)
    items = list(items_in_vault(story.world.root, story.alice.record))
    for kind in ReleaseKind:
        assert ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash, kind=kind) == {}
    bob = Attacker()
    bob.take_vault(story.world.root)
    for key in kept:
        bob.take_key("bob", key)
    bob.work()
    assert bob.seals_opened() <= {"compartment-name", "device-name", "grant-note"}
    assert bob.read("compartment-name"), "his keys are the right ones"
    assert _releases_after(story, index) == []


def test_with_the_key_service_he_would_open_all_of_it(own_story: Story) -> None:
    """The outer lock is what stops him: a key service that helps before completion takes it off (limits.md)."""
    story = own_story
    kept = keys_kept(story, story.bob)
    _revoke(story)
    both = Attacker()
    both.take_vault(story.world.root)
    both.take_keyservice(story.world.root)
    for key in (*kept, story.world.master_key):
        both.take_key("bob and the key service", key)
    both.work()
    contents = sorted(text.rstrip(b"\0") for text in both.read("content"))
    assert contents == [b"letter content", b"result content"]


def test_the_index_of_no_release_is_higher(own_story: Story) -> None:
    """The log, as the model words it: nothing under this grant above the revocation's index."""
    story = own_story
    access = story.access(story.bob)
    list_documents(story.bob, access)
    before = _releases_after(story, 0)
    assert before
    index = _revoke(story)
    items = list(items_in_vault(story.world.root, story.alice.record))
    ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash)
    assert open_access(story.alice, story.alice.record).grant is None
    assert _releases_after(story, 0) == before
    assert all(position < index for position in before)


def _releases_after(story: Story, index: int) -> list[int]:
    """The indexes of events after `index` by which anything was released or fetched under Bob's grant."""
    found: list[int] = []
    for row in read_tables(story.world.root / "keyservice.sqlite")["events"]:
        body = json.loads(row["body"])
        if (
            row["position"] >= index
            and body["kind"].startswith("release.")
            and body["grant"] == str(story.read_grant.hash)
        ):
            found.append(row["position"])
    return found
