"""P04: a clinician opens a document only under a grant of the patient's that covers it, in its time, not revoked.

Either honest server alone is enough. Windows to the second, grants of others, forged grants and other records are
attacks 13, 15 and 17 in `tests/attacks/test_time_and_authority.py`.
"""

import pytest

from carnet.errors import RefusedError
from carnet.session import Session
from carnet_protocol.api import OpenedVersion, ReleaseKind
from carnet_protocol.ids import DocumentId, StatementHash
from carnet_protocol.tuples import KeyRole
from tests.support.copies import ask_release, items_in_vault
from tests.support.story import Story

Right = set[tuple[str, str]]


def _people(story: Story) -> dict[str, Session]:
    return {"bob": story.bob, "lab": story.lab, "mallory": story.mallory}


def _grants(story: Story) -> dict[str, StatementHash]:
    return {"read": story.read_grant.hash, "deposit": story.deposit_grant.hash}


def _name(story: Story, document: DocumentId) -> str:
    return {story.letter: "letter", story.secret: "secret", story.result: "result"}[document]


@pytest.mark.parametrize("kind", list(ReleaseKind))
def test_an_honest_key_service_alone_is_enough(story: Story, kind: ReleaseKind) -> None:
    """Everybody has the whole vault and asks for all of it, under every grant there is."""
    items = list(items_in_vault(story.world.root, story.alice.record))
    assert len(items) == 6
    released = {
        (person, grant, _name(story, document), role.value)
        for person, session in _people(story).items()
        for grant, name in _grants(story).items()
        for document, _, role in ask_release(session, story.alice.record, items, grant=name, kind=kind)
    }
    roles = ["metadata"] if kind is ReleaseKind.LIST else ["metadata", "content"]
    assert released == {("bob", "read", document, role) for document in ("letter", "result") for role in roles}


def test_without_a_grant_the_patient_alone(story: Story) -> None:
    items = list(items_in_vault(story.world.root, story.alice.record))
    for session in _people(story).values():
        assert ask_release(session, story.alice.record, items, grant=None) == {}
    assert len(ask_release(story.alice, story.alice.record, items, grant=None)) == 6


def test_an_honest_vault_alone_is_enough(story: Story) -> None:
    """The key service may release whatever it likes: who has no grant is given no ciphertext and no capsule."""
    fetched: Right = set()
    for person, session in _people(story).items():
        for grant in _grants(story).values():
            for document in (story.letter, story.secret, story.result):
                path = f"/v1/records/{story.alice.record}/documents/{document}/versions/newest"
                try:
                    session.vault.get(path, OpenedVersion, query={"grant": str(grant)})
                except RefusedError:
                    continue
                fetched.add((person, _name(story, document)))
    assert fetched == {("bob", "letter"), ("bob", "result")}


def test_after_expiry_neither_gives_anything(own_story: Story) -> None:
    story = own_story
    items = list(items_in_vault(story.world.root, story.alice.record))
    story.world.clock.now = story.read_grant.body.expires - 1
    assert len(ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash)) == 4
    story.world.clock.now = story.read_grant.body.expires
    with story.unchanged():
        assert ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash) == {}
        for document in (story.letter, story.result):
            path = f"/v1/records/{story.alice.record}/documents/{document}/versions/newest"
            with pytest.raises(RefusedError):
                story.bob.vault.get(path, OpenedVersion, query={"grant": str(story.read_grant.hash)})


def test_a_list_release_gives_no_content_key(story: Story) -> None:
    items = [
        item for item in items_in_vault(story.world.root, story.alice.record) if item.capsule.role is KeyRole.CONTENT
    ]
    assert ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash, kind=ReleaseKind.LIST) == {}
