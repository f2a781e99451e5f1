"""What is shown to whom: people, access, grants, inbox, events; and that nothing else is (P13; attacks 18, 19)."""

import pytest

from carnet_protocol.api import AccessView, EventsPage
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Role
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld, accept, code
from tests.support.people import DAY, NOW, make_person
from tests.support.records import OwnRecord, update_of
from tests.support.tables import unchanged

NOBODY = RecordId(bytes(32))


def test_the_service_card_is_for_anyone(story: KeyServiceStory) -> None:
    assert accept(story.world.get("/v1/service-card", None)) == {"card": story.world.own.card.text}


# People


def test_a_practitioner_is_seen_with_attestations_lists_and_succession(story: KeyServiceStory) -> None:
    succession = story.bob.hand_over_to(story.mallory)
    accept(story.world.post_directory(succession))
    seen = accept(story.world.get(f"/v1/people/{story.bob.identity}", story.alice))
    assert seen["person"]["identities"] == [story.bob.current.text]
    assert seen["attestations"] == [story.attestations["bob"].text]
    assert len(seen["revocation_lists"]) == 1
    assert seen["succession"] == succession.text


def test_a_patient_is_seen_by_themselves_and_by_whom_they_let_in(story: KeyServiceStory) -> None:
    path = f"/v1/people/{story.alice.identity}"
    for person in (story.alice, story.bob, story.laura):
        seen = accept(story.world.get(path, person))
        assert seen["person"]["identities"] == [story.alice.current.text]
        assert seen["attestations"] == []


def test_to_others_a_patient_looks_like_nobody(story: KeyServiceStory) -> None:
    hidden = story.world.get(f"/v1/people/{story.alice.identity}", story.mallory)
    nobody = story.world.get(f"/v1/people/{IdentityHash(bytes(32))}", story.mallory)
    assert code(hidden) == (404, "refused")
    assert hidden.content == nobody.content
    assert code(story.world.get(f"/v1/people/{story.alice.identity}", None)) == (401, "unauthenticated")


def test_a_grantee_sees_the_patient_before_the_grant_begins_and_not_after_it_ended(story: KeyServiceStory) -> None:
    grant = story.own.grant(
        story.mallory,
        story.attestations["mallory"],
        compartments=[story.general],
        not_before=NOW + 50,
        expires=NOW + 60,
    )
    accept(story.world.post_statements(story.own, update_of(grant)))
    path = f"/v1/people/{story.alice.identity}"
    assert story.world.get(path, story.mallory).status_code == 200
    story.world.clock.now = NOW + 60
    assert code(story.world.get(path, story.mallory)) == (404, "refused")


# Access


def test_access_is_for_the_time_of_the_grant(story: KeyServiceStory) -> None:
    path = f"{story.path}/access"
    assert accept(story.world.get(path, story.bob, grant=story.grant.hash))["grant"] == story.grant.text
    story.world.clock.now = story.grant.body.expires
    assert code(story.world.get(path, story.bob, grant=story.grant.hash)) == (404, "refused")


def test_access_without_a_grant_is_the_patients(story: KeyServiceStory) -> None:
    shown = accept(story.world.get(f"{story.path}/access", story.alice))
    assert shown["grant"] is None
    assert len(shown["compartments"]) == 2
    assert code(story.world.get(f"{story.path}/access", story.bob)) == (404, "refused")


def test_every_wrong_way_to_ask_for_access_looks_alike(story: KeyServiceStory) -> None:
    answers = [
        story.world.get(f"{story.path}/access", story.mallory, grant=story.grant.hash),
        story.world.get(f"{story.path}/access", story.bob, grant=StatementHash(bytes(32))),
        story.world.get(f"/v1/records/{NOBODY}/access", story.bob, grant=story.grant.hash),
        story.world.get(f"/v1/records/{NOBODY}/access", story.bob),
        story.world.get(f"{story.path}/grants", story.bob),
        story.world.get(f"{story.path}/events", story.bob),
        story.world.get(f"{story.path}/sealed-keys", story.bob, statement=story.general.newest.hash),
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


def test_with_and_without_a_hidden_compartment_a_reader_is_shown_the_same(world: KeyServiceWorld) -> None:
    """Two records that differ in a hidden compartment and a grant of it: the reader's views have the same form."""
    with_hidden = KeyServiceStory.begin(world, "first")
    without = KeyServiceStory.begin(world, "second")
    extra = with_hidden.own.open_compartment()
    secret = with_hidden.own.grant(with_hidden.mallory, with_hidden.attestations["mallory"], compartments=[extra])
    accept(
        world.post_statements(
            with_hidden.own,
            update_of(extra.newest, secret, sealed_keys=[with_hidden.own.sealed_key(extra)]),
        )
    )
    sizes = []
    for story in (with_hidden, without):
        answer = world.get(f"{story.path}/access", story.bob, grant=story.grant.hash)
        shown = AccessView.model_validate(accept(answer))
        sizes.append((len(answer.content), len(shown.compartments), len(shown.sealed_keys), len(shown.closings)))
    assert sizes[0] == sizes[1]


# Grants, inbox, events


def test_the_patient_sees_every_grant_and_revocation(story: KeyServiceStory) -> None:
    revocation = story.own.revoke(story.grant)
    accept(story.world.post_statements(story.own, update_of(revocation)))
    assert accept(story.world.get(f"{story.path}/grants", story.alice)) == {
        "grants": [story.grant.text, story.deposit_grant.text],
        "revocations": [revocation.text],
    }


def test_the_inbox_is_ones_own(story: KeyServiceStory) -> None:
    inbox = accept(story.world.get("/v1/inbox", story.bob))
    assert [entry["grant"] for entry in inbox["entries"]] == [story.grant.text]
    assert [patient["identities"] for patient in inbox["patients"]] == [[story.alice.current.text]]
    assert accept(story.world.get("/v1/inbox", story.mallory)) == {"entries": [], "patients": [], "next": None}
    assert accept(story.world.get("/v1/inbox", story.bob, after=story.grant.hash))["entries"] == []


@pytest.mark.parametrize("end", ["revocation", "time"])
def test_who_is_no_practitioner_any_more_sees_no_patient(story: KeyServiceStory, end: str) -> None:
    lasting = story.own.grant(
        story.bob, story.attestations["bob"], compartments=[story.general], expires=NOW + 100 * DAY
    )
    accept(story.world.post_statements(story.own, update_of(lasting)))
    if end == "revocation":
        accept(story.world.post_directory(story.world.own.registrar.publish_list(story.attestations["bob"])))
    else:
        story.world.clock.now = story.attestations["bob"].body.expires
        now = story.world.clock()
        listed = story.world.own.registrar.publish_list(at=now - DAY, next_update=now + 30 * DAY)
        accept(story.world.post_directory(listed))
    assert accept(story.world.get("/v1/inbox", story.bob)) == accept(story.world.get("/v1/inbox", story.mallory))
    hidden = story.world.get(f"/v1/people/{story.alice.identity}", story.bob)
    nobody = story.world.get(f"/v1/people/{IdentityHash(bytes(32))}", story.bob)
    assert code(hidden) == (404, "refused")
    assert hidden.content == nobody.content
    assert story.world.get(f"/v1/people/{story.bob.identity}", story.bob).status_code == 200


def test_a_successor_finds_the_old_grants_in_the_inbox(story: KeyServiceStory) -> None:
    attestation = story.world.own.registrar.attest(story.mallory, succeeds=story.bob)
    accept(story.world.post_directory(story.bob.hand_over_to(story.mallory), attestation))
    inbox = accept(story.world.get("/v1/inbox", story.mallory))
    assert [entry["grant"] for entry in inbox["entries"]] == [story.grant.text]


def test_the_patient_sees_every_event_of_the_record_and_of_no_other(story: KeyServiceStory) -> None:
    other = KeyServiceStory.begin(story.world, "another record")
    page = EventsPage.model_validate(accept(story.world.get(f"{story.path}/events", story.alice)))
    bodies = [parse_canonical_json(event.body) for event in page.events]
    assert [body["kind"] for body in bodies] == [
        "statement.identity",
        "statement.device",
        "statement.compartment",
        "statement.compartment",
        "statement.grant",
        "statement.grant",
        "lock.made",
    ]
    assert {body["record"] for body in bodies} == {str(story.own.id)}
    assert str(other.own.id) not in page.model_dump_json()


def test_events_are_read_from_where_the_last_page_ended(story: KeyServiceStory) -> None:
    path = f"{story.path}/events"
    everything = accept(story.world.get(path, story.alice))["events"]
    rest = accept(story.world.get(path, story.alice, after=everything[2]["index"]))["events"]
    assert rest == everything[3:]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("after", ["-1", "x", "01", "1.0", str(2**53)])
def test_a_place_in_the_log_is_a_number_in_its_one_spelling(story: KeyServiceStory, after: str) -> None:
    assert code(story.world.get(f"{story.path}/events", story.alice, after=after)) == (400, "bad_request")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("record", ["x", "A" * 42, "A" * 44, "A" * 42 + "B"])
def test_a_record_has_one_spelling(story: KeyServiceStory, record: str) -> None:
    assert code(story.world.get(f"/v1/records/{record}/access", story.alice)) == (400, "bad_request")


def test_reading_changes_nothing(story: KeyServiceStory) -> None:
    with unchanged(story.world.engine):
        for path in ("/access", "/grants", "/events", "/lock"):
            accept(story.world.get(f"{story.path}{path}", story.alice))
        accept(story.world.get("/v1/inbox", story.bob))
        accept(story.world.get(f"/v1/people/{story.bob.identity}", story.alice))


def test_a_patient_without_statements_about_the_record_has_an_empty_one(story: KeyServiceStory) -> None:
    carol = make_person(story.dice, Role.PATIENT)
    story.world.introduce(carol)
    carols = OwnRecord(story.dice, carol, story.world.own)
    shown = AccessView.model_validate(accept(story.world.get(f"/v1/records/{carols.id}/access", carol)))
    assert (shown.compartments, shown.sealed_keys, shown.lock) == ((), (), None)
