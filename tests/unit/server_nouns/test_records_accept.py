"""Statements about a record: compartments, closings, filings, tombstones; in one go or not at all."""

import pytest

from carnet_protocol.ids import CompartmentId, DocumentId, Fingerprint, StatementHash
from carnet_protocol.statements import Grant, Permission, Role, Signed
from carnet_server.compartments import decide as compartment_rules
from carnet_server.compartments import find_newest
from carnet_server.compartments.queries import find_compartment, load_closings, load_compartments
from carnet_server.errors import (
    BadRequestError,
    ConflictError,
    InvalidStatementError,
    RefusalError,
    RefusedError,
    TooLargeError,
)
from carnet_server.events.queries import load_page
from carnet_server.grants import authorise
from carnet_server.records.queries import find_filing, find_filings, find_tombstoners, load_filings
from carnet_server.records.view import view_access
from tests.support.nouns import NoEffects, Story, principal_of
from tests.support.people import NOW, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord, update_of
from tests.support.tables import count_rows, unchanged

MANIFEST = StatementHash(bytes(32))


@pytest.fixture
def general(story: Story) -> OwnCompartment:
    made = story.record.open_compartment()
    bring(story, made.newest)
    return made


@pytest.fixture
def document(story: Story) -> DocumentId:
    return DocumentId(story.dice(32))


@pytest.fixture
def deposit_grant(story: Story, general: OwnCompartment) -> Signed[Grant]:
    """Lets Bob deposit."""
    grant = story.record.grant(story.bob, story.bobs, compartments=[general], permission=Permission.DEPOSIT)
    bring(story, grant)
    return grant


def bring(story: Story, *signed: Signed, by: OwnPerson | None = None) -> list[int]:
    """Alice, or `by`, brings statements about her record; the indices of their events."""
    principal = principal_of(by or story.alice)
    return [event.index for event in story.world.accept_record(principal, story.record.id, update_of(*signed))]


def refuse(story: Story, error: type[RefusalError], *signed: Signed, by: OwnPerson | None = None) -> str:
    """The reason of the refusal, which changes nothing."""
    with unchanged(story.world.engine), pytest.raises(error) as caught:
        bring(story, *signed, by=by)
    assert type(caught.value) is error
    return caught.value.reason


def changed(signed: Signed, story: Story, **members: object) -> Signed:
    """`signed` with other members, signed by Alice's device."""
    body = type(signed.body).model_validate({**signed.body.model_dump(), **members})
    return Signed.sign(body, story.alice.device.signer)


# The request as a whole


def test_the_same_statements_again_are_answered_with_the_same_events(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    first = bring(story, general.newest, grant)
    with unchanged(story.world.engine):
        assert bring(story, grant, general.newest) == first[::-1]


def test_each_statement_is_an_event_of_the_record_in_order(story: Story) -> None:
    general = story.record.open_compartment()
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    indices = bring(story, general.newest, grant)
    with story.world.moment() as moment:
        events = {event.index: event.body for event in load_page(moment.connection, story.record.id, after=-1).events}
    assert indices == sorted(indices)
    for index, signed in zip(indices, (general.newest, grant), strict=True):
        assert f'"kind":"statement.{signed.body.KIND}"'.encode() in events[index]
        assert str(signed.hash).encode() in events[index]
        assert str(story.alice.device.hash).encode() in events[index]


def test_one_bad_statement_keeps_out_all_of_the_request(story: Story) -> None:
    general = story.record.open_compartment()
    forged = Signed.sign(story.record.open_compartment().newest.body, story.bob.device.signer)
    assert refuse(story, InvalidStatementError, general.newest, forged) == "signature"


def test_a_statement_about_another_record_is_refused(story: Story) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.accept_people(carol)
    other = OwnRecord(story.dice, carol, story.world.own).open_compartment()
    assert refuse(story, InvalidStatementError, other.newest) == "other_record"


def test_an_empty_request_is_refused(story: Story) -> None:
    assert refuse(story, BadRequestError) == "empty_update"


def test_a_practitioner_has_no_record(story: Story) -> None:
    own = OwnRecord(story.dice, story.bob, story.world.own)
    with unchanged(story.world.engine), pytest.raises(RefusedError):
        story.world.accept_record(principal_of(story.bob), own.id, update_of(own.open_compartment().newest))


def test_nobody_changes_the_record_of_another(story: Story, general: OwnCompartment) -> None:
    grant = story.record.grant(story.mallory, story.mallorys, compartments=[general])
    assert refuse(story, RefusedError, grant, by=story.mallory) == "not_the_patient"
    assert refuse(story, RefusedError, general.newest, by=story.mallory) == "not_the_patient"


@pytest.mark.usefixtures("deposit_grant")
def test_to_outsiders_every_refusal_is_the_same(story: Story, document: DocumentId) -> None:
    own = story.record.entomb(document, MANIFEST, by=story.bob)
    forged = Signed.sign(own.body, story.mallory.device.signer)
    nobodys = OwnRecord(story.dice, make_person(story.dice, Role.PATIENT), story.world.own)
    nowhere = nobodys.entomb(document, MANIFEST, by=story.bob)
    assert refuse(story, RefusedError, forged, by=story.bob) == "signature"
    with unchanged(story.world.engine), pytest.raises(RefusedError):
        story.world.accept_record(principal_of(story.bob), nobodys.id, update_of(nowhere))
    with unchanged(story.world.engine), pytest.raises(RefusedError):
        story.world.accept_record(principal_of(story.bob), story.record.id, update_of(nowhere))
    bring(story, own, by=story.bob)
    again = story.record.entomb(document, MANIFEST, by=story.bob, at=NOW + 1)
    assert refuse(story, RefusedError, again, by=story.bob) == "tombstone_stands"


def test_effects_are_asked_once_for_each_new_statement_and_around_them(story: Story, document: DocumentId) -> None:
    effects = NoEffects()
    story.world.effects = effects
    general, private = story.record.open_compartment(), story.record.open_compartment()
    bring(story, general.newest, private.newest)
    epoch = story.record.next_epoch(general)
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(
        story,
        epoch,
        story.record.close_epoch(general, epoch=1),
        story.record.file(document, private),
        grant,
        story.record.revoke(grant),
        story.record.entomb(document, MANIFEST),
    )
    bring(story, grant)
    assert effects.asked == [
        *("begin", "compartment", "compartment", "finish"),
        *("begin", "compartment", "closing", "filing", "grant", "revocation", "tombstone", "finish"),
        *("begin", "finish"),
    ]


def test_what_effects_refuse_is_not_kept(story: Story) -> None:
    class Refusing(NoEffects):
        def finish(self, change: object) -> None:
            raise ConflictError("not_today")

    story.world.effects = Refusing()
    assert refuse(story, ConflictError, story.record.open_compartment().newest) == "not_today"


# Compartments


def test_a_compartment_begins_with_epoch_1_and_counts_on(story: Story, general: OwnCompartment) -> None:
    second = story.record.next_epoch(general)
    third = story.record.next_epoch(general)
    assert refuse(story, ConflictError, third) == "epoch_not_next"
    bring(story, second, third)
    with story.world.moment() as moment:
        newest = find_newest(moment.connection, story.record.id, general.id)
        chain = load_compartments(moment.connection, story.record.id, {general.id})
    assert newest is not None
    assert (newest.epoch, newest.hash) == (3, third.hash)
    assert chain == tuple(epoch.text for epoch in general.epochs)


def test_two_devices_never_make_two_of_the_same_epoch(story: Story, general: OwnCompartment) -> None:
    phone = story.alice.enrol()
    story.world.accept_people_statements([phone.statement.text])
    rival = OwnCompartment(general.id, list(general.epochs), list(general.keys))
    by_laptop = story.record.next_epoch(general)
    by_phone = story.record.next_epoch(rival, device=phone)
    bring(story, by_laptop)
    assert refuse(story, ConflictError, by_phone) == "epoch_not_next"


def test_a_second_first_epoch_of_a_compartment_is_refused(story: Story, general: OwnCompartment) -> None:
    again = changed(general.newest, story, issued_at=NOW + 1)
    assert refuse(story, ConflictError, again) == "epoch_not_next"


def test_an_epoch_that_does_not_name_the_one_before_is_refused(story: Story, general: OwnCompartment) -> None:
    wrong = changed(story.record.next_epoch(general), story, previous=MANIFEST)
    assert refuse(story, ConflictError, wrong) == "epoch_not_next"


def test_a_later_epoch_of_an_unknown_compartment_is_refused(story: Story, general: OwnCompartment) -> None:
    wrong = changed(story.record.next_epoch(general), story, compartment=CompartmentId(bytes(16)))
    assert refuse(story, ConflictError, wrong) == "epoch_not_next"


def test_a_compartment_for_another_key_service_is_refused(story: Story) -> None:
    wrong = changed(story.record.open_compartment().newest, story, keyservice=Fingerprint(bytes(32)))
    assert refuse(story, InvalidStatementError, wrong) == "other_key_service"


def test_a_record_has_at_most_so_many_compartments_whatever_their_epochs(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compartment_rules, "MAX_COMPARTMENTS", 1)
    assert refuse(story, TooLargeError, story.record.open_compartment().newest) == "compartments"
    bring(story, story.record.next_epoch(general))


def test_a_record_has_at_most_so_many_epochs_together(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compartment_rules, "MAX_EPOCHS", 2)
    bring(story, story.record.open_compartment().newest)
    assert refuse(story, TooLargeError, story.record.next_epoch(general)) == "epochs"


@pytest.mark.parametrize("limit", ["MAX_COMPARTMENTS", "MAX_EPOCHS"])
def test_the_removal_of_a_device_frees_what_it_used_up(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(compartment_rules, limit, 2)
    phone = story.alice.enrol(by=story.alice.device)
    story.world.accept_people_statements([phone.statement.text])
    bring(story, story.record.open_compartment(device=phone).newest)
    refuse(story, TooLargeError, story.record.open_compartment().newest)
    story.world.accept_people_statements([story.alice.remove(phone, since=NOW).text])
    bring(story, story.record.open_compartment().newest)
    refuse(story, TooLargeError, story.record.open_compartment().newest)
    assert general.newest.body.epoch == 1


def test_what_a_device_made_before_the_time_of_its_removal_counts_as_ever(
    story: Story, general: OwnCompartment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compartment_rules, "MAX_COMPARTMENTS", 2)
    phone = story.alice.enrol(by=story.alice.device)
    story.world.accept_people_statements([phone.statement.text])
    bring(story, story.record.open_compartment(device=phone).newest)
    story.world.accept_people_statements([story.alice.remove(phone, since=NOW + 1).text], at=NOW + 5)
    assert refuse(story, TooLargeError, story.record.open_compartment().newest) == "compartments"
    assert general.newest.body.epoch == 1


# Closings


def test_a_superseded_epoch_is_closed_for_good(story: Story, general: OwnCompartment) -> None:
    closing = story.record.close_epoch(general, epoch=1)
    bring(story, story.record.next_epoch(general), closing)
    with story.world.moment() as moment:
        first = find_compartment(moment.connection, general.epochs[0].hash)
        second = find_compartment(moment.connection, general.newest.hash)
        assert load_closings(moment.connection, story.record.id, None) == (closing.text,)
        assert load_closings(moment.connection, story.record.id, set()) == ()
    assert first is not None
    assert second is not None
    assert (first.is_closed, second.is_closed) == (True, False)
    again = story.record.close_epoch(general, epoch=1, at=NOW + 1)
    assert refuse(story, ConflictError, again) == "epoch_is_closed"


def test_the_newest_epoch_is_not_closed(story: Story, general: OwnCompartment) -> None:
    assert refuse(story, ConflictError, story.record.close_epoch(general, epoch=1)) == "epoch_is_newest"


@pytest.mark.parametrize(
    "members", [{"epoch": 2}, {"compartment": CompartmentId(bytes(16))}, {"compartment_statement": MANIFEST}]
)
def test_a_closing_names_one_epoch_in_every_member(
    story: Story, general: OwnCompartment, members: dict[str, object]
) -> None:
    closing = story.record.close_epoch(general, epoch=1)
    bring(story, story.record.next_epoch(general))
    assert refuse(story, InvalidStatementError, changed(closing, story, **members)) == "epoch_unknown"


# Filings


def test_filings_of_a_document_count_on_and_the_last_one_counts(
    story: Story, general: OwnCompartment, document: DocumentId
) -> None:
    private = story.record.open_compartment()
    hidden = story.record.file(document, private)
    back = story.record.file(document, general, previous=hidden)
    bring(story, private.newest, hidden, back)
    with story.world.moment() as moment:
        newest = find_filing(moment.connection, story.record.id, document)
        assert find_filings(moment.connection, story.record.id, [document, DocumentId(bytes(32))]) == {document: newest}
        assert load_filings(moment.connection, story.record.id, [document]) == (hidden.text, back.text)
    assert newest is not None
    assert (newest.serial, newest.hash, newest.compartment) == (2, back.hash, general.id)


def test_two_devices_never_make_two_filings_of_the_same_serial(
    story: Story, general: OwnCompartment, document: DocumentId
) -> None:
    bring(story, story.record.file(document, general))
    rival = story.record.file(document, general, at=NOW + 1)
    assert refuse(story, ConflictError, rival) == "filing_not_next"


def test_a_filing_after_one_that_is_not_there_is_refused(
    story: Story, general: OwnCompartment, document: DocumentId
) -> None:
    never_brought = story.record.file(document, general)
    later = story.record.file(document, general, previous=never_brought)
    assert refuse(story, ConflictError, later) == "filing_not_next"


def test_a_filing_into_a_compartment_of_nobody_is_refused(story: Story, document: DocumentId) -> None:
    filing = story.record.file(document, story.record.open_compartment())
    assert refuse(story, InvalidStatementError, filing) == "compartment_unknown"


# Tombstones


@pytest.mark.usefixtures("deposit_grant")
def test_patient_and_author_each_remove_a_document_once(story: Story, document: DocumentId) -> None:
    by_patient = story.record.entomb(document, MANIFEST)
    by_author = story.record.entomb(document, MANIFEST, by=story.bob)
    bring(story, by_patient)
    bring(story, by_author, by=story.bob)
    with story.world.moment() as moment:
        gone = find_tombstoners(moment.connection, story.record.id, [document])
    assert gone == {(document, story.alice.identity), (document, story.bob.identity)}
    assert refuse(story, ConflictError, story.record.entomb(document, MANIFEST, at=NOW + 1)) == "tombstone_stands"


def test_an_author_brings_no_tombstone_of_another(story: Story, document: DocumentId) -> None:
    of_mallory = story.record.entomb(document, MANIFEST, by=story.mallory)
    assert refuse(story, RefusedError, of_mallory, by=story.bob) == "not_the_patient"


def test_a_tombstone_signed_by_a_device_of_another_than_it_names_is_refused(story: Story, document: DocumentId) -> None:
    body = story.record.entomb(document, MANIFEST).body.model_copy(update={"by": story.bob.identity})
    forged = Signed.sign(body, story.alice.device.signer)
    assert refuse(story, InvalidStatementError, forged) == "device_unknown"


@pytest.mark.usefixtures("deposit_grant")
def test_the_patient_may_bring_the_tombstone_that_an_author_signed(story: Story, document: DocumentId) -> None:
    bring(story, story.record.entomb(document, MANIFEST, by=story.bob))
    assert count_rows(story.world.engine, "tombstones") == 1


def test_an_author_removes_under_a_deposit_grant_in_force_alone(
    story: Story, general: OwnCompartment, document: DocumentId
) -> None:
    tombstone = story.record.entomb(document, MANIFEST, by=story.bob)
    assert refuse(story, RefusedError, tombstone, by=story.bob) == "not_a_depositor"
    bring(story, story.record.grant(story.bob, story.bobs, compartments=[general]))
    assert refuse(story, RefusedError, tombstone, by=story.bob) == "not_a_depositor"
    deposit = Permission.DEPOSIT
    coming, begun = (
        story.record.grant(story.bob, story.bobs, compartments=[general], permission=deposit, not_before=at)
        for at in (NOW + 1, NOW)
    )
    bring(story, coming)
    assert refuse(story, RefusedError, tombstone, by=story.bob) == "not_a_depositor"
    bring(story, begun)
    bring(story, tombstone, by=story.bob)


def test_an_author_removes_nothing_from_the_second_at_which_the_grant_is_over(
    story: Story, deposit_grant: Signed[Grant]
) -> None:
    ends = deposit_grant.body.expires
    for at, works in ((ends - 1, True), (ends, False)):
        story.world.now = at
        tombstone = story.record.entomb(DocumentId(story.dice(32)), MANIFEST, by=story.bob, at=at)
        if works:
            bring(story, tombstone, by=story.bob)
        else:
            assert refuse(story, RefusedError, tombstone, by=story.bob) == "not_a_depositor"


@pytest.mark.parametrize("end", ["revocation", "attestation"])
def test_an_author_removes_nothing_once_shut_out(
    story: Story, deposit_grant: Signed[Grant], document: DocumentId, end: str
) -> None:
    if end == "revocation":
        bring(story, story.record.revoke(deposit_grant))
    else:
        story.world.accept_directory(story.world.own.registrar.publish_list(story.bobs))
    tombstone = story.record.entomb(document, MANIFEST, by=story.bob)
    assert refuse(story, RefusedError, tombstone, by=story.bob) == "not_a_depositor"
    assert refuse(story, RefusedError, tombstone) == "not_a_depositor"


def test_a_tombstone_that_was_accepted_is_answered_again_after_the_grant(
    story: Story, deposit_grant: Signed[Grant], document: DocumentId
) -> None:
    tombstone = story.record.entomb(document, MANIFEST, by=story.bob)
    first = bring(story, tombstone, by=story.bob)
    bring(story, story.record.revoke(deposit_grant))
    assert bring(story, tombstone, by=story.bob) == first


# What is shown


def test_a_view_of_access_holds_the_scope_and_nothing_that_says_there_is_more(
    story: Story, general: OwnCompartment
) -> None:
    private = story.record.open_compartment()
    grant = story.record.grant(story.bob, story.bobs, compartments=[general])
    bring(story, private.newest, grant)
    with story.world.moment() as moment:
        pinned = moment.deployment.pinned
        views = [
            view_access(
                moment.connection,
                authorise(
                    moment.connection,
                    principal_of(person),
                    story.record.id,
                    name,
                    permission=None,
                    pinned=pinned,
                    now=NOW,
                ),
            )
            for person, name in ((story.bob, grant.hash), (story.alice, None))
        ]
    assert views[0].compartments == (general.newest.text,)
    assert views[0].grant == grant.text
    assert views[1].compartments == (general.newest.text, private.newest.text)
    assert views[1].grant is None
    assert str(private.id) not in views[0].model_dump_json()
