"""Reseals over HTTP: the patient encrypts a version anew."""

import pytest

from carnet_protocol.api import Capsule
from carnet_protocol.ids import Sha256Digest
from carnet_protocol.statements import Grant, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_vault.status import count_all
from tests.support.parcels import Parcel, make_reseal, swap
from tests.support.people import DAY, NOW
from tests.support.records import make_lock
from tests.support.tables import count_rows
from tests.support.vault import VaultStory, code, nothing_changes

pytestmark = pytest.mark.parametrize("suite", Suite)


def brought(story: VaultStory) -> Parcel:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    return parcel


def test_the_patient_encrypts_a_version_anew(story: VaultStory) -> None:
    parcel = brought(story)
    reseal = make_reseal(story.world.dice, story.own, parcel, story.general, story.lock)
    upload = story.upload(reseal, by=story.alice)[0]
    first = story.commit_reseals((reseal, upload))
    assert first.status_code == 200, first.text
    with nothing_changes(story):
        assert story.commit_reseals((reseal, upload)).content == first.content
    opened = story.open(story.bob, parcel, story.read_grant).json()
    assert opened["entry"]["manifest"] == parcel.manifest.text
    assert opened["entry"]["reseal"] == reseal.reseal.text
    assert story.world.get_bytes(opened["url"]).content == reseal.sealed.ciphertext
    second = make_reseal(story.world.dice, story.own, parcel, story.general, story.lock, after=reseal.reseal)
    stale = story.upload(second, by=story.alice)[0]
    with nothing_changes(story):
        # Its capsules would replace those of the deposit, which are gone.
        assert code(story.commit_reseals((second, stale))) == (409, "conflict")


def test_a_reseal_moves_the_digests_to_a_later_suite_and_never_back(story: VaultStory, suite: Suite) -> None:
    parcel = brought(story)
    dice, own, lock = story.world.dice, story.own, story.lock
    if suite == 2:
        back = make_reseal(dice, own, parcel, story.general, lock, suite=Suite(1))
        upload = story.upload(back, by=story.alice)[0]
        with nothing_changes(story):
            assert code(story.commit_reseals((back, upload))) == (400, "invalid_statement")
    reseal = make_reseal(dice, own, parcel, story.general, lock, suite=Suite(2))
    assert story.commit_reseals((reseal, story.upload(reseal, by=story.alice)[0])).status_code == 200
    with story.world.engine.connect() as connection:
        counts = count_all(connection, story.world.clock())
    assert (counts["digests_under_suite_1"], counts["digests_under_suite_2"]) == (0, 1)


def share(story: VaultStory, parcel: Parcel) -> tuple[Signed[Grant], list[Capsule]]:
    """A single-document grant to Mallory, with both personal capsules."""
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    capsules = personal(story, parcel, grant)
    assert story.update(grant, capsules=[swap(capsule, None) for capsule in capsules]).status_code == 200
    return grant, capsules


def personal(story: VaultStory, parcel: Parcel, grant: Signed[Grant]) -> list[Capsule]:
    """Both personal capsules of `parcel` for Mallory, made now."""
    return [
        story.own.personal_capsule(parcel.version, role, grant, story.mallory, story.lock)
        for role in (KeyRole.CONTENT, KeyRole.METADATA)
    ]


def test_a_reseal_brings_the_personal_capsules_of_its_version_along(story: VaultStory) -> None:
    parcel, other = brought(story), brought(story)
    (kept, old), (left, dropped), (ended, _) = (share(story, parcel) for _ in range(3))
    elsewhere, _ = share(story, other)
    assert story.update(story.own.revoke(ended)).status_code == 200
    new = personal(story, parcel, kept)
    reseal = make_reseal(story.world.dice, story.own, parcel, story.general, story.lock)
    upload = story.upload(reseal, by=story.alice)[0]
    swaps = [swap(*pair) for pair in zip(new, old, strict=True)]
    answer = story.commit_reseals((reseal, upload), personal=swaps, drops=dropped)
    assert answer.status_code == 200, answer.text
    opened = story.open(story.mallory, parcel, kept).json()
    assert opened["content_capsule"] == new[0].model_dump(mode="json")
    assert opened["entry"]["metadata_capsule"] == new[1].model_dump(mode="json")
    assert code(story.open(story.mallory, parcel, left)) == (404, "refused")
    assert story.open(story.mallory, other, elsewhere).status_code == 200
    assert count_rows(story.world.engine, "personal_capsules") == 4
    with nothing_changes(story):
        again = story.commit_reseals((reseal, upload), personal=swaps, drops=dropped)
    assert again.content == answer.content


def test_a_reseal_without_anothers_personal_capsule_is_refused(story: VaultStory) -> None:
    """Who was let in after the client looked would lose the document, and nobody would know."""
    parcel = brought(story)
    grant, old = share(story, parcel)
    new = personal(story, parcel, grant)
    reseal = make_reseal(story.world.dice, story.own, parcel, story.general, story.lock)
    upload = story.upload(reseal, by=story.alice)[0]
    stranger = swap(new[1], parcel.metadata_capsule)
    other_lock, _ = make_lock(story.world.dice, story.world.own, story.own.id, version=2)
    elsewhere = brought(story)
    foreign = story.own.personal_capsule(elsewhere.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    later = story.own.personal_capsule(parcel.version, KeyRole.CONTENT, grant, story.mallory, other_lock)
    uncovered = story.own.personal_capsule(parcel.version, KeyRole.CONTENT, story.read_grant, story.bob, story.lock)
    for swaps, drops, refusal in (
        ([], [], (409, "conflict")),
        ([swap(new[0], old[0])], [], (409, "conflict")),
        ([swap(new[0], old[0])], [old[0]], (409, "conflict")),
        ([swap(new[0], old[0]), stranger], [old[1]], (409, "conflict")),
        ([swap(new[0], None)], old, (400, "bad_request")),
        ([swap(new[0], old[0]), swap(new[0], old[0])], old, (400, "bad_request")),
        ([swap(parcel.content_capsule, old[0])], old, (400, "bad_request")),
        ([swap(foreign, old[0])], old, (400, "bad_request")),
        ([swap(later, old[0])], old, (400, "bad_request")),
        ([swap(uncovered, old[0])], old, (404, "refused")),
    ):
        with nothing_changes(story):
            assert code(story.commit_reseals((reseal, upload), personal=swaps, drops=drops)) == refusal
    assert story.commit_reseals((reseal, upload), drops=old).status_code == 200
    assert count_rows(story.world.engine, "personal_capsules") == 0


def test_reseals_against_the_rules_are_refused(story: VaultStory) -> None:
    parcel, gone, unknown = brought(story), brought(story), story.parcel()
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    dice, own, lock = story.world.dice, story.own, story.lock
    good = make_reseal(dice, own, parcel, story.general, lock)
    cases = [
        (make_reseal(dice, own, gone, story.general, lock), (404, "refused")),
        (make_reseal(dice, own, unknown, story.general, lock), (404, "refused")),
        (make_reseal(dice, own, parcel, story.private, lock), (409, "conflict")),
        (make_reseal(dice, own, parcel, story.general, lock, after=good.reseal), (409, "conflict")),
        (make_reseal(dice, own, parcel, story.general, lock, device=story.bob.device), (400, "invalid_statement")),
        (make_reseal(dice, own, parcel, story.general, lock, at=NOW - 31 * DAY), (400, "invalid_statement")),
    ]
    uploads = story.upload(*(reseal for reseal, _ in cases), by=story.alice)
    with nothing_changes(story):
        for (reseal, expected), upload in zip(cases, uploads, strict=True):
            assert code(story.commit_reseals((reseal, upload))) == expected
        assert code(story.commit_reseals((good, uploads[0]), by=story.bob)) == (404, "refused")
    assert Sha256Digest.of(parcel.content_capsule.sealed) == good.deposit(uploads[0]).replaces_content
