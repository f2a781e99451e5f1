"""Statements about people: who may make them, in which order, and what a removal takes with it."""

import pytest
from sqlalchemy import event

from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.limits import ADMISSION_WINDOW_SECONDS, CLOCK_SKEW_SECONDS
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Device, Identity, Removal, Role, Signed
from carnet_server.errors import BadRequestError, ConflictError, InvalidStatementError, RefusalError, TooLargeError
from carnet_server.events.queries import load_page
from carnet_server.grants import find_grant
from carnet_server.people import decide
from carnet_server.people.queries import find_device, find_key, find_person, load_bundle, load_devices
from carnet_server.principals import PrincipalKind
from tests.support.nouns import Story, World, principal_of
from tests.support.people import DAY, NOW, Dice, OwnPerson, make_person
from tests.support.records import update_of
from tests.support.tables import count_rows, unchanged


@pytest.fixture
def alice(world: World) -> OwnPerson:
    made = make_person(Dice("alice"), Role.PATIENT)
    world.accept_people(made)
    return made


def refuse(world: World, error: type[RefusalError], *texts: str, at: int | None = None) -> str:
    """The reason of the refusal, which changes nothing."""
    with unchanged(world.engine), pytest.raises(error) as caught:
        world.accept_people_statements(texts, at=at)
    assert type(caught.value) is error
    return caught.value.reason


def resigned(signed: Signed[Identity] | Signed[Device] | Signed[Removal], person: OwnPerson, **members: object) -> str:
    """`signed` with other members, signed by the root key of `person`."""
    body = type(signed.body).model_validate({**signed.body.model_dump(), **members})
    return Signed.sign(body, person.root).text


# Identity


def test_a_person_is_known_by_all_they_brought(world: World, alice: OwnPerson) -> None:
    with world.moment() as moment:
        person = find_person(moment.connection, alice.identity)
        bundle = load_bundle(moment.connection, alice.identity)
    assert person is not None
    assert (person.role, person.serial, person.current) == (Role.PATIENT, 0, alice.current.hash)
    assert bundle.identities == (alice.current.text,)
    assert bundle.devices == (alice.device.statement.text,)
    assert bundle.removals == ()


def test_the_same_statements_again_are_answered_with_the_same_events(world: World, alice: OwnPerson) -> None:
    first = world.accept_people_statements(alice.statements())
    with unchanged(world.engine):
        assert world.accept_people_statements(alice.statements(), at=NOW + 400 * DAY) == first


def test_a_founding_statement_signed_by_another_key_is_refused(world: World) -> None:
    alice, mallory = make_person(Dice(1), Role.PATIENT), make_person(Dice(2), Role.PATIENT)
    forged = Signed.sign(alice.current.body, mallory.root).text
    assert refuse(world, InvalidStatementError, forged) == "signature"


def test_a_root_key_that_stands_with_another_person_already_founds_one_all_the_same(
    world: World, alice: OwnPerson
) -> None:
    bob = make_person(Dice("bob"), Role.PRACTITIONER)
    world.accept_people_statements([resigned(alice.renew(), alice, root_key=bob.root.public_key)])
    world.accept_people(bob)
    with world.moment() as moment:
        found = [find_person(moment.connection, person.identity) for person in (alice, bob)]
    assert [person is not None and person.root_key for person in found] == [bob.root.public_key] * 2


def test_renewed_keys_are_the_current_ones_and_the_chain_stays(world: World, alice: OwnPerson) -> None:
    renewed = alice.renew(new_root=True)
    world.accept_people_statements([renewed.text])
    with world.moment() as moment:
        person = find_person(moment.connection, alice.identity)
        bundle = load_bundle(moment.connection, alice.identity)
    assert person is not None
    assert (person.serial, person.current, person.root_key) == (1, renewed.hash, alice.root.public_key)
    assert bundle.identities == tuple(signed.text for signed in alice.chain)


def test_two_renewals_of_the_same_statement_leave_the_first(world: World, alice: OwnPerson) -> None:
    renewed = alice.renew()
    world.accept_people_statements([renewed.text])
    rival = resigned(renewed, alice, issued_at=NOW + 1)
    assert refuse(world, ConflictError, rival) == "identity_not_newest"


def test_a_renewal_that_skips_one_is_refused(world: World, alice: OwnPerson) -> None:
    alice.renew()
    assert refuse(world, ConflictError, alice.renew().text) == "identity_not_newest"


def test_a_renewal_signed_by_its_own_new_root_key_is_refused(world: World, alice: OwnPerson) -> None:
    renewed = alice.renew(new_root=True)
    assert refuse(world, InvalidStatementError, Signed.sign(renewed.body, alice.root).text) == "signature"


def test_a_renewal_cannot_change_the_role(world: World, alice: OwnPerson) -> None:
    renewed = alice.renew()
    other = resigned(renewed, alice, role=Role.PRACTITIONER)
    assert refuse(world, InvalidStatementError, other) == "role_changed"


def test_a_rival_that_the_root_key_before_signed_is_told_that_it_comes_too_late(world: World, alice: OwnPerson) -> None:
    before = alice.root
    renewed = alice.renew(new_root=True)
    world.accept_people_statements([renewed.text])
    rival = Signed.sign(renewed.body.model_copy(update={"issued_at": NOW + 1}), before).text
    assert refuse(world, ConflictError, rival) == "identity_not_newest"


def test_a_renewal_to_the_root_key_of_another_person_takes_nothing_of_theirs(world: World, alice: OwnPerson) -> None:
    bob = make_person(Dice("bob"), Role.PRACTITIONER)
    world.accept_people(bob)
    world.accept_people_statements([resigned(alice.renew(), alice, root_key=bob.root.public_key)])
    device = alice.enrol(by=bob.device)
    assert refuse(world, InvalidStatementError, device.statement.text) == "device_unknown"
    world.accept_people_statements([bob.renew(new_root=True).text, bob.enrol().statement.text])


def test_a_root_key_signs_no_request_where_nobody_recovers(world: World, alice: OwnPerson) -> None:
    with world.moment() as moment:
        assert find_key(moment.connection, KeyId(alice.root.public_key.fingerprint().raw)) is None


@pytest.mark.parametrize("known", [True, False])
def test_each_statement_costs_one_check_of_a_signature(
    world: World, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    alice = make_person(Dice(1), Role.PATIENT)
    if known:
        world.accept_people_statements([alice.current.text])
    texts = [alice.enrol(by=alice.device).statement.text, alice.renew(new_root=True).text]
    texts = [*alice.statements()[:1], alice.device.statement.text, *texts, alice.enrol().statement.text]
    checked: list[str] = []
    verify = Signed.verify

    def count(signed: Signed[Identity], key: Ed25519PublicKey) -> None:
        checked.append(signed.text)
        verify(signed, key)

    monkeypatch.setattr(Signed, "verify", count)
    world.accept_people_statements(texts)
    assert checked == (texts[1:] if known else texts)


def test_a_statement_of_an_unknown_person_is_refused(world: World) -> None:
    alice = make_person(Dice(1), Role.PATIENT)
    assert refuse(world, InvalidStatementError, alice.device.statement.text) == "person_unknown"
    assert refuse(world, InvalidStatementError, alice.renew().text) == "person_unknown"


def test_statements_of_two_people_in_one_request_are_refused(world: World) -> None:
    alice, bob = make_person(Dice(1), Role.PATIENT), make_person(Dice(2), Role.PATIENT)
    assert refuse(world, BadRequestError, alice.current.text, bob.current.text) == "several_people"


def test_one_bad_statement_keeps_out_all_of_the_request(world: World) -> None:
    alice = make_person(Dice(1), Role.PATIENT)
    bad = resigned(alice.device.statement, make_person(Dice(2), Role.PATIENT))
    assert refuse(world, InvalidStatementError, alice.current.text, bad) == "signature"


@pytest.mark.parametrize(
    ("issued_at", "accepted"), [(NOW + CLOCK_SKEW_SECONDS, True), (NOW + CLOCK_SKEW_SECONDS + 1, False)]
)
def test_a_statement_from_the_future_is_refused(world: World, issued_at: int, accepted: bool) -> None:
    alice = make_person(Dice(1), Role.PATIENT, at=issued_at)
    if accepted:
        world.accept_people_statements([alice.current.text])
    else:
        assert refuse(world, InvalidStatementError, alice.current.text) == "issued_in_the_future"


def test_what_the_root_key_signs_may_be_old(world: World) -> None:
    world.accept_people(make_person(Dice(1), Role.PATIENT, at=NOW - 20 * 365 * DAY))


def test_a_person_has_at_most_so_many_identity_statements(
    world: World, alice: OwnPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "MAX_IDENTITIES", 2)
    world.accept_people_statements([alice.renew().text])
    assert refuse(world, TooLargeError, alice.renew().text) == "identities"


# Devices


def test_a_device_enrols_another(world: World, alice: OwnPerson) -> None:
    phone = alice.enrol(by=alice.device)
    world.accept_people_statements([phone.statement.text])
    with world.moment() as moment:
        key = find_key(moment.connection, phone.key_id)
    assert key is not None
    assert (key.kind, key.identity, key.public_key) == (PrincipalKind.DEVICE, alice.identity, phone.signer.public_key)


def test_a_device_of_another_person_enrols_nothing(world: World, alice: OwnPerson) -> None:
    mallory = make_person(Dice("mallory"), Role.PATIENT)
    world.accept_people(mallory)
    phone = alice.enrol(by=mallory.device)
    assert refuse(world, InvalidStatementError, phone.statement.text) == "device_unknown"


def test_an_unknown_device_enrols_nothing(world: World, alice: OwnPerson) -> None:
    never_brought = alice.enrol(by=alice.device)
    phone = alice.enrol(by=never_brought)
    assert refuse(world, InvalidStatementError, phone.statement.text) == "device_unknown"


def test_a_device_signed_by_another_device_than_it_names_is_refused(world: World, alice: OwnPerson) -> None:
    phone = alice.enrol(by=alice.device)
    forged = Signed.sign(phone.statement.body, phone.signer).text
    assert refuse(world, InvalidStatementError, forged) == "signature"


def test_a_root_key_that_was_replaced_enrols_nothing(world: World, alice: OwnPerson) -> None:
    old_root = alice.root
    world.accept_people_statements([alice.renew(new_root=True).text])
    phone = alice.enrol()
    forged = Signed.sign(phone.statement.body, old_root).text
    assert refuse(world, InvalidStatementError, forged) == "signature"


def test_every_device_falls_with_the_root_key_that_is_replaced(world: World, alice: OwnPerson) -> None:
    phone = alice.enrol(by=alice.device)
    world.accept_people_statements([phone.statement.text])
    renewed, tablet = alice.renew(new_root=True), alice.enrol()
    world.accept_people_statements([renewed.text, tablet.statement.text], at=NOW + 50)
    with world.moment() as moment:
        keys = [find_key(moment.connection, device.key_id) for device in (alice.device, phone, tablet)]
        fallen = [find_device(moment.connection, device.hash) for device in (alice.device, phone, tablet)]
    assert [key is None for key in keys] == [True, True, False]
    assert [device and device.void_from for device in fallen] == [NOW + 51, NOW + 51, None]
    assert refuse(world, InvalidStatementError, alice.enrol(by=phone).statement.text) == "device_void"


def test_no_device_falls_with_a_renewal_that_keeps_the_root_key(world: World, alice: OwnPerson) -> None:
    world.accept_people_statements([alice.renew().text], at=NOW + 50)
    with world.moment() as moment:
        assert find_key(moment.connection, alice.device.key_id) is not None


@pytest.mark.parametrize("at_once", [True, False])
def test_a_root_key_that_was_replaced_does_not_come_back(world: World, alice: OwnPerson, *, at_once: bool) -> None:
    first = alice.root.public_key
    renewed = alice.renew(new_root=True)
    body = alice.renew().body.model_copy(update={"root_key": first})
    back = Signed.sign(body, alice.root).text
    if not at_once:
        world.accept_people_statements([renewed.text])
    texts = [renewed.text, back] if at_once else [back]
    assert refuse(world, InvalidStatementError, *texts) == "root_key_came_back"


@pytest.mark.parametrize(
    ("issued_at", "reason"),
    [
        (NOW - ADMISSION_WINDOW_SECONDS, None),
        (NOW - ADMISSION_WINDOW_SECONDS - 1, "issued_too_long_ago"),
        (NOW + CLOCK_SKEW_SECONDS, None),
        (NOW + CLOCK_SKEW_SECONDS + 1, "issued_in_the_future"),
    ],
)
def test_whom_a_device_enrols_it_enrolled_this_day(
    world: World, alice: OwnPerson, issued_at: int, reason: str | None
) -> None:
    phone = alice.enrol(by=alice.device, at=issued_at)
    if reason is None:
        world.accept_people_statements([phone.statement.text])
    else:
        assert refuse(world, InvalidStatementError, phone.statement.text) == reason


def test_a_person_has_at_most_so_many_devices(world: World, alice: OwnPerson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_DEVICES", 1)
    assert refuse(world, TooLargeError, alice.enrol().statement.text) == "devices"


# Removals


def test_a_removed_device_has_no_key_in_force(world: World, alice: OwnPerson) -> None:
    world.accept_people_statements([alice.remove(alice.device, since=NOW).text])
    with world.moment() as moment:
        assert find_key(moment.connection, alice.device.key_id) is None
        device = find_device(moment.connection, alice.device.hash)
    assert device is not None
    assert device.is_void


def test_a_removed_device_is_out_even_where_the_owner_says_from_a_later_time(world: World, alice: OwnPerson) -> None:
    world.accept_people_statements([alice.remove(alice.device, since=NOW + CLOCK_SKEW_SECONDS).text])
    with world.moment() as moment:
        assert find_key(moment.connection, alice.device.key_id) is None


def test_a_removal_takes_along_what_the_device_enrolled_since_and_so_on(world: World, alice: OwnPerson) -> None:
    stolen = alice.device
    before = alice.enrol(by=stolen)
    after = alice.enrol(by=stolen)
    grandchild = alice.enrol(by=after)
    of_before = alice.enrol(by=before)
    for device, at in ((before, NOW), (after, NOW + 100), (grandchild, NOW + 200), (of_before, NOW + 300)):
        world.accept_people_statements([device.statement.text], at=at)
    world.accept_people_statements([alice.remove(stolen, since=NOW + 100, at=NOW + 400).text], at=NOW + 400)
    with world.moment() as moment:
        in_force = [
            device
            for device in (stolen, before, after, grandchild, of_before)
            if find_key(moment.connection, device.key_id) is not None
        ]
    assert in_force == [before, of_before]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_removal_asks_the_database_no_more_often_however_many_devices_fall(world: World) -> None:
    asked: list[str] = []
    counts: list[int] = []
    event.listen(world.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    for length in (1, 12):
        person = make_person(Dice(length), Role.PATIENT)
        for _ in range(length - 1):
            person.enrol(by=person.devices[-1])
        world.accept_people(person)
        asked.clear()
        world.accept_people_statements([person.remove(person.device, since=NOW).text])
        counts.append(len(asked))
        with world.moment() as moment:
            devices = load_devices(moment.connection, person.identity).values()
        assert [device.is_void for device in devices] == [True] * length
    assert counts[0] == counts[1]


def test_a_second_removal_from_an_earlier_time_takes_along_more(world: World, alice: OwnPerson) -> None:
    early = alice.enrol(by=alice.device)
    world.accept_people_statements([early.statement.text])
    world.accept_people_statements([alice.remove(alice.device, since=NOW + 50).text], at=NOW + 50)
    with world.moment() as moment:
        assert find_key(moment.connection, early.key_id) is not None
    world.accept_people_statements([alice.remove(alice.device, since=NOW).text], at=NOW + 60)
    with world.moment() as moment:
        assert find_key(moment.connection, early.key_id) is None


def test_a_void_device_enrols_nothing(world: World, alice: OwnPerson) -> None:
    phone = alice.enrol(by=alice.device)
    world.accept_people_statements([alice.remove(alice.device, since=NOW).text])
    assert refuse(world, InvalidStatementError, phone.statement.text) == "device_void"


def test_a_device_cannot_sign_a_removal(world: World, alice: OwnPerson) -> None:
    phone = alice.enrol(by=alice.device)
    world.accept_people_statements([phone.statement.text])
    removal = alice.remove(alice.device, since=NOW)
    forged = Signed.sign(removal.body, phone.signer).text
    assert refuse(world, InvalidStatementError, forged) == "signature"


def test_a_removal_of_another_persons_device_is_refused(world: World, alice: OwnPerson) -> None:
    bob = make_person(Dice("bob"), Role.PRACTITIONER)
    world.accept_people(bob)
    assert refuse(world, InvalidStatementError, alice.remove(bob.device, since=NOW).text) == "device_unknown"


def test_a_removal_from_a_time_to_come_is_refused(world: World, alice: OwnPerson) -> None:
    removal = alice.remove(alice.device, since=NOW + CLOCK_SKEW_SECONDS + 1)
    assert refuse(world, InvalidStatementError, removal.text) == "issued_in_the_future"


def test_a_person_has_at_most_so_many_removals(world: World, alice: OwnPerson, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_REMOVALS", 1)
    world.accept_people_statements([alice.remove(alice.device, since=NOW).text])
    assert refuse(world, TooLargeError, alice.remove(alice.device, since=NOW - 1).text) == "removals"


def test_grants_that_a_stolen_device_made_since_are_void_and_older_ones_stand(story: Story) -> None:
    general = story.record.open_compartment()
    older = story.record.grant(story.bob, story.bobs, compartments=[general])
    newer = story.record.grant(story.mallory, story.mallorys, compartments=[general])
    alice = principal_of(story.alice)
    story.world.accept_record(alice, story.record.id, update_of(general.newest, older))
    story.world.accept_record(alice, story.record.id, update_of(newer), at=NOW + 10)
    removal = story.alice.remove(story.alice.device, since=NOW + 10, at=NOW + 20)
    story.world.accept_people_statements([removal.text], at=NOW + 20)
    with story.world.moment() as moment:
        grants = [find_grant(moment.connection, grant.hash) for grant in (older, newer)]
        page = load_page(moment.connection, story.record.id, after=-1)
    assert [grant is not None and grant.ended is not None for grant in grants] == [False, True]
    assert b'"kind":"grant.voided"' in page.events[-1].body
    assert str(newer.hash).encode() in page.events[-1].body


def test_everything_about_a_patient_is_an_event_of_the_record(world: World, alice: OwnPerson) -> None:
    with world.moment() as moment:
        kinds = [event.body for event in load_page(moment.connection, alice.record, after=-1).events]
    assert [b'"statement.identity"' in kinds[0], b'"statement.device"' in kinds[1]] == [True, True]
    assert count_rows(world.engine, "events") == 2


def test_a_practitioner_is_in_no_record(world: World) -> None:
    bob = make_person(Dice("bob"), Role.PRACTITIONER)
    world.accept_people(bob)
    assert count_rows(world.engine, "event_records") == 0
