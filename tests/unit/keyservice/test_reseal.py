"""Practitioners seal their patients' keys anew: write, read back, then the older copies go; each grant by itself."""

from collections.abc import Sequence

import pytest
from sqlalchemy import func, select

from carnet_keyservice.sealed_keys import decide, reseal
from carnet_keyservice.tables import sealed_keys
from carnet_protocol.api import (
    AccessesPage,
    AccessView,
    OpenedKey,
    OpenedKeys,
    ResealedKeys,
    SealedKey,
    SealedKeysPage,
    StandingKeys,
)
from carnet_protocol.ids import Sha256Digest, StatementHash
from carnet_protocol.statements import Grant, Role, Signed
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import DAY, NOW, OwnPerson, make_person
from tests.support.records import OwnRecord, update_of
from tests.support.tables import unchanged

PATH = "/v1/inbox/sealed-keys"


@pytest.fixture
def renewed(story: KeyServiceStory) -> KeyServiceStory:
    """Bob has a new account key, attested; his keys are sealed to the one before."""
    accept(story.world.post_people(story.bob.renew().text))
    accept(story.world.post_directory(story.world.own.registrar.attest(story.bob)))
    return story


def reseal_key(story: KeyServiceStory, grant: Signed[Grant] | None = None) -> SealedKey:
    return story.own.sealed_key(story.general, grant=grant or story.grant, reader=story.bob)


def bring(story: KeyServiceStory, *keys: SealedKey, by: OwnPerson | None = None) -> tuple[bool, ...]:
    answer = story.world.post(PATH, by or story.bob, ResealedKeys(sealed_keys=keys))
    return StandingKeys.model_validate(accept(answer)).standing


def opened(key: SealedKey, **members: object) -> OpenedKey:
    assert key.grant is not None
    whole = {
        "compartment_statement": key.compartment_statement,
        "grant": key.grant,
        "digest": Sha256Digest.of(key.sealed),
        **members,
    }
    return OpenedKey.model_validate(whole)


def settle(story: KeyServiceStory, *keys: OpenedKey, by: OwnPerson | None = None) -> tuple[bool, ...]:
    answer = story.world.post(f"{PATH}/opened", by or story.bob, OpenedKeys(keys=keys))
    return StandingKeys.model_validate(accept(answer)).standing


def read_back(story: KeyServiceStory, by: OwnPerson | None = None) -> tuple[SealedKey, ...]:
    page = SealedKeysPage.model_validate(accept(story.world.get(PATH, by or story.bob)))
    assert page.next is None
    return page.sealed_keys


def standing(story: KeyServiceStory, person: OwnPerson | None = None) -> Sequence[SealedKey]:
    answer = story.world.get(f"{story.path}/access", person or story.bob, grant=story.grant.hash)
    return AccessView.model_validate(accept(answer)).sealed_keys


def readers(story: KeyServiceStory, person: OwnPerson | None = None) -> list[StatementHash]:
    return sorted(key.reader_statement for key in standing(story, person))


def count(story: KeyServiceStory) -> int:
    with story.world.engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(sealed_keys)).scalar_one()


def test_the_new_copy_stands_beside_the_old_one_until_it_was_read_back(renewed: KeyServiceStory) -> None:
    (old,) = standing(renewed)
    new = reseal_key(renewed)
    assert bring(renewed, new) == (True,)
    assert readers(renewed) == sorted([old.reader_statement, new.reader_statement])
    assert read_back(renewed) == (new,)
    assert settle(renewed, opened(new)) == (True,)
    assert standing(renewed) == (new,)


def test_both_steps_may_come_again(renewed: KeyServiceStory) -> None:
    new = reseal_key(renewed)
    bring(renewed, new)
    with unchanged(renewed.world.engine):
        assert bring(renewed, new) == (True,)
    settle(renewed, opened(new))
    with unchanged(renewed.world.engine):
        assert bring(renewed, new) == (True,)
        assert settle(renewed, opened(new)) == (True,)


def test_other_bytes_for_the_same_reader_take_the_place(renewed: KeyServiceStory) -> None:
    first, second = reseal_key(renewed), reseal_key(renewed)
    bring(renewed, first)
    assert bring(renewed, second) == (True,)
    assert read_back(renewed) == (second,)
    with unchanged(renewed.world.engine):
        assert settle(renewed, opened(first)) == (False,)
    assert len(standing(renewed)) == 2


@pytest.mark.parametrize("what", ["digest", "compartment_statement", "grant", "never brought"])
def test_nothing_goes_that_was_not_read_back(renewed: KeyServiceStory, what: str) -> None:
    new = reseal_key(renewed)
    if what != "never brought":
        bring(renewed, new)
    members = {} if what == "never brought" else {what: str(Sha256Digest.of(b"another"))}
    with unchanged(renewed.world.engine):
        assert settle(renewed, opened(new, **members)) == (False,)


def test_the_patients_own_copy_and_other_readers_stay(renewed: KeyServiceStory) -> None:
    before = count(renewed)
    new = reseal_key(renewed)
    bring(renewed, new)
    settle(renewed, opened(new))
    assert count(renewed) == before


def test_a_successor_takes_over_and_then_the_predecessors_copy_goes(story: KeyServiceStory) -> None:
    attestation = story.world.own.registrar.attest(story.mallory, succeeds=story.bob)
    key = story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)
    with unchanged(story.world.engine):
        assert bring(story, key, by=story.mallory) == (False,)
    accept(story.world.post_directory(story.bob.hand_over_to(story.mallory), attestation))
    assert bring(story, key, by=story.mallory) == (True,)
    assert len(standing(story)) == 2
    assert settle(story, opened(key), by=story.mallory) == (True,)
    assert standing(story, story.mallory) == (key,)


def test_a_grantee_replaces_nothing_else(story: KeyServiceStory) -> None:
    to_mallory = story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)
    to_bob = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    outside = story.own.sealed_key(story.private, grant=story.grant, reader=story.bob)
    story.own.next_epoch(story.general)
    never_there = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    alices = story.own.sealed_key(story.private)
    for key, by in (
        (to_mallory, story.mallory),
        (to_bob, story.mallory),
        (to_mallory, story.bob),
        (outside, story.bob),
        (never_there, story.bob),
        (alices, story.bob),
        (to_bob.model_copy(update={"grant": None}), story.bob),
        (to_bob.model_copy(update={"grant": StatementHash(bytes(32))}), story.bob),
    ):
        with unchanged(story.world.engine):
            assert bring(story, key, by=by) == (False,)
    with unchanged(story.world.engine):
        assert settle(story, opened(to_bob), by=story.mallory) == (False,)


def test_the_patient_is_no_grantee(story: KeyServiceStory) -> None:
    with unchanged(story.world.engine):
        assert bring(story, reseal_key(story), by=story.alice) == (False,)


@pytest.mark.parametrize("how", ["revoked", "expired", "not attested"])
def test_a_grant_that_ended_bars_no_other(renewed: KeyServiceStory, how: str) -> None:
    story = renewed
    carol = make_person(story.dice, Role.PATIENT, at=NOW)
    story.world.introduce(carol)
    record = OwnRecord(story.dice, carol, story.world.own)
    general = record.open_compartment()
    attestation = story.world.own.registrar.attest(story.bob)
    accept(story.world.post_directory(attestation))
    accept(story.world.post_statements(record, update_of(general.newest, sealed_keys=[record.sealed_key(general)])))
    other = record.grant(story.bob, attestation, compartments=[general], expires=NOW + 50 * DAY)
    key = record.sealed_key(general, grant=other, reader=story.bob)
    accept(story.world.post_statements(record, update_of(other, sealed_keys=[key])))
    ended = reseal_key(story)
    if how == "revoked":
        accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.grant))))
    elif how == "expired":
        story.world.clock.now = story.grant.body.expires
    again = record.sealed_key(general, grant=other, reader=story.bob)
    if how == "not attested":
        story.world.clock.now = NOW + 400 * DAY
        assert bring(story, ended, again) == (False, False)
        return
    assert bring(story, ended, again) == (False, True)
    assert settle(story, opened(ended), opened(again)) == (False, True)
    assert read_back(story) == (again,)


@pytest.mark.parametrize("sealed", [b"", b"x" * 100])
def test_what_is_no_sealed_key_is_refused(story: KeyServiceStory, sealed: bytes) -> None:
    key = reseal_key(story).model_copy(update={"sealed": sealed})
    with unchanged(story.world.engine):
        assert code(story.world.post(PATH, story.bob, ResealedKeys(sealed_keys=(key,)))) == (400, "bad_request")


def test_a_record_that_is_full_takes_no_more(renewed: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_SEALED_KEYS", 1)
    with unchanged(renewed.world.engine):
        assert bring(renewed, reseal_key(renewed)) == (False,)


@pytest.mark.parametrize("body", [b'{"sealed_keys":[]}', b'{"keys":[]}', b"{}"])
def test_a_request_says_something(story: KeyServiceStory, body: bytes) -> None:
    for path in (PATH, f"{PATH}/opened"):
        with unchanged(story.world.engine):
            assert code(story.world.send("POST", path, by=story.bob, body=body)) == (400, "bad_request")


def accesses(story: KeyServiceStory, by: OwnPerson | None = None) -> list[AccessView]:
    found: list[AccessView] = []
    after: str | None = None
    while True:
        page = AccessesPage.model_validate(accept(story.world.get("/v1/inbox/access", by or story.bob, after=after)))
        found += page.accesses
        if page.next is None:
            return found
        after = page.next


def test_the_accesses_are_what_each_record_shows_without_its_lock(story: KeyServiceStory) -> None:
    answer = story.world.get(f"{story.path}/access", story.bob, grant=story.grant.hash)
    shown = AccessView.model_validate(accept(answer))
    assert accesses(story) == [shown.model_copy(update={"lock": None})]
    assert accesses(story, story.mallory) == accesses(story, story.alice) == []
    assert accesses(story, story.laura) == []  # who deposits needs no key


def test_pages_follow_each_other(renewed: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    story = renewed
    monkeypatch.setattr(reseal, "_GRANTS_ON_PAGE", 1)
    monkeypatch.setattr("carnet_server.records.view._PAGE_BYTES", 0)
    attestation = story.world.own.registrar.attest(story.bob)
    accept(story.world.post_directory(attestation))
    grants = [story.own.grant(story.bob, attestation, compartments=[story.general]) for _ in range(3)]
    keys = [reseal_key(story, grant) for grant in grants]
    accept(story.world.post_statements(story.own, update_of(*grants, sealed_keys=keys)))
    shown = accesses(story)
    names = sorted([story.grant.hash, *(grant.hash for grant in grants)])
    assert [view.grant for view in shown] == [
        next(grant.text for grant in (story.grant, *grants) if grant.hash == name) for name in names
    ]
    found: list[SealedKey] = []
    after: str | None = None
    for _ in range(5):
        page = SealedKeysPage.model_validate(accept(story.world.get(PATH, story.bob, after=after)))
        found += page.sealed_keys
        after = page.next
        if after is None:
            break
    assert sorted(found, key=str) == sorted(keys, key=str)
