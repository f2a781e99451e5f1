"""Record locks: made by the patient, issued again in time, retired for good."""

from typing import Any

import pytest

from carnet_keyservice.locks import decide
from carnet_keyservice.locks.keys import LockKeys
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_LOCK_STATEMENT_SECONDS
from carnet_protocol.statements import Lock, Permission, Receipt, Role, Signed
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import DAY, NOW, make_person
from tests.support.records import update_of
from tests.support.tables import count_rows, unchanged


def lock_of(answer: object) -> Signed[Lock]:
    """The lock statement of an answer."""
    return Signed.parse(accept(answer)["lock"], Lock)


def test_a_lock_statement_is_the_key_services_word_for_thirty_days(story: KeyServiceStory) -> None:
    lock = story.lock
    lock.verify(story.world.own.keyservice.key.public_key)
    assert (lock.body.record, lock.body.version, lock.body.previous) == (story.own.id, 1, None)
    assert lock.body.keyservice == story.world.own.keyservice.fingerprint
    assert (lock.body.issued_at, lock.body.expires) == (NOW, NOW + MAX_LOCK_STATEMENT_SECONDS)


def test_the_next_version_has_another_key_and_follows_the_last_statement(story: KeyServiceStory) -> None:
    second = lock_of(story.world.post(f"{story.path}/locks", story.alice))
    assert (second.body.version, second.body.previous) == (2, story.lock.hash)
    assert second.body.lock_key != story.lock.body.lock_key
    assert lock_of(story.world.get(f"{story.path}/lock", story.alice)).hash == second.hash


def test_readers_and_depositors_see_the_lock_and_others_do_not(story: KeyServiceStory) -> None:
    for person in (story.alice, story.bob, story.laura):
        assert lock_of(story.world.get(f"{story.path}/lock", person)).hash == story.lock.hash
    with unchanged(story.world.engine):
        assert code(story.world.get(f"{story.path}/lock", story.mallory)) == (404, "refused")
        story.world.clock.now = story.grant.body.expires
        assert code(story.world.get(f"{story.path}/lock", story.bob)) == (404, "refused")


def test_a_grant_that_has_not_begun_shows_no_lock(story: KeyServiceStory) -> None:
    grant = story.own.grant(
        story.mallory,
        story.attestations["mallory"],
        compartments=[story.general],
        permission=Permission.DEPOSIT,
        not_before=NOW + 10,
        expires=NOW + 20,
    )
    accept(story.world.post_statements(story.own, update_of(grant)))
    assert code(story.world.get(f"{story.path}/lock", story.mallory)) == (404, "refused")
    story.world.clock.now = NOW + 10
    assert lock_of(story.world.get(f"{story.path}/lock", story.mallory)).hash == story.lock.hash


def test_a_record_without_a_lock_looks_like_no_record(story: KeyServiceStory) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.introduce(carol)
    nowhere = story.world.get(f"/v1/records/{make_person(story.dice, Role.PATIENT).record}/lock", carol)
    own = story.world.get(f"/v1/records/{carol.record}/lock", carol)
    assert code(nowhere) == code(own) == (404, "refused")
    assert nowhere.content == own.content


@pytest.mark.parametrize(("left", "is_issued_again"), [(7 * DAY + 1, False), (7 * DAY, True), (1, True), (-DAY, True)])
def test_a_statement_is_issued_again_in_its_last_week(story: KeyServiceStory, left: int, is_issued_again: bool) -> None:
    story.world.clock.now = story.lock.body.expires - left
    first = lock_of(story.world.get(f"{story.path}/lock", story.alice))
    assert (first.hash != story.lock.hash) is is_issued_again
    assert first.body.lock_key == story.lock.body.lock_key
    assert first.body.version == 1
    if is_issued_again:
        assert first.body.previous == story.lock.hash
        assert first.body.expires == story.world.clock.now + MAX_LOCK_STATEMENT_SECONDS
    with unchanged(story.world.engine):
        assert lock_of(story.world.get(f"{story.path}/lock", story.alice)).hash == first.hash


def test_nobody_but_the_patient_makes_a_lock(story: KeyServiceStory) -> None:
    for person in (story.bob, story.laura, story.mallory):
        with unchanged(story.world.engine):
            assert code(story.world.post(f"{story.path}/locks", person)) == (404, "refused")


def test_a_practitioner_has_no_lock_of_their_own(story: KeyServiceStory) -> None:
    with unchanged(story.world.engine):
        answer = story.world.post(f"/v1/records/{story.bob.record}/locks", story.bob)
    assert code(answer) == (404, "refused")


def test_two_requests_never_make_the_same_version(story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    made = LockKeys.make

    def overtaken(self: LockKeys, record: RecordId, version: int, **given: Any) -> object:
        monkeypatch.setattr(LockKeys, "make", made)
        accept(story.world.post(f"{story.path}/locks", story.alice))
        return made(self, record, version, **given)

    monkeypatch.setattr(LockKeys, "make", overtaken)
    assert code(story.world.post(f"{story.path}/locks", story.alice)) == (409, "conflict")
    assert count_rows(story.world.engine, "record_locks") == 2


def test_a_record_has_at_most_so_many_locks(story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_LOCKS", 1)
    with unchanged(story.world.engine):
        assert code(story.world.post(f"{story.path}/locks", story.alice)) == (413, "too_large")


def test_an_older_lock_is_retired_once_and_the_same_receipt_comes_again(story: KeyServiceStory) -> None:
    accept(story.world.post(f"{story.path}/locks", story.alice))
    first = accept(story.world.post(f"{story.path}/locks/1/retirement", story.alice))
    with unchanged(story.world.engine):
        assert accept(story.world.post(f"{story.path}/locks/1/retirement", story.alice)) == first
    receipt = Signed.parse(first["receipts"][0], Receipt)
    receipt.verify(story.world.own.keyservice.log_key.public_key)


def test_the_newest_lock_is_not_retired(story: KeyServiceStory) -> None:
    with unchanged(story.world.engine):
        assert code(story.world.post(f"{story.path}/locks/1/retirement", story.alice)) == (409, "conflict")
        assert code(story.world.post(f"{story.path}/locks/2/retirement", story.alice)) == (404, "refused")


def test_nobody_but_the_patient_retires_a_lock(story: KeyServiceStory) -> None:
    accept(story.world.post(f"{story.path}/locks", story.alice))
    with unchanged(story.world.engine):
        assert code(story.world.post(f"{story.path}/locks/1/retirement", story.bob)) == (404, "refused")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("version", ["0", "-1", "x", "1.0", "01", "1e0", "1_0", "10001", "9999999999999999999"])
def test_a_version_is_a_number_in_its_range(story: KeyServiceStory, version: str) -> None:
    with unchanged(story.world.engine):
        answer = story.world.post(f"{story.path}/locks/{version}/retirement", story.alice)
    assert code(answer) == (400, "bad_request")
