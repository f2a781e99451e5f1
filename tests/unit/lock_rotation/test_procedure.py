"""Rotating a record's lock by both servers, with no patient present: what is done, once, and again after any stop."""

import httpx2
import pytest
from sqlalchemy import text

from carnet.access import release
from carnet.documents.listing import list_documents, metadata_item
from carnet.errors import CarnetError
from carnet.events import load_events
from carnet.transport import ServerName
from carnet_keyservice.errors import VaultAwayError
from carnet_keyservice.lock_rotation import LeftReason, RecordState, RotationOrder
from carnet_protocol.api import DocumentsPage, ReleaseKind, VersionEntry
from carnet_protocol.ids import RecordId
from tests.unit.lock_rotation.conftest import Story

GRACE = 600


def test_story(story: Story) -> None:
    """A reader who fetched before the swap opens during the grace; after it, whoever fetches anew."""
    before = story.access(story.bob)
    item = metadata_item(list_documents(story.bob, before).documents[0].version)
    order = story.rotation.order()
    (rotated,) = story.rotation.rotate([story.record], order)
    assert (rotated.state, rotated.version, rotated.swapped, rotated.left) == (RecordState.ROTATED, 2, 8, ())
    assert story.rotation.used(story.record) == {2: 8}
    story.require_all_open()
    assert release(story.bob, before, ReleaseKind.LIST, [item]) != [None]
    assert story.rotation.rotator.retire([rotated], order, grace_seconds=GRACE) == [rotated]
    assert story.rotation.versions(story.record) == {1: False, 2: False}
    story.world.clock.now += GRACE
    assert story.rotation.rotator.retire([rotated], order, grace_seconds=GRACE) == []
    assert story.rotation.versions(story.record) == {1: True, 2: False}
    with pytest.raises(CarnetError):
        release(story.bob, before, ReleaseKind.LIST, [item])
    story.require_all_open()
    story.put("later")
    story.require_all_open("later")
    assert story.rotation.used(story.record) == {2: 10}


def test_every_act_is_an_event_that_names_the_job(story: Story) -> None:
    order = story.rotation.order("job-7")
    rotated = story.rotation.rotate([story.record], order)
    story.rotation.rotator.retire(rotated, order, grace_seconds=0)
    made = story.rotation.events(ServerName.KEYSERVICE, "lock.made")[-1]
    assert (made["by"], made["device"], made["detail"]) == (None, None, {"version": 2, "job": "job-7"})
    (retired,) = story.rotation.events(ServerName.KEYSERVICE, "lock.retired")
    assert (retired["record"], retired["detail"]) == (str(story.record), {"version": 1, "job": "job-7"})
    (swapped,) = story.rotation.events(ServerName.VAULT, "capsules.rotated")
    assert (swapped["record"], swapped["detail"]) == (str(story.record), {"version": 2, "capsules": 8})


def test_a_job_that_is_started_twice_makes_one_version(story: Story) -> None:
    order = story.rotation.order()
    story.rotation.rotate([story.record], order)
    (again,) = story.rotation.rotate([story.record], order)
    assert (again.state, again.version, again.swapped) == (RecordState.ROTATED, 2, 0)
    assert story.rotation.versions(story.record) == {1: False, 2: False}
    (next_one,) = story.rotation.rotate([story.record], story.rotation.order("2"))
    assert (next_one.version, next_one.swapped) == (3, 8)
    story.require_all_open()


def test_small_pages_come_to_the_same(story: Story) -> None:
    rotator = story.rotation.rotator
    for page in (1, 3):
        small = type(rotator)(rotator.locks, rotator.vault, page=page)
        (rotated,) = small.rotate([story.record], story.rotation.order())
        assert (rotated.state, rotated.swapped) == (RecordState.ROTATED, 8)
    story.require_all_open()


def test_records_without_a_lock_or_unknown_hold_up_no_other(story: Story) -> None:
    dora = story.world.patient("dora")
    assert dora.identity is not None
    without = RecordId(dora.identity.raw)
    unknown = RecordId(bytes(32))
    states = {each.record: each.state for each in story.rotation.rotate([unknown, without, story.record])}
    assert states == {
        unknown: RecordState.NO_LOCK,
        without: RecordState.NO_LOCK,
        story.record: RecordState.ROTATED,
    }


def test_an_older_lock_that_was_retired_still_serves_rotation(story: Story) -> None:
    """What the patient's client left under a retired lock, in an open epoch, opens again after a rotation."""
    order = story.rotation.order()
    new, _ = story.rotation.rotator.locks.make_new([story.record], order)
    story.rotation.rotator.locks.retire({story.record: 2}, order)
    assert new[story.record].version == 2
    assert list_documents(story.alice, story.access(story.alice)).problems
    (rotated,) = story.rotation.rotate([story.record], order)
    assert (rotated.version, rotated.swapped) == (2, 8)
    story.require_all_open()


@pytest.mark.parametrize("is_answer", [False, True], ids=["request", "answer"])
def test_a_stop_at_any_request_leaves_everything_open_and_the_next_run_finishes(story: Story, is_answer: bool) -> None:
    """Every request to the vault in turn is lost, or its answer; and with it all that come after."""
    rotator = story.rotation.rotator
    small = type(rotator)(rotator.locks, rotator.vault, page=3)
    for number in range(1, 100):
        seen = [0]

        def lose(request: httpx2.Request, *, limit: int = number, seen: list[int] = seen) -> None:
            seen[0] += request.url.path.startswith("/v1/rotation/")
            if seen[0] > limit or (seen[0] == limit and not is_answer):
                raise httpx2.ConnectError("cut", request=request)

        def lose_answer(
            request: httpx2.Request, answer: httpx2.Response, *, limit: int = number, seen: list[int] = seen
        ) -> httpx2.Response:
            if is_answer and seen[0] >= limit:
                raise httpx2.ReadError("cut", request=request)
            return answer

        order = story.rotation.order(str(number))
        story.world.vault.before, story.world.vault.after = lose, lose_answer
        try:
            small.rotate([story.record], order)
            is_clean = True
        except VaultAwayError:
            is_clean = False
        finally:
            story.world.vault.before = story.world.vault.after = None
        versions = story.rotation.versions(story.record)
        assert max(versions) == number + 1
        story.require_all_open()
        (rotated,) = small.rotate([story.record], order)
        assert (rotated.state, rotated.version) == (RecordState.ROTATED, number + 1)
        assert story.rotation.versions(story.record).keys() == versions.keys()
        if is_clean:
            break
    assert number > 6
    story.require_all_open()


def test_a_personal_capsule_of_a_grant_that_is_over_stays_and_is_named(story: Story) -> None:
    story.world.clock.now += 1800
    (rotated,) = story.rotation.rotate([story.record])
    assert (rotated.state, rotated.swapped) == (RecordState.ROTATED, 6)
    assert {left.reason for left in rotated.left} == {LeftReason.GRANT_OVER}
    assert {left.grant for left in rotated.left} == {story.single.hash}
    assert story.rotation.used(story.record) == {1: 2, 2: 6}


def test_the_patient_reads_in_the_log_what_was_rotated(story: Story) -> None:
    story.rotation.rotate([story.record])
    seen = [
        (event.server, event.body.kind, event.body.by)
        for server in (story.alice.vault, story.alice.keyservice)
        for event in load_events(story.alice, server)
    ]
    keyservice = str(story.world.own.keyservice.fingerprint)
    assert (ServerName.VAULT, "capsules.rotated", keyservice) in seen
    assert seen.count((ServerName.KEYSERVICE, "lock.made", None)) == 1


def test_a_clinician_sees_nothing_of_a_rotation_but_other_outer_locks(story: Story) -> None:
    """P13: no count, size or order differs, whatever the patient hides."""
    path = f"/v1/records/{story.record}/documents"
    before = story.bob.vault.get(path, DocumentsPage, query={"grant": str(story.read.hash)})
    story.rotation.rotate([story.record])
    after = story.bob.vault.get(path, DocumentsPage, query={"grant": str(story.read.hash)})
    sizes = [len(page.model_dump_json()) for page in (before, after)]
    assert sizes[0] == sizes[1]
    assert before != after
    assert list(map(_but_outer_lock, before.documents)) == list(map(_but_outer_lock, after.documents))


def _but_outer_lock(entry: VersionEntry) -> VersionEntry:
    changed = {"lock_statement": None, "sealed": b""}
    return entry.model_copy(update={"metadata_capsule": entry.metadata_capsule.model_copy(update=changed)})


def test_a_lock_statement_that_is_damaged_is_told_of_its_record_alone(story: Story) -> None:
    with story.world.engines[ServerName.KEYSERVICE].begin() as connection:
        connection.execute(text("UPDATE statements SET jws = 'x' WHERE hash IN (SELECT hash FROM lock_statements)"))
    order = RotationOrder("1", -1, by=None)  # it makes no lock
    (rotated,) = story.rotation.rotate([story.record], order)
    assert (rotated.state, rotated.swapped) == (RecordState.LOCK_DOES_NOT_OPEN, 0)
    assert story.rotation.versions(story.record) == {1: False}
