"""What the patient and others do while a rotation runs: some order explains what comes of it, and everything opens."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.filing import move_document
from carnet.documents.listing import list_documents
from carnet.documents.removal import remove_document
from carnet.errors import StaleError
from carnet.grant_book import load_grants
from carnet.locks import fetch_lock, make_lock, show_lock
from carnet.revocation import complete_revocation, revoke
from carnet_keyservice.lock_rotation import RecordRotation, RecordState
from carnet_protocol.statements import TombstoneReason
from tests.support.client import find_compartment, titles
from tests.unit.lock_rotation.conftest import Story, let_in

ROUTES = ["locks", "capsules", "swaps", "counts"]
SIDES = ["before", "after"]


@dataclass(slots=True)
class Meanwhile:
    """Something that somebody does once, before the vault gets the first request to a route, or after it answered."""

    story: Story
    route: str
    side: str
    act: Callable[[], object]
    done: list[int] = field(default_factory=list)

    def before(self, request: httpx2.Request) -> None:
        if self.side == "before":
            self._act(request)

    def after(self, request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if self.side == "after":
            self._act(request)
        return answer

    def _act(self, request: httpx2.Request) -> None:
        if request.url.path == f"/v1/rotation/{self.route}" and not self.done:
            self.done.append(1)
            self.act()


def rotate_while(story: Story, route: str, side: str, act: Callable[[], object]) -> RecordRotation:
    """A rotation in the midst of which somebody does `act`."""
    meanwhile = Meanwhile(story, route, side, act)
    story.world.vault.before, story.world.vault.after = meanwhile.before, meanwhile.after
    (rotated,) = story.rotation.rotate([story.record])
    story.world.vault.before = story.world.vault.after = None
    assert meanwhile.done
    return rotated


def require_rotated(story: Story, rotated: RecordRotation) -> None:
    """The record is rotated, and nothing is under an older lock but what is named."""
    assert rotated.state is RecordState.ROTATED
    old = sum(count for version, count in story.rotation.used(story.record).items() if version < rotated.version)
    assert old == len(rotated.left)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_deposit_during_a_rotation_is_kept_and_opens(story: Story, route: str, side: str) -> None:
    rotated = rotate_while(story, route, side, lambda: story.put("meanwhile"))
    require_rotated(story, rotated)
    story.require_all_open("meanwhile")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_grant_of_a_single_document_during_a_rotation_opens_it(story: Story, route: str, side: str) -> None:
    dave = story.world.practitioner("dave")
    grants = []
    rotated = rotate_while(story, route, side, lambda: grants.append(let_in(story.alice, dave, documents=[story.one])))
    require_rotated(story, rotated)
    assert titles(dave, open_access(dave, story.record, grants[0].hash)) == ["one"]
    story.require_all_open()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_document_that_moves_during_a_rotation_stays_moved_and_opens(story: Story, route: str, side: str) -> None:
    def move() -> None:
        access = open_access(story.alice, story.record)
        document = next(each for each in list_documents(story.alice, access).documents if each.metadata.title == "two")
        move_document(story.alice, access, document, find_compartment(access, "private"))

    rotated = rotate_while(story, route, side, move)
    require_rotated(story, rotated)
    assert story.titles(story.alice) == ["one", "secret", "two"]
    assert story.titles(story.bob) == ["one"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_document_that_is_removed_during_a_rotation_stays_removed(story: Story, route: str, side: str) -> None:
    def remove() -> None:
        access = open_access(story.alice, story.record)
        document = next(each for each in list_documents(story.alice, access).documents if each.metadata.title == "two")
        remove_document(story.alice, document.version, reason=TombstoneReason.MISFILED)

    rotated = rotate_while(story, route, side, remove)
    require_rotated(story, rotated)
    assert story.titles(story.alice) == ["one", "secret"]
    assert story.titles(story.bob) == ["one"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_revocation_that_is_completed_during_a_rotation_holds(story: Story, route: str, side: str) -> None:
    """The patient makes locks and keys of their own; where the job's came in between, their command runs again."""

    def complete() -> None:
        assert revoke(story.alice, load_grants(story.alice, story.access(story.alice)), story.read).is_everywhere
        for _ in range(3):
            try:
                complete_revocation(story.alice, story.read)
            except StaleError:
                continue
            return
        raise AssertionError("a revocation that is never completed")

    rotated = rotate_while(story, route, side, complete)
    require_rotated(story, rotated)
    assert rotated.left == ()
    assert story.titles(story.alice) == ["one", "secret", "two"]
    assert story.titles(story.carol) == ["one"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_lock_that_the_patient_makes_during_a_rotation_is_gone_on_with(story: Story, route: str, side: str) -> None:
    rotated = rotate_while(
        story,
        route,
        side,
        lambda: make_lock(story.alice, story.record, after=fetch_lock(story.alice, story.record).body.version),
    )
    assert rotated.state is RecordState.ROTATED
    story.require_all_open()
    if route in {"locks", "capsules"} and (route, side) != ("capsules", "after"):
        assert rotated.version == 3
        assert story.rotation.used(story.record) == {3: 8}


def test_two_jobs_at_once_leave_everything_under_one_of_their_locks(story: Story) -> None:
    second = story.rotation.order("second")
    rotated = rotate_while(
        story, "swaps", "before", lambda: story.rotation.rotate([story.record], story.rotation.order("third"))
    )
    assert rotated.state is RecordState.ROTATED
    (again,) = story.rotation.rotate([story.record], second)
    require_rotated(story, again)
    assert len(story.rotation.used(story.record)) == 1
    story.require_all_open()


def test_a_lock_that_the_vault_saw_again_does_no_harm(story: Story) -> None:
    show_lock(story.alice, fetch_lock(story.alice, story.record))
    rotated = rotate_while(
        story, "swaps", "before", lambda: show_lock(story.alice, fetch_lock(story.alice, story.record))
    )
    require_rotated(story, rotated)
    story.require_all_open()
