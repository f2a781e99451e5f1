"""Sealed compartment keys: staged, read back, published; for readers of the scope alone; never the only copy lost."""

import pytest
from sqlalchemy import select

from carnet_keyservice.sealed_keys import decide
from carnet_keyservice.tables import sealed_keys
from carnet_protocol.api import AccessView, CapsuleSwap, RecordUpdate, SealedKey
from carnet_protocol.ids import StatementHash
from carnet_protocol.sealed_box import BoxKind, format_header
from carnet_protocol.statements import Grant, Role, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole, sealed_compartment_key_info
from tests.support.hpke import open_box
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import NOW, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord, update_of
from tests.support.tables import unchanged

pytestmark = pytest.mark.parametrize(
    "suites", [(Suite(1), Suite(1)), (Suite(2), Suite(2)), (Suite(1), Suite(2))], ids=["1", "2", "2 over 1"]
)


def view(story: KeyServiceStory, person: OwnPerson, grant: Signed[Grant] | None) -> AccessView:
    """What `person` is shown."""
    answer = story.world.get(f"{story.path}/access", person, grant=None if grant is None else grant.hash)
    return AccessView.model_validate(accept(answer))


def own_copies(story: KeyServiceStory, compartment: OwnCompartment) -> list[SealedKey]:
    """The own copies of the newest epoch that Alice reads back."""
    answer = story.world.get(f"{story.path}/sealed-keys", story.alice, statement=compartment.newest.hash)
    return [SealedKey.model_validate(key) for key in accept(answer)["sealed_keys"]]


def refuse(story: KeyServiceStory, *keys: SealedKey, by: OwnPerson | None = None) -> tuple[int, str]:
    """Status and code of the refusal of `keys`, which changes nothing."""
    with unchanged(story.world.engine):
        answer = story.world.post_statements(story.own, update_of(sealed_keys=keys), by=by)
    return code(answer)


def bring(story: KeyServiceStory, *keys: SealedKey, by: OwnPerson | None = None) -> None:
    """Bring `keys`, which are accepted."""
    accept(story.world.post_statements(story.own, update_of(sealed_keys=keys), by=by))


def opens(key: SealedKey, reader: OwnPerson, compartment: OwnCompartment) -> bool:
    """Whether `reader` opens `key` with the newest account key and finds the key of `compartment`."""
    info = sealed_compartment_key_info(
        reader.account_key.suite,
        compartment_statement=key.compartment_statement,
        grant=key.grant,
        reader_statement=key.reader_statement,
    )
    return open_box(reader.account_key.seed, info, key.sealed) == compartment.key.seed


# The way of an epoch


def test_a_key_is_staged_read_back_and_published(story: KeyServiceStory) -> None:
    epoch = story.own.next_epoch(story.general)
    staged = story.own.sealed_key(story.general)
    bring(story, staged)
    (read_back,) = own_copies(story, story.general)
    assert read_back == staged
    assert opens(read_back, story.alice, story.general)
    bring(story, story.own.sealed_key(story.general, grant=story.grant, reader=story.bob))
    accept(story.world.post_statements(story.own, update_of(epoch)))
    assert [key.compartment_statement for key in view(story, story.bob, story.grant).sealed_keys].count(epoch.hash) == 1


def test_an_epoch_without_the_patients_own_copy_is_not_published(story: KeyServiceStory) -> None:
    epoch = story.own.next_epoch(story.general)
    for_bob = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    with unchanged(story.world.engine):
        answer = story.world.post_statements(story.own, update_of(epoch, sealed_keys=[for_bob]))
    assert code(answer) == (409, "stale")


def test_an_own_copy_for_keys_that_the_patient_has_replaced_is_stale(story: KeyServiceStory) -> None:
    epoch = story.own.next_epoch(story.general)
    bring(story, story.own.sealed_key(story.general))
    accept(story.world.post_people(story.alice.renew().text))
    with unchanged(story.world.engine):
        assert code(story.world.post_statements(story.own, update_of(epoch))) == (409, "stale")
    accept(story.world.post_statements(story.own, update_of(epoch, sealed_keys=[story.own.sealed_key(story.general)])))
    assert len(own_copies(story, story.general)) == 2


def test_a_staged_copy_for_a_grant_that_does_not_cover_the_compartment_stops_the_epoch(story: KeyServiceStory) -> None:
    epoch = story.own.next_epoch(story.private)
    wrong = story.own.sealed_key(story.private, grant=story.grant, reader=story.bob)
    bring(story, story.own.sealed_key(story.private), wrong)
    with unchanged(story.world.engine):
        assert code(story.world.post_statements(story.own, update_of(epoch))) == (400, "bad_request")


def test_two_devices_stage_and_publish_and_one_epoch_stands(story: KeyServiceStory) -> None:
    phone = story.alice.enrol()
    accept(story.world.post_people(phone.statement.text))
    rival = OwnCompartment(story.general.id, list(story.general.epochs), list(story.general.keys))
    by_laptop, by_phone = story.own.next_epoch(story.general), story.own.next_epoch(rival, device=phone)
    bring(story, story.own.sealed_key(story.general))
    answer = story.world.post_statements(
        story.own, update_of(by_phone, sealed_keys=[story.own.sealed_key(rival)]), by=phone
    )
    accept(answer)
    with unchanged(story.world.engine):
        assert code(story.world.post_statements(story.own, update_of(by_laptop))) == (409, "conflict")
    assert view(story, story.alice, None).compartments[-1] == by_phone.text


def test_a_closed_epoch_shows_no_key(story: KeyServiceStory) -> None:
    first = story.general.newest.hash
    epoch = story.own.next_epoch(story.general)
    keys = [
        story.own.sealed_key(story.general),
        story.own.sealed_key(story.general, grant=story.grant, reader=story.bob),
    ]
    accept(story.world.post_statements(story.own, update_of(epoch, sealed_keys=keys)))
    assert len(view(story, story.bob, story.grant).sealed_keys) == 2
    accept(story.world.post_statements(story.own, update_of(story.own.close_epoch(story.general, epoch=1))))
    shown = [*view(story, story.bob, story.grant).sealed_keys, *view(story, story.alice, None).sealed_keys]
    assert first not in {key.compartment_statement for key in shown}
    assert epoch.hash in {key.compartment_statement for key in shown}


# What is shown to whom


def test_a_reader_is_shown_the_keys_of_the_scope_and_opens_them(story: KeyServiceStory) -> None:
    shown = view(story, story.bob, story.grant)
    (key,) = shown.sealed_keys
    assert opens(key, story.bob, story.general)
    assert shown.compartments == (story.general.newest.text,)
    assert shown.lock == story.lock.text
    assert str(story.private.id) not in shown.model_dump_json()


def test_a_depositor_is_shown_no_key(story: KeyServiceStory) -> None:
    shown = view(story, story.laura, story.deposit_grant)
    assert shown.sealed_keys == ()
    assert shown.lock == story.lock.text


def test_the_patient_is_shown_own_copies_alone(story: KeyServiceStory) -> None:
    shown = view(story, story.alice, None)
    assert {key.grant for key in shown.sealed_keys} == {None}
    assert {key.compartment_statement for key in shown.sealed_keys} == {
        story.general.newest.hash,
        story.private.newest.hash,
    }


def test_nobody_but_the_patient_reads_own_copies(story: KeyServiceStory) -> None:
    answer = story.world.get(f"{story.path}/sealed-keys", story.bob, statement=story.general.newest.hash)
    assert code(answer) == (404, "refused")


def test_own_copies_of_another_record_are_not_shown(story: KeyServiceStory) -> None:
    other = KeyServiceStory.begin(story.world, "another record")
    answer = other.world.get(f"{other.path}/sealed-keys", other.alice, statement=story.general.newest.hash)
    assert accept(answer) == {"sealed_keys": []}


# What is refused


@pytest.mark.parametrize(
    "sealed",
    [
        b"",
        b"CRNT",
        format_header(BoxKind.SEALED_COMPARTMENT_KEY, Suite(1)),
        format_header(BoxKind.INNER_LOCK, Suite(1)) + bytes(1168),
        format_header(BoxKind.SEALED_COMPARTMENT_KEY, Suite(1)) + bytes(1167),
        format_header(BoxKind.SEALED_COMPARTMENT_KEY, Suite(1)) + bytes(1169),
    ],
)
def test_what_is_no_sealed_key_is_refused(story: KeyServiceStory, sealed: bytes) -> None:
    key = story.own.sealed_key(story.general).model_copy(update={"sealed": sealed})
    assert refuse(story, key) == (400, "bad_request")


def test_a_published_own_copy_is_never_overwritten(story: KeyServiceStory) -> None:
    assert refuse(story, story.own.sealed_key(story.general)) == (409, "conflict")


def test_a_staged_own_copy_may_be_made_again(story: KeyServiceStory) -> None:
    story.own.next_epoch(story.general)
    first, second = story.own.sealed_key(story.general), story.own.sealed_key(story.general)
    assert first != second
    bring(story, first)
    with unchanged(story.world.engine):
        bring(story, first)
    bring(story, second)
    assert own_copies(story, story.general) == [second]


def test_a_deposit_grant_carries_no_key(story: KeyServiceStory) -> None:
    key = story.own.sealed_key(story.general, grant=story.deposit_grant, reader=story.laura)
    assert refuse(story, key) == (400, "bad_request")


def test_a_key_outside_the_grants_scope_is_refused(story: KeyServiceStory) -> None:
    key = story.own.sealed_key(story.private, grant=story.grant, reader=story.bob)
    assert refuse(story, key) == (400, "bad_request")


def test_a_key_for_an_unknown_grant_is_refused(story: KeyServiceStory) -> None:
    key = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    assert refuse(story, key.model_copy(update={"grant": StatementHash(bytes(32))})) == (404, "refused")


def test_a_key_for_a_grant_of_another_record_is_refused(story: KeyServiceStory) -> None:
    other = KeyServiceStory.begin(story.world, "another record")
    key = story.own.sealed_key(story.general, grant=other.grant, reader=other.bob)
    assert refuse(story, key) == (404, "refused")


def test_a_key_sealed_to_somebody_else_than_the_grantee_is_stale(story: KeyServiceStory) -> None:
    key = story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)
    assert refuse(story, key) == (409, "stale")


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_key_for_a_grant_that_has_ended_is_not_kept_and_holds_up_no_epoch(story: KeyServiceStory, how: str) -> None:
    epoch = story.own.next_epoch(story.general)
    keys = [
        story.own.sealed_key(story.general),
        story.own.sealed_key(story.general, grant=story.grant, reader=story.bob),
    ]
    if how == "revoked":
        accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.grant))))
    else:
        story.world.clock.now = story.grant.body.expires
    accept(story.world.post_statements(story.own, update_of(epoch, sealed_keys=keys)))
    assert own_copies(story, story.general) == keys[:1]
    with story.world.engine.connect() as connection:
        kept = connection.execute(select(sealed_keys.c.sealed)).scalars().all()
    assert keys[1].sealed not in kept


def test_capsules_are_not_the_key_services_business(story: KeyServiceStory) -> None:
    swap = CapsuleSwap(
        capsule=story.own.capsule(story.version, KeyRole.CONTENT, story.general, story.lock), replaces=None
    )
    update = RecordUpdate(statements=(), sealed_keys=(), capsules=(swap,))
    with unchanged(story.world.engine):
        assert code(story.world.post_statements(story.own, update)) == (400, "bad_request")


def test_a_record_has_at_most_so_many_sealed_keys(story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_SEALED_KEYS", 3)
    story.own.next_epoch(story.general)
    assert refuse(story, story.own.sealed_key(story.general)) == (413, "too_large")


def count(story: KeyServiceStory) -> int:
    with story.world.engine.connect() as connection:
        return len(connection.execute(select(sealed_keys.c.sealed)).all())


def test_what_was_staged_and_never_published_goes_after_a_day(story: KeyServiceStory) -> None:
    before = count(story)
    for _ in range(3):
        story.own.next_epoch(story.private)
        bring(story, story.own.sealed_key(story.private))
    story.world.clock.now += decide.STAGED_SECONDS - 1
    story.own.next_epoch(story.private)
    bring(story, story.own.sealed_key(story.private))
    assert count(story) == before + 4
    story.world.clock.now += 1
    story.own.next_epoch(story.private)
    bring(story, story.own.sealed_key(story.private))
    assert count(story) == before + 2


def test_what_was_published_stays_however_old_it_is(story: KeyServiceStory) -> None:
    before = view(story, story.alice, None).sealed_keys
    story.world.clock.now += 10 * decide.STAGED_SECONDS
    story.own.next_epoch(story.private)
    bring(story, story.own.sealed_key(story.private))
    assert view(story, story.alice, None).sealed_keys == before


def test_what_a_thief_staged_goes_with_the_thiefs_device(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "MAX_STAGED_KEYS", 2)
    phone = story.alice.enrol()
    accept(story.world.post_people(phone.statement.text))
    before = count(story)
    for _ in range(2):
        story.own.next_epoch(story.private)
        update = update_of(sealed_keys=[story.own.sealed_key(story.private)])
        accept(story.world.post_statements(story.own, update, by=phone))
    story.own.next_epoch(story.general)
    own = story.own.sealed_key(story.general)
    assert refuse(story, own) == (413, "too_large")
    accept(story.world.post_people(story.alice.remove(phone, since=NOW).text))
    bring(story, own)
    assert count(story) == before + 1


@pytest.mark.parametrize("how", ["revoked", "voided"])
def test_the_copies_under_a_grant_go_with_it_and_own_copies_stay(story: KeyServiceStory, how: str) -> None:
    phone = story.alice.enrol()
    accept(story.world.post_people(phone.statement.text))
    grant = story.own.grant(story.mallory, story.attestations["mallory"], compartments=[story.general], device=phone)
    key = story.own.sealed_key(story.general, grant=grant, reader=story.mallory)
    before = count(story)
    accept(story.world.post_statements(story.own, update_of(grant, sealed_keys=[key]), by=phone))
    assert count(story) == before + 1
    if how == "revoked":
        accept(story.world.post_statements(story.own, update_of(story.own.revoke(grant))))
    else:
        accept(story.world.post_people(story.alice.remove(phone, since=NOW).text))
    assert count(story) == before
    assert len(view(story, story.bob, story.grant).sealed_keys) == 1


# Readers with new keys


def test_the_patient_seals_to_a_grantees_newer_keys(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.bob.renew().text))
    accept(story.world.post_directory(story.world.own.registrar.attest(story.bob)))
    bring(story, story.own.sealed_key(story.general, grant=story.grant, reader=story.bob))
    assert len(view(story, story.bob, story.grant).sealed_keys) == 2


def test_the_patient_seals_to_a_successor_while_a_registrar_attests_that(story: KeyServiceStory) -> None:
    story.own.next_epoch(story.general)
    bring(story, story.own.sealed_key(story.general))
    to_mallory = story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)
    assert refuse(story, to_mallory) == (409, "stale")
    accept(story.world.post_directory(story.bob.hand_over_to(story.mallory)))
    assert refuse(story, to_mallory) == (409, "stale")
    attestation = story.world.own.registrar.attest(story.mallory, succeeds=story.bob)
    accept(story.world.post_directory(attestation))
    to_bob = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    bring(story, to_mallory, to_bob)
    accept(story.world.post_statements(story.own, update_of(story.general.newest)))
    shown = view(story, story.mallory, story.grant).sealed_keys
    assert {key.reader_statement for key in shown} >= {story.mallory.current.hash, story.bob.current.hash}
    accept(story.world.post_directory(story.world.own.registrar.publish_list(attestation)))
    assert refuse(story, story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)) == (409, "stale")


def test_an_attestation_alone_makes_no_successor(story: KeyServiceStory) -> None:
    story.own.next_epoch(story.general)
    bring(story, story.own.sealed_key(story.general))
    accept(story.world.post_directory(story.world.own.registrar.attest(story.mallory, succeeds=story.bob)))
    assert refuse(story, story.own.sealed_key(story.general, grant=story.grant, reader=story.mallory)) == (409, "stale")


def test_nobody_but_the_patient_brings_sealed_keys_with_statements(story: KeyServiceStory) -> None:
    key = story.own.sealed_key(story.general, grant=story.grant, reader=story.bob)
    assert refuse(story, key, by=story.bob) == (404, "refused")


def test_a_key_staged_by_one_patient_is_not_taken_over_by_another(story: KeyServiceStory) -> None:
    story.own.next_epoch(story.general)
    staged = story.own.sealed_key(story.general)
    bring(story, staged)
    carol = make_person(story.dice, Role.PATIENT, at=NOW)
    story.world.introduce(carol)
    carols = OwnRecord(story.dice, carol, story.world.own)
    stolen = staged.model_copy(update={"reader_statement": carol.current.hash})
    accept(story.world.post_statements(carols, update_of(sealed_keys=[stolen])))
    assert own_copies(story, story.general) == [staged]
    with unchanged(story.world.engine):
        assert code(story.world.post_statements(carols, update_of(sealed_keys=[staged]))) == (409, "stale")
