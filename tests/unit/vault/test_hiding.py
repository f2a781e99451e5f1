"""P13: whoever has not seen it before cannot tell that something is hidden: answers are the same, byte for byte.

Two vaults of one deployment get the same people, statements and deposits; one of them also holds what is hidden.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from carnet_protocol.tuples import KeyRole
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from carnet_vault.app import REVISIONS
from tests.support.parcels import swap
from tests.support.people import Dice
from tests.support.vault import VaultStory, VaultWorld

_OWN_OF_A_TRANSFER = re.compile(rb'/v1/objects/[^"]*')


@pytest.fixture
def plain_and_hiding(tmp_path: Path) -> Iterator[tuple[VaultStory, VaultStory]]:
    """The same story in two vaults."""
    with ExitStack() as stack:
        stories = []
        for name in ("plain", "hiding"):
            folder = tmp_path / name
            folder.mkdir()
            engine = make_engine(f"sqlite:///{folder / 'vault.sqlite'}")
            stack.callback(engine.dispose)
            migrate(engine, REVISIONS)
            world = VaultWorld.make(engine, folder, Dice("the same"))
            stack.enter_context(world.client)
            stories.append(VaultStory.begin(world))
        yield stories[0], stories[1]


def hide(story: VaultStory) -> None:
    """Deposit into the private compartment, and move one document there that came into the general one."""
    private = [story.parcel(author=story.alice, compartment=story.private) for _ in range(7)]
    assert story.bring(*private, by=story.alice).status_code == 200
    moved = story.parcel(author=story.alice)
    assert story.bring(moved, by=story.alice).status_code == 200
    swaps = [
        swap(story.own.capsule(moved.version, old.role, story.private, story.lock), old)
        for old in (moved.content_capsule, moved.metadata_capsule)
    ]
    assert story.update(story.own.file(moved.document, story.private), capsules=swaps).status_code == 200
    gone = story.parcel(author=story.alice)
    assert story.bring(gone, by=story.alice).status_code == 200
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200


def test_a_reader_cannot_tell_that_something_is_hidden(plain_and_hiding: tuple[VaultStory, VaultStory]) -> None:
    plain, hiding = plain_and_hiding
    hide(hiding)
    first, *others = [plain.parcel() for _ in range(9)]
    second = plain.parcel(after=first)
    single = plain.own.grant(plain.mallory, plain.attestations["m"], documents=[first.document])
    personal = [
        swap(plain.own.personal_capsule(first.version, role, single, plain.mallory, plain.lock), None)
        for role in KeyRole
    ]
    for story in (plain, hiding):
        assert story.bring(first, second, *others).status_code == 200
        assert story.update(single, capsules=personal).status_code == 200
    grants = {"bob": plain.read_grant.hash, "mallory": single.hash}
    queries = [f"{plain.path}/documents?grant={grants['bob']}&limit={limit}" for limit in (1, 2, 3, 9, 10, 500)]
    after = sorted(parcel.document for parcel in (first, *others))[3]
    queries += [
        f"{plain.path}/documents?grant={grants['bob']}&after={after}&limit=2",
        f"{plain.path}/documents/{first.document}?grant={grants['bob']}",
        f"{plain.path}/documents/{first.document}/versions/1?grant={grants['bob']}",
        f"{plain.path}/documents/{first.document}/versions/newest?grant={grants['bob']}",
        f"{plain.path}/access?grant={grants['bob']}",
        f"{plain.path}/deposits?grant={plain.deposit_grant.hash}",
        f"{plain.path}/documents?grant={grants['mallory']}",
        f"{plain.path}/documents/{first.document}?grant={grants['mallory']}",
        f"{plain.path}/events",
        f"{plain.path}/grants",
        f"{plain.path}/capsules",
        "/v1/inbox",
        f"/v1/people/{plain.alice.identity}",
    ]
    compared = 0
    for query in queries:
        for reader in ("bob", "mallory", "laura"):
            answers = [story.world.send("GET", query, by=getattr(story, reader)) for story in (plain, hiding)]
            shown = [_OWN_OF_A_TRANSFER.sub(b"", answer.content) for answer in answers]
            assert shown[0] == shown[1], query
            assert answers[0].status_code == answers[1].status_code
            assert len(answers[0].content) == len(answers[1].content)
            assert _headers(answers[0]) == _headers(answers[1])
            compared += answers[0].status_code == 200
    assert compared >= 20


def test_a_depositor_cannot_tell_that_their_document_was_moved(
    plain_and_hiding: tuple[VaultStory, VaultStory],
) -> None:
    plain, hiding = plain_and_hiding
    first = plain.parcel()
    for story in (plain, hiding):
        assert story.bring(first).status_code == 200
    swaps = [
        swap(hiding.own.capsule(first.version, old.role, hiding.private, hiding.lock), old)
        for old in (first.content_capsule, first.metadata_capsule)
    ]
    assert hiding.update(hiding.own.file(first.document, hiding.private), capsules=swaps).status_code == 200
    second, rival = plain.parcel(after=first), plain.parcel(after=first)
    for story in (plain, hiding):
        assert story.bring(second).status_code == 200
    refusals = [story.bring(rival) for story in (plain, hiding)]
    assert [answer.status_code for answer in refusals] == [409, 409]
    assert refusals[0].content == refusals[1].content
    own = [
        story.world.get(f"{story.path}/deposits", story.laura, grant=story.deposit_grant.hash)
        for story in (plain, hiding)
    ]
    assert own[0].content == own[1].content
    tombstone = plain.own.entomb(first.document, second.manifest.hash, by=plain.laura)
    assert [story.update(tombstone, by=story.laura).status_code for story in (plain, hiding)] == [200, 200]


def _headers(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in {"date", "carnet-request"}}
