"""Grants: what is accepted, who holds one, and to the second when."""

import pytest
from sqlalchemy import update

from carnet_protocol.ids import CompartmentId, DocumentId, Fingerprint, GrantId, RecordId, StatementHash
from carnet_protocol.limits import ADMISSION_WINDOW_SECONDS
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Grant, Permission, Role, Signed
from carnet_server.errors import ConflictError, InvalidStatementError, RefusalError, RefusedError, TooLargeError
from carnet_server.grants import Access, authorise, authorise_patient
from carnet_server.grants import decide as grant_rules
from carnet_server.grants import routes as grant_routes
from carnet_server.grants.queries import (
    holds_deposit_grant,
    holds_grant_in_force,
    holds_lasting_grant,
    load_grants,
    load_revocations,
)
from carnet_server.grants.routes import view_inbox
from carnet_server.principals import Principal, PrincipalKind
from carnet_server.tables import people
from tests.support.nouns import Story, principal_of
from tests.support.people import DAY, NOW, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord, update_of
from tests.support.tables import unchanged


@pytest.fixture
def general(story: Story) -> OwnCompartment:
    made = story.record.open_compartment()
    bring(story, made.newest)
    return made


def bring(story: Story, *signed: Signed, at: int | None = None) -> None:
    """Alice brings statements about her record."""
    story.world.accept_record(principal_of(story.alice), story.record.id, update_of(*signed), at=at)


def refuse(story: Story, error: type[RefusalError], *signed: Signed, at: int | None = None) -> str:
    """The reason of the refusal, which changes nothing."""
    with unchanged(story.world.engine), pytest.raises(error) as caught:
        bring(story, *signed, at=at)
    assert type(caught.value) is error
    return caught.value.reason


def access(
    story: Story,
    person: OwnPerson,
    grant: StatementHash | None,
    *,
    at: int = NOW,
    permission: Permission | None = Permission.READ,
    record: RecordId | None = None,
) -> Access:
    """The access that `person` has."""
    with story.world.moment(at) as moment:
        return authorise(
            moment.connection,
            principal_of(person),
            record or story.record.id,
            grant,
            permission=permission,
            pinned=moment.deployment.pinned,
            now=at,
        )


def is_in(story: Story, person: OwnPerson, grant: Signed[Grant], *, at: int = NOW) -> bool:
    """Whether `grant` lets `person` read."""
    try:
        access(story, person, grant.hash, at=at)
    except RefusedError:
        return False
    return True


def changed(grant: Signed[Grant], story: Story, **members: object) -> Signed[Grant]:
    """`grant` with other members, signed by Alice's device."""
    body = Grant.model_validate({**grant.body.model_dump(), **members})
    return Signed.sign(body, story.alice.device.signer)


# Acceptance


def test_a_grant_covers_what_it_names_and_nothing_else(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    found = access(story, story.bob, grant.hash)
    assert found.covers_compartment(general.id)
    assert not found.covers_compartment(CompartmentId(bytes(16)))
    assert not found.covers_document(DocumentId(bytes(32)))
    assert not found.is_patient


def test_a_single_document_grant_covers_its_documents_and_no_compartment(story: Story, general: OwnCompartment) -> None:
    document = DocumentId(story.dice(32))
    grant = story.record.grant(story.bob, story.bobs, documents=[document])
    bring(story, grant)
    found = access(story, story.bob, grant.hash)
    assert found.covers_document(document)
    assert not found.covers_document(DocumentId(bytes(32)))
    assert not found.covers_compartment(general.id)


@pytest.mark.parametrize("server", ["vault", "keyservice"])
def test_a_grant_for_other_servers_is_refused(story: Story, general: OwnCompartment, server: str) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    other = changed(grant, story, **{server: Fingerprint(bytes(32))})
    assert refuse(story, InvalidStatementError, other) == "other_servers"


def test_an_expired_grant_is_refused_and_one_to_come_is_taken(story: Story, general: OwnCompartment) -> None:
    over = story.record.grant(story.bob, story.bobs, compartments=[general], expires=NOW)
    assert refuse(story, InvalidStatementError, over) == "grant_expired"
    bring(story, story.record.grant(story.bob, story.bobs, compartments=[general], not_before=NOW + 5, expires=NOW + 9))


def test_a_grant_to_a_patient_or_a_stranger_is_refused(story: Story, general: OwnCompartment) -> None:
    stranger = make_person(story.dice, Role.PRACTITIONER)
    grant = story.record.grant(stranger, story.bobs, compartments=[general])
    assert refuse(story, InvalidStatementError, grant) == "grantee_unknown"
    other_patient = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(other_patient)
    grant = story.record.grant(other_patient, story.bobs, compartments=[general])
    assert refuse(story, InvalidStatementError, grant) == "grantee_unknown"


def test_a_grant_to_keys_that_the_grantee_has_replaced_is_refused(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    story.world.accept_people_statements([story.bob.renew().text])
    assert refuse(story, InvalidStatementError, grant) == "grantee_has_newer_keys"


def test_a_grant_on_the_word_of_another_practitioners_attestation_is_refused(
    story: Story, general: OwnCompartment
) -> None:
    grant = story.record.grant(story.bob, story.mallorys, compartments=[general])
    assert refuse(story, InvalidStatementError, grant) == "grantee_not_attested"


def test_a_grant_on_a_revoked_attestation_is_refused(story: Story, general: OwnCompartment) -> None:
    story.world.accept_directory(story.world.own.registrar.publish_list(story.bobs))
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    assert refuse(story, InvalidStatementError, grant) == "grantee_not_attested"


def test_a_grant_of_a_compartment_that_the_record_does_not_have_is_refused(
    story: Story, general: OwnCompartment
) -> None:
    nowhere = story.record.open_compartment()
    grant = story.record.grant(story.bob, story.bobs, compartments=[general, nowhere])
    assert refuse(story, InvalidStatementError, grant) == "compartment_unknown"


def test_a_grant_of_another_records_compartment_is_refused(story: Story) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(carol)
    carols = OwnRecord(story.dice, carol, story.world.own)
    compartment = carols.open_compartment()
    story.world.accept_record(principal_of(carol), carols.id, update_of(compartment.newest))
    grant = story.record.grant(story.bob, story.bobs, compartments=[compartment])
    assert refuse(story, InvalidStatementError, grant) == "compartment_unknown"


def test_another_grant_under_the_same_id_is_refused_and_the_same_again_is_not(
    story: Story, general: OwnCompartment
) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    wider = changed(grant, story, expires=grant.body.expires + 1)
    assert refuse(story, ConflictError, wider) == "grant_id"
    with unchanged(story.world.engine):
        bring(story, grant, at=NOW + 400 * DAY)


def test_a_record_has_at_most_so_many_grants_and_those_that_were_revoked_make_room(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_rules, "MAX_GRANTS", 1)
    first = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, first)
    second = story.record.grant(story.bob, story.bobs, compartments=[general])
    assert refuse(story, TooLargeError, second) == "grants"
    bring(story, story.record.revoke(first))
    bring(story, second)


def test_grants_that_expired_make_room(story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_rules, "MAX_GRANTS", 1)
    bring(story, story.record.grant(story.bob, story.bobs, compartments=[general], expires=NOW + 60))
    second = story.record.grant(story.bob, story.bobs, compartments=[general])
    assert refuse(story, TooLargeError, second, at=NOW + 59) == "grants"
    bring(story, second, at=NOW + 60)


def test_one_grantee_gets_so_many_grants_of_a_record_and_those_that_ended_make_room(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_rules, "MAX_GRANTS_TO_ONE", 2)
    first, second, third = (story.record.grant(story.bob, story.bobs, compartments=[general]) for _ in range(3))
    bring(story, first, second)
    assert refuse(story, TooLargeError, third) == "grants_to_one"
    bring(story, story.record.grant(story.mallory, story.mallorys, compartments=[general]))
    bring(story, third, story.record.revoke(third))
    bring(story, story.record.revoke(first))
    fourth = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, fourth)
    assert (
        refuse(story, TooLargeError, story.record.grant(story.bob, story.bobs, compartments=[general]))
        == "grants_to_one"
    )
    later = story.record.grant(
        story.bob, story.bobs, compartments=[general], at=fourth.body.expires, expires=fourth.body.expires + 60
    )
    bring(story, later, at=fourth.body.expires)


def test_a_record_has_at_most_so_many_new_grants_a_day_ended_or_not(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_rules, "MAX_GRANTS_A_DAY", 1)
    first = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, first, story.record.revoke(first))
    second = story.record.grant(story.bob, story.bobs, compartments=[general], at=NOW + DAY, expires=NOW + 2 * DAY)
    assert refuse(story, TooLargeError, second, at=NOW + DAY) == "grants_of_the_day"
    bring(story, second, at=NOW + DAY + 1)


def test_grants_of_a_removed_device_leave_the_owner_the_room_of_the_day(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_rules, "MAX_GRANTS_A_DAY", 1)
    phone = story.alice.enrol(by=story.alice.device)
    story.world.accept_people_statements([phone.statement.text])
    thiefs = story.record.grant(story.mallory, story.mallorys, compartments=[general])
    thiefs = Signed.sign(
        Grant.model_validate({**thiefs.body.model_dump(), "device": phone.statement.hash}), phone.signer
    )
    bring(story, thiefs)
    own = story.record.grant(story.bob, story.bobs, compartments=[general])
    assert refuse(story, TooLargeError, own) == "grants_of_the_day"
    story.world.accept_people_statements([story.alice.remove(phone, since=NOW).text])
    bring(story, own)


def test_a_grant_that_its_own_revocation_follows_is_taken_whatever_became_of_it(
    story: Story, general: OwnCompartment
) -> None:
    phone = story.alice.enrol(by=story.alice.device)
    story.world.accept_people_statements([phone.statement.text])
    grant = story.record.grant(story.bob, story.bobs, compartments=[general], device=phone)
    story.world.accept_people_statements([story.alice.remove(phone, since=NOW).text])
    late = NOW + 200 * DAY
    assert refuse(story, InvalidStatementError, grant, at=late) == "device_void"
    bring(story, grant, story.record.revoke(grant, at=late), at=late)
    assert not is_in(story, story.bob, grant)


def test_a_grant_that_another_grants_revocation_follows_is_not_taken(story: Story, general: OwnCompartment) -> None:
    first = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, first)
    second = story.record.grant(story.bob, story.bobs, compartments=[general])
    late = NOW + 200 * DAY
    assert refuse(story, InvalidStatementError, second, story.record.revoke(first, at=late), at=late)


@pytest.mark.parametrize("forgery", ["signature", "other_servers", "grant_id", "grantee_unknown"])
def test_a_forged_grant_is_refused_also_before_its_revocation(
    story: Story, general: OwnCompartment, forgery: str
) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    match forgery:
        case "signature":
            grant = Signed.sign(grant.body, story.mallory.device.signer)
        case "other_servers":
            grant = changed(grant, story, vault=Fingerprint(bytes(32)))
        case "grant_id":
            bring(story, grant)
            grant = changed(grant, story, expires=grant.body.expires + 1)
        case _:
            grant = changed(grant, story, grantee_statement=story.mallory.current.hash)
    error = ConflictError if forgery == "grant_id" else InvalidStatementError
    assert refuse(story, error, grant, story.record.revoke(grant)) == forgery


@pytest.mark.parametrize(("age", "taken"), [(ADMISSION_WINDOW_SECONDS, True), (ADMISSION_WINDOW_SECONDS + 1, False)])
def test_a_grant_is_of_this_day(story: Story, general: OwnCompartment, age: int, taken: bool) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general], at=NOW - age)
    if taken:
        bring(story, grant)
    else:
        assert refuse(story, InvalidStatementError, grant) == "issued_too_long_ago"


def test_nobody_but_a_device_of_the_patient_signs_grants(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    forged = Signed.sign(grant.body, story.bob.device.signer)
    assert refuse(story, InvalidStatementError, forged) == "signature"
    bobs_own = story.record.grant(story.bob, story.bobs, compartments=[general], device=story.bob.device)
    assert refuse(story, InvalidStatementError, bobs_own) == "device_unknown"
    rooted = Signed.sign(grant.body, story.alice.root)
    assert refuse(story, InvalidStatementError, rooted) == "signature"


def test_a_void_device_signs_no_grant_though_another_brings_it(story: Story, general: OwnCompartment) -> None:
    phone = story.alice.enrol()
    story.world.accept_people_statements([phone.statement.text])
    grant = story.record.grant(story.bob, story.bobs, compartments=[general], device=phone)
    story.world.accept_people_statements([story.alice.remove(phone, since=NOW + 60).text])
    assert refuse(story, InvalidStatementError, grant) == "device_void"


# Who holds it, and when


def test_a_grant_is_in_force_from_its_first_to_before_its_last_second(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general], not_before=NOW + 10, expires=NOW + 20)
    bring(story, grant)
    seconds = [NOW + 9, NOW + 10, NOW + 19, NOW + 20, NOW + 21]
    assert [is_in(story, story.bob, grant, at=at) for at in seconds] == [False, True, True, False, False]


def test_a_revoked_grant_lets_nobody_in(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    assert is_in(story, story.bob, grant)
    bring(story, story.record.revoke(grant))
    assert not is_in(story, story.bob, grant)


def test_a_grant_is_its_grantees_alone(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    assert not is_in(story, story.mallory, grant)
    assert not is_in(story, story.alice, grant)


def test_a_grant_is_of_one_record(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    carol = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(carol)
    for record in (carol.record, RecordId(bytes(32))):
        with pytest.raises(RefusedError):
            access(story, story.bob, grant.hash, record=record)


def test_a_deposit_grant_does_not_read_and_a_read_grant_does_not_deposit(story: Story, general: OwnCompartment) -> None:
    read = story.record.grant(story.bob, story.bobs, compartments=[general])
    deposit = story.record.grant(story.bob, story.bobs, compartments=[general], permission=Permission.DEPOSIT)
    bring(story, read, deposit)
    for grant, wrong in ((read, Permission.DEPOSIT), (deposit, Permission.READ)):
        with pytest.raises(RefusedError):
            access(story, story.bob, grant.hash, permission=wrong)
        assert access(story, story.bob, grant.hash, permission=None).grant is not None


def test_a_grantee_without_a_valid_attestation_is_out(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    story.world.accept_directory(story.world.own.registrar.publish_list(story.bobs))
    assert not is_in(story, story.bob, grant)
    story.world.accept_directory(story.world.own.registrar.attest(story.bob))
    assert is_in(story, story.bob, grant)


def test_a_grantee_with_renewed_keys_is_out_until_attested_again(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    story.world.accept_people_statements([story.bob.renew().text])
    assert not is_in(story, story.bob, grant)
    story.world.accept_directory(story.world.own.registrar.attest(story.bob))
    assert is_in(story, story.bob, grant)


def test_a_successor_holds_the_grants_while_key_and_registrar_both_say_so(
    story: Story, general: OwnCompartment
) -> None:
    registrar = story.world.own.registrar
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    story.world.accept_directory(story.bob.hand_over_to(story.mallory))
    assert not is_in(story, story.mallory, grant)
    named = registrar.attest(story.mallory, succeeds=story.bob)
    story.world.accept_directory(named)
    assert is_in(story, story.mallory, grant)
    story.world.accept_directory(registrar.publish_list(named))
    assert not is_in(story, story.mallory, grant)


def test_an_attestation_that_names_a_predecessor_is_not_enough_without_the_old_key(
    story: Story, general: OwnCompartment
) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    story.world.accept_directory(story.world.own.registrar.attest(story.mallory, succeeds=story.bob))
    assert not is_in(story, story.mallory, grant)


def test_the_patient_needs_no_grant_and_nobody_else_goes_without(story: Story) -> None:
    assert access(story, story.alice, None).is_patient
    with pytest.raises(RefusedError):
        access(story, story.bob, None)


@pytest.mark.parametrize("kind", [PrincipalKind.ROOT, PrincipalKind.OFFICER])
def test_root_keys_and_officers_have_no_access(story: Story, kind: PrincipalKind) -> None:
    identity = None if kind is PrincipalKind.OFFICER else story.alice.identity
    principal = Principal(KeyId(bytes(32)), kind, identity)
    with story.world.moment() as moment, pytest.raises(RefusedError):
        authorise_patient(moment.connection, principal, story.record.id)
    with story.world.moment() as moment, pytest.raises(RefusedError):
        authorise(
            moment.connection,
            principal,
            story.record.id,
            StatementHash(bytes(32)),
            permission=None,
            pinned=moment.deployment.pinned,
            now=NOW,
        )


# Revocations


def test_a_revocation_of_another_records_grant_is_refused(story: Story) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(carol)
    carols = OwnRecord(story.dice, carol, story.world.own)
    compartment = carols.open_compartment()
    grant = carols.grant(story.bob, story.bobs, compartments=[compartment])
    story.world.accept_record(principal_of(carol), carols.id, update_of(compartment.newest, grant))
    assert refuse(story, InvalidStatementError, story.record.revoke(grant)) == "grant_unknown"


def test_a_revocation_names_hash_and_id_of_one_grant(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    body = story.record.revoke(grant).body.model_copy(update={"grant_id": GrantId(bytes(16))})
    assert refuse(story, InvalidStatementError, Signed.sign(body, story.alice.device.signer)) == "grant_unknown"


def test_two_revocations_of_one_grant_are_both_kept_and_the_first_ended_it(
    story: Story, general: OwnCompartment
) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    first, second = story.record.revoke(grant), story.record.revoke(grant, at=NOW + 1)
    bring(story, first)
    bring(story, second)
    with story.world.moment() as moment:
        assert load_revocations(moment.connection, story.record.id) == (first.text, second.text)
        assert load_grants(moment.connection, story.record.id) == (grant.text,)


def test_an_expired_grant_can_still_be_revoked(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, grant)
    bring(story, story.record.revoke(grant, at=NOW + DAY), at=NOW + DAY)


# Inbox, and who may see a patient


def test_the_inbox_holds_grants_that_have_not_ended_begun_or_not(story: Story, general: OwnCompartment) -> None:
    running = story.record.grant(story.bob, story.bobs, compartments=[general])
    coming = story.record.grant(story.bob, story.bobs, compartments=[general], not_before=NOW + 50, expires=NOW + 99)
    revoked = story.record.grant(story.bob, story.bobs, compartments=[general])
    to_mallory = story.record.grant(story.mallory, story.mallorys, compartments=[general])
    bring(story, running, coming, revoked, to_mallory, story.record.revoke(revoked))
    with story.world.moment() as moment:
        pinned = moment.deployment.pinned
        inbox = view_inbox(moment.connection, story.bob.identity, after=None, pinned=pinned, now=NOW)
        later = view_inbox(moment.connection, story.bob.identity, after=None, pinned=pinned, now=NOW + 99)
    assert {entry.grant for entry in inbox.entries} == {running.text, coming.text}
    assert {entry.grant for entry in later.entries} == {running.text}
    assert [bundle.identities for bundle in inbox.patients] == [(story.alice.current.text,)]


def test_the_inbox_is_read_page_by_page_with_each_patient_once_a_page(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grant_routes, "INBOX_PAGE", 4)
    grants = [story.record.grant(story.bob, story.bobs, compartments=[general]) for _ in range(7)]
    bring(story, *grants)
    seen: list[str] = []
    after, sizes = None, []
    with story.world.moment() as moment:
        while True:
            page = view_inbox(
                moment.connection, story.bob.identity, after=after, pinned=moment.deployment.pinned, now=NOW
            )
            assert [bundle.identities for bundle in page.patients] == [(story.alice.current.text,)]
            assert {entry.patient for entry in page.entries} == {0}
            seen += [entry.grant for entry in page.entries]
            sizes.append(len(page.entries))
            if page.next is None:
                break
            after = StatementHash.parse(page.next)
    assert sizes == [4, 3]
    assert seen == [grant.text for grant in sorted(grants, key=lambda grant: grant.hash)]


def test_the_inbox_says_whose_each_grant_is(story: Story, general: OwnCompartment) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(carol)
    other = OwnRecord(story.dice, carol, story.world.own)
    compartment = other.open_compartment()
    grants = [story.record.grant(story.bob, story.bobs, compartments=[general]) for _ in range(3)]
    theirs = other.grant(story.bob, story.bobs, compartments=[compartment])
    bring(story, *grants)
    story.world.accept_record(principal_of(carol), other.id, update_of(compartment.newest, theirs))
    with story.world.moment() as moment:
        pinned = moment.deployment.pinned
        inbox = view_inbox(moment.connection, story.bob.identity, after=None, pinned=pinned, now=NOW)
    shown = {entry.grant: inbox.patients[entry.patient].identities for entry in inbox.entries}
    assert shown == {grant.text: (story.alice.current.text,) for grant in grants} | {theirs.text: (carol.current.text,)}
    assert len(inbox.patients) == 2


@pytest.mark.parametrize("permission", Permission)
def test_who_holds_a_grant_is_asked_in_three_ways(
    story: Story, general: OwnCompartment, permission: Permission
) -> None:
    coming = story.record.grant(
        story.bob, story.bobs, compartments=[general], permission=permission, not_before=NOW + 50, expires=NOW + 99
    )
    bring(story, coming)
    deposits = permission is Permission.DEPOSIT
    answers = []
    for at in (NOW, NOW + 50, NOW + 99):
        with story.world.moment(at) as moment:
            bob, pinned = story.bob.identity, moment.deployment.pinned
            answers.append(
                (
                    holds_lasting_grant(moment.connection, bob, story.record.id, pinned=pinned, now=at),
                    holds_grant_in_force(moment.connection, bob, story.record.id, pinned=pinned, now=at),
                    holds_deposit_grant(moment.connection, bob, story.record.id, pinned=pinned, now=at),
                )
            )
    assert answers == [(True, False, False), (True, True, deposits), (False, False, False)]
    with story.world.moment(NOW + 50) as moment:
        assert not holds_deposit_grant(
            moment.connection,
            story.mallory.identity,
            story.record.id,
            pinned=moment.deployment.pinned,
            now=NOW + 50,
        )


def test_a_holder_without_attestation_holds_nothing(story: Story, general: OwnCompartment) -> None:
    bring(story, story.record.grant(story.bob, story.bobs, compartments=[general]))
    with story.world.moment() as moment:
        moment.connection.execute(
            update(people).where(people.c.identity == story.bob.identity).values(current=story.mallory.current.hash)
        )
        pinned = moment.deployment.pinned
        for holds in (holds_lasting_grant, holds_grant_in_force, holds_deposit_grant):
            assert not holds(moment.connection, story.bob.identity, story.record.id, pinned=pinned, now=NOW)
        assert view_inbox(moment.connection, story.bob.identity, after=None, pinned=pinned, now=NOW).entries == ()
