"""Releases: what comes off, for whom, until when, and what is written down (P04, P05; attacks 13, 15, 17, 18)."""

from collections.abc import Callable

import pytest

from carnet_protocol.api import Event, EventsPage, ReleaseAnswer, ReleaseItem, ReleaseKind, ReleaseRequest
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import (
    CompartmentId,
    DocumentId,
    IdentityHash,
    RecordId,
    StatementHash,
    derive_event_commitment,
)
from carnet_protocol.limits import MAX_RELEASE_ITEMS
from carnet_protocol.statements import Lock, Permission, Receipt, Role, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.events.event import derive_leaf_hash
from carnet_server.records import decide as record_rules
from tests.support.hpke import open_box
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import DAY, NOW, OwnPerson, make_person
from tests.support.records import make_version, release_item, update_of
from tests.support.tables import unchanged

pytestmark = pytest.mark.parametrize(
    "suites", [(Suite(1), Suite(1)), (Suite(2), Suite(2)), (Suite(1), Suite(2))], ids=["1", "2", "2 over 1"]
)

MANIFEST = StatementHash(bytes(32))


def events(story: KeyServiceStory) -> list[Event]:
    """Every event of the record, as Alice sees them."""
    answer = accept(story.world.get(f"{story.path}/events", story.alice))
    return list(EventsPage.model_validate(answer).events)


def refuse(story: KeyServiceStory, answer_of: Callable[[], object]) -> None:
    """Assert the one refusal, that nothing was released, and that nothing changed."""
    with unchanged(story.world.engine):
        answer = answer_of()
    assert code(answer) == (404, "refused")


def released(story: KeyServiceStory, *items: ReleaseItem, by: OwnPerson | None = None) -> list[bool]:
    """Which of `items` come off under Bob's grant, one request for all."""
    answer = story.release(by or story.bob, story.grant, items)
    if answer.status_code == 404:
        return [False] * len(items)
    return [inner is not None for inner in story.inner(answer)]


# What comes off


def test_a_reader_gets_inner_locks_that_the_compartment_key_opens(story: KeyServiceStory) -> None:
    items = [story.item(KeyRole.METADATA), story.item(KeyRole.CONTENT)]
    metadata, content = story.inner(story.release(story.bob, story.grant, items))
    for item, inner, key in (
        (items[0], metadata, story.version.metadata_key),
        (items[1], content, story.version.content_key),
    ):
        assert inner is not None
        wrap = item.capsule.wrap_tuple(story.version.identity)
        assert open_box(story.general.key.seed, wrap.inner_info(), inner) == key


def test_the_patient_needs_no_grant_and_gets_any_compartment(story: KeyServiceStory) -> None:
    items = [story.item(KeyRole.CONTENT), story.item(KeyRole.CONTENT, compartment=story.private)]
    assert None not in story.inner(story.release(story.alice, None, items))


def test_to_list_metadata_keys_alone_come_off(story: KeyServiceStory) -> None:
    items = [story.item(KeyRole.METADATA), story.item(KeyRole.CONTENT)]
    metadata, content = story.inner(story.release(story.bob, story.grant, items, ReleaseKind.LIST))
    assert metadata is not None
    assert content is None
    refuse(story, lambda: story.release(story.bob, story.grant, [items[1]], ReleaseKind.LIST))


def test_a_batch_comes_off_in_its_order(story: KeyServiceStory) -> None:
    versions = [make_version(story.dice, story.own.id, story.laura.identity) for _ in range(60)]
    items = [story.item(KeyRole.METADATA, version=version) for version in versions]
    inner = story.inner(story.release(story.bob, story.grant, items))
    for version, item, box in zip(versions, items, inner, strict=True):
        assert box is not None
        wrap = item.capsule.wrap_tuple(version.identity)
        assert open_box(story.general.key.seed, wrap.inner_info(), box) == version.metadata_key


def test_more_items_than_the_limit_are_refused_as_a_request(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.METADATA)
    body = (
        f'{{"grant":"{story.grant.hash}","kind":"open","items":['
        + ",".join([item.model_dump_json()] * (MAX_RELEASE_ITEMS + 1))
        + "]}"
    ).encode()
    with unchanged(story.world.engine):
        answer = story.world.send("POST", f"{story.path}/releases", by=story.bob, body=body)
    assert code(answer) == (400, "bad_request")


# What is written down


def test_a_release_is_one_event_that_names_exactly_what_came_off(story: KeyServiceStory) -> None:
    outside = story.item(KeyRole.CONTENT, compartment=story.private)
    inside = story.item(KeyRole.CONTENT)
    answer = story.release(story.bob, story.grant, [outside, inside, story.item(KeyRole.METADATA)])
    event = events(story)[-1]
    assert parse_canonical_json(event.body) == {
        "kind": "release.open",
        "record": str(story.own.id),
        "by": str(story.bob.identity),
        "device": str(story.bob.device.hash),
        "grant": str(story.grant.hash),
        "statement": None,
        "documents": [
            {"document": str(story.version.document), "version": 1, "role": "content"},
            {"document": str(story.version.document), "version": 1, "role": "metadata"},
        ],
        "detail": None,
    }
    receipt = Signed.parse(ReleaseAnswer.model_validate_json(answer.content).receipt, Receipt)
    receipt.verify(story.world.own.keyservice.log_key.public_key)
    server = story.world.own.keyservice.fingerprint
    assert event.commitment == derive_event_commitment(event.salt, event.body)
    leaf = derive_leaf_hash(server=server, index=event.index, time=event.time, commitment=event.commitment)
    assert receipt.body == Receipt(server=server, index=event.index, time=event.time, leaf=leaf)


def test_listing_and_opening_are_told_apart(story: KeyServiceStory) -> None:
    story.release(story.bob, story.grant, [story.item(KeyRole.METADATA)], ReleaseKind.LIST)
    story.release(story.alice, None, [story.item(KeyRole.METADATA)], ReleaseKind.OPEN)
    bodies = [parse_canonical_json(event.body) for event in events(story)]
    assert [body["kind"] for body in bodies[-2:]] == ["release.list", "release.open"]
    assert bodies[-1]["grant"] is None


def test_nothing_sealed_or_opened_is_logged(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    story.release(story.bob, story.grant, [item])
    assert all(item.capsule.sealed[:40].hex() not in line for line in story.world.log.getvalue().splitlines())
    assert {"request", "route", "status"} <= set(story.world.log_lines()[-1])


# When


@pytest.mark.parametrize(
    ("at", "comes_off"),
    [(NOW + 99, False), (NOW + 100, True), (NOW + 199, True), (NOW + 200, False), (NOW + 201, False)],
)
def test_a_release_is_for_the_seconds_of_its_grant(story: KeyServiceStory, at: int, comes_off: bool) -> None:
    story.grant = story.own.grant(
        story.bob,
        story.attestations["bob"],
        compartments=[story.general],
        not_before=NOW + 100,
        expires=NOW + 200,
    )
    accept(story.world.post_statements(story.own, update_of(story.grant)))
    story.world.clock.now = at
    if comes_off:
        assert released(story, story.item(KeyRole.CONTENT)) == [True]
    else:
        refuse(story, lambda: story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))


def test_from_a_revocations_receipt_on_nothing_comes_off(story: KeyServiceStory) -> None:
    assert released(story, story.item(KeyRole.CONTENT)) == [True]
    answer = accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.grant))))
    receipt = Signed.parse(answer["receipts"][0], Receipt)
    refuse(story, lambda: story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    assert events(story)[-1].index == receipt.body.index


def test_a_clock_that_was_set_back_brings_no_grant_back(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    story.world.clock.now = story.grant.body.expires
    refuse(story, lambda: story.release(story.bob, story.grant, [item]))
    accept(story.world.post(f"{story.path}/locks", story.alice))
    story.world.clock.now = story.grant.body.expires - 1
    refuse(story, lambda: story.release(story.bob, story.grant, [item]))
    story.world.clock.now = story.grant.body.expires - 3600
    with unchanged(story.world.engine):
        answer = story.release(story.bob, story.grant, [item])
    assert code(answer) == (503, "clock_behind")


# Who


def test_a_grant_of_another_lets_nobody_in(story: KeyServiceStory) -> None:
    for person in (story.mallory, story.laura, story.alice):
        refuse(story, lambda person=person: story.release(person, story.grant, [story.item(KeyRole.CONTENT)]))


def test_without_a_grant_nobody_but_the_patient_gets_anything(story: KeyServiceStory) -> None:
    refuse(story, lambda: story.release(story.bob, None, [story.item(KeyRole.CONTENT)]))


def test_a_deposit_grant_does_not_read(story: KeyServiceStory) -> None:
    refuse(story, lambda: story.release(story.laura, story.deposit_grant, [story.item(KeyRole.CONTENT)]))


def test_an_unknown_grant_an_unknown_record_and_anothers_look_alike(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    other = make_person(story.dice, Role.PATIENT)
    answers = [
        story.release(story.bob, StatementHash(bytes(32)), [item]),
        story.release(story.mallory, story.grant, [item]),
        story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT, compartment=story.private)]),
    ]
    answers += [
        story.world.post(f"/v1/records/{record}/releases", story.bob, request(story, item))
        for record in (other.record, RecordId(bytes(32)))
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


def request(story: KeyServiceStory, item: ReleaseItem) -> ReleaseRequest:
    """A request for one item under Bob's grant."""
    return ReleaseRequest(grant=story.grant.hash, kind=ReleaseKind.OPEN, items=(item,))


def test_a_grant_for_one_record_reads_no_other(story: KeyServiceStory) -> None:
    """Bob holds grants of two records; the grant of one does not open the other's capsules, nor the other way round."""
    other = KeyServiceStory.begin(story.world, "another record")
    theirs = other.own.grant(story.bob, story.attestations["bob"], compartments=[other.general])
    accept(story.world.post_statements(other.own, update_of(theirs)))
    assert other.inner(other.release(story.bob, theirs, [other.item(KeyRole.CONTENT)]))
    refuse(story, lambda: story.release(story.bob, theirs, [story.item(KeyRole.CONTENT)]))
    refuse(other, lambda: other.release(story.bob, story.grant, [other.item(KeyRole.CONTENT)]))
    refuse(story, lambda: story.release(story.bob, story.grant, [other.item(KeyRole.CONTENT)]))


def test_a_void_device_gets_nothing(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.bob.remove(story.bob.device, since=NOW).text))
    with unchanged(story.world.engine):
        answer = story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)])
    assert code(answer) == (401, "unauthenticated")


def test_a_grant_falls_with_the_device_that_signed_it(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.alice.remove(story.alice.device, since=NOW).text))
    refuse(story, lambda: story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))


def test_a_revoked_attestation_stops_the_grant_at_once(story: KeyServiceStory) -> None:
    accept(story.world.post_directory(story.world.own.registrar.publish_list(story.attestations["bob"])))
    refuse(story, lambda: story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))


def test_a_registrar_that_falls_silent_stops_the_grant(story: KeyServiceStory) -> None:
    grant = story.own.grant(story.bob, story.attestations["bob"], compartments=[story.general], expires=NOW + 100 * DAY)
    accept(story.world.post_statements(story.own, update_of(grant)))
    story.world.clock.now = NOW + 30 * DAY
    refuse(story, lambda: story.release(story.bob, grant, [story.item(KeyRole.CONTENT)]))


def test_changed_keys_stop_the_grant_until_they_are_attested(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.bob.renew().text))
    refuse(story, lambda: story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    accept(story.world.post_directory(story.world.own.registrar.attest(story.bob)))
    assert released(story, story.item(KeyRole.CONTENT)) == [True]


def test_a_successor_reads_under_the_old_grant_once_key_and_registrar_agree(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    accept(story.world.post_directory(story.bob.hand_over_to(story.mallory)))
    refuse(story, lambda: story.release(story.mallory, story.grant, [item]))
    accept(story.world.post_directory(story.world.own.registrar.attest(story.mallory, succeeds=story.bob)))
    assert story.inner(story.release(story.mallory, story.grant, [item])) != (None,)
    refuse(story, lambda: story.release(story.laura, story.grant, [item]))


# What


def test_only_what_is_in_scope_comes_off(story: KeyServiceStory) -> None:
    items = [story.item(KeyRole.CONTENT), story.item(KeyRole.CONTENT, compartment=story.private)]
    assert released(story, *items) == [True, False]
    assert released(story, items[1]) == [False]


def test_a_capsule_is_released_under_what_it_is_bound_to_and_nothing_else(story: KeyServiceStory) -> None:
    """Every coordinate that is said of a capsule is part of what it is sealed with."""
    item = story.item(KeyRole.METADATA)
    other = make_version(story.dice, story.own.id, story.laura.identity)
    capsule = item.capsule
    assert capsule.compartment is not None
    wrong = [
        item.model_copy(update={"author": story.bob.identity}),
        item.model_copy(update={"capsule": capsule.model_copy(update={"document": other.document})}),
        item.model_copy(update={"capsule": capsule.model_copy(update={"version": 2})}),
        item.model_copy(update={"capsule": capsule.model_copy(update={"role": KeyRole.CONTENT})}),
        item.model_copy(update={"suite": Suite(3 - item.suite)}),
        item.model_copy(update={"capsule": capsule.model_copy(update={"inner_suite": Suite(3 - capsule.inner_suite)})}),
        item.model_copy(update={"capsule": capsule.model_copy(update={"outer_suite": Suite(3 - capsule.outer_suite)})}),
    ]
    damaged = (
        capsule.sealed[:-1],
        capsule.sealed + b"\0",
        b"",
        capsule.sealed[:8],
        bytes(len(capsule.sealed)),
        capsule.sealed[:-1] + bytes([capsule.sealed[-1] ^ 1]),
        capsule.sealed[:4] + b"\x01" + capsule.sealed[5:],
        capsule.sealed[:5] + b"\x02" + capsule.sealed[6:],
        capsule.sealed[:7] + bytes([3 - capsule.outer_suite]) + capsule.sealed[8:],
    )
    wrong += [item.model_copy(update={"capsule": capsule.model_copy(update={"sealed": sealed})}) for sealed in damaged]
    assert released(story, *wrong, item) == [False] * len(wrong) + [True]
    refuse(story, lambda: story.release(story.bob, story.grant, wrong))


def test_a_capsule_of_a_hidden_compartment_is_not_released_as_one_in_scope(story: KeyServiceStory) -> None:
    hidden = story.item(KeyRole.CONTENT, compartment=story.private)
    shown = story.item(KeyRole.CONTENT)
    lie = hidden.model_copy(
        update={"capsule": hidden.capsule.model_copy(update={"compartment": shown.capsule.compartment})}
    )
    refuse(story, lambda: story.release(story.bob, story.grant, [lie]))


@pytest.mark.parametrize("members", [{"compartment": CompartmentId(bytes(16))}, {"compartment_statement": MANIFEST}])
def test_compartment_and_statement_are_a_pair(story: KeyServiceStory, members: dict[str, object]) -> None:
    item = story.item(KeyRole.CONTENT)
    assert item.capsule.compartment is not None
    other = item.capsule.compartment.model_copy(update=members)
    lie = item.model_copy(update={"capsule": item.capsule.model_copy(update={"compartment": other})})
    refuse(story, lambda: story.release(story.bob, story.grant, [lie]))


def test_an_older_epoch_is_released_until_it_is_closed_and_then_to_the_patient_alone(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    epoch = story.own.next_epoch(story.general)
    accept(story.world.post_statements(story.own, update_of(epoch, sealed_keys=[story.own.sealed_key(story.general)])))
    assert released(story, item) == [True]
    accept(story.world.post_statements(story.own, update_of(story.own.close_epoch(story.general, epoch=1))))
    assert released(story, item, story.item(KeyRole.CONTENT)) == [False, True]
    refuse(story, lambda: story.release(story.bob, story.grant, [item]))
    accept(story.release(story.alice, None, [item]))


def test_a_document_filed_elsewhere_comes_off_there_alone_but_for_the_patient(story: KeyServiceStory) -> None:
    both = [story.item(KeyRole.CONTENT), story.item(KeyRole.CONTENT, compartment=story.private)]
    hidden = story.own.file(story.version.document, story.private)
    accept(story.world.post_statements(story.own, update_of(hidden)))
    refuse(story, lambda: story.release(story.bob, story.grant, both))
    assert None not in story.inner(story.release(story.alice, None, both))
    back = story.own.file(story.version.document, story.general, previous=hidden)
    accept(story.world.post_statements(story.own, update_of(back)))
    assert released(story, *both) == [True, False]


def test_a_reader_of_the_compartment_that_it_was_moved_to_reads_it_there(story: KeyServiceStory) -> None:
    grant = story.own.grant(story.mallory, story.attestations["mallory"], compartments=[story.private])
    hidden = story.own.file(story.version.document, story.private)
    accept(story.world.post_statements(story.own, update_of(grant, hidden)))
    item = story.item(KeyRole.CONTENT, compartment=story.private)
    assert None not in story.inner(story.release(story.mallory, grant, [item]))


@pytest.mark.parametrize("who", ["alice", "laura"])
def test_a_document_that_patient_or_author_removed_comes_off_for_nobody(story: KeyServiceStory, who: str) -> None:
    item = story.item(KeyRole.CONTENT)
    maker: OwnPerson = getattr(story, who)
    tombstone = story.own.entomb(story.version.document, MANIFEST, by=maker)
    accept(story.world.post_statements(story.own, update_of(tombstone), by=maker))
    refuse(story, lambda: story.release(story.bob, story.grant, [item]))
    refuse(story, lambda: story.release(story.alice, None, [item]))


def test_a_tombstone_by_another_depositor_removes_nothing(story: KeyServiceStory) -> None:
    grant = story.own.grant(
        story.mallory,
        story.attestations["mallory"],
        compartments=[story.general],
        permission=Permission.DEPOSIT,
    )
    accept(story.world.post_statements(story.own, update_of(grant)))
    tombstone = story.own.entomb(story.version.document, MANIFEST, by=story.mallory)
    accept(story.world.post_statements(story.own, update_of(tombstone), by=story.mallory))
    assert released(story, story.item(KeyRole.CONTENT)) == [True]


@pytest.mark.parametrize("end", ["revocation", "attestation", "time"])
def test_who_may_not_deposit_any_more_makes_no_tombstone(story: KeyServiceStory, end: str) -> None:
    match end:
        case "revocation":
            accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.deposit_grant))))
        case "attestation":
            accept(story.world.post_directory(story.world.own.registrar.publish_list(story.attestations["laura"])))
        case _:
            story.world.clock.now = story.deposit_grant.body.expires
    now = story.world.clock()
    tombstone = story.own.entomb(story.version.document, MANIFEST, by=story.laura, at=now)
    refuse(story, lambda: story.world.post_statements(story.own, update_of(tombstone), by=story.laura))
    assert None not in story.inner(story.release(story.alice, None, [story.item(KeyRole.CONTENT)]))


def test_an_author_makes_so_many_tombstones_and_no_more(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_rules, "MAX_TOMBSTONES_OF_AN_AUTHOR", 3)

    def entomb(count: int, by: OwnPerson) -> object:
        made = [story.own.entomb(DocumentId(story.dice(32)), MANIFEST, by=by) for _ in range(count)]
        return story.world.post_statements(story.own, update_of(*made), by=by)

    refuse(story, lambda: entomb(4, story.laura))
    accept(entomb(3, story.laura))
    refuse(story, lambda: entomb(1, story.laura))
    accept(entomb(4, story.alice))


def test_who_never_could_deposit_makes_no_tombstone(story: KeyServiceStory) -> None:
    for person in (story.bob, story.mallory):
        tombstone = story.own.entomb(story.version.document, MANIFEST, by=person)
        refuse(
            story,
            lambda person=person, tombstone=tombstone: story.world.post_statements(
                story.own, update_of(tombstone), by=person
            ),
        )


# Locks


def test_an_older_lock_is_released_until_it_is_retired(story: KeyServiceStory) -> None:
    old = story.item(KeyRole.CONTENT)
    newer = Signed.parse(accept(story.world.post(f"{story.path}/locks", story.alice))["lock"], Lock)
    new = story.item(KeyRole.CONTENT, lock=newer)
    assert released(story, old, new) == [True, True]
    accept(story.world.post(f"{story.path}/locks/1/retirement", story.alice))
    assert released(story, old, new) == [False, True]
    refuse(story, lambda: story.release(story.alice, None, [old]))


def test_a_lock_statement_of_another_record_opens_nothing(story: KeyServiceStory) -> None:
    other = KeyServiceStory.begin(story.world, "another record")
    lie = story.item(KeyRole.CONTENT, lock=other.lock)
    refuse(story, lambda: story.release(story.bob, story.grant, [lie]))


def test_an_unknown_lock_statement_opens_nothing(story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT)
    lie = item.model_copy(update={"capsule": item.capsule.model_copy(update={"lock_statement": MANIFEST})})
    refuse(story, lambda: story.release(story.bob, story.grant, [lie]))


def test_a_capsule_under_an_older_statement_of_the_same_lock_comes_off(story: KeyServiceStory) -> None:
    old = story.item(KeyRole.CONTENT)
    story.world.clock.now = NOW + 25 * DAY
    again = Signed.parse(accept(story.world.get(f"{story.path}/lock", story.alice))["lock"], Lock)
    assert again.hash != story.lock.hash
    items = [old, story.item(KeyRole.CONTENT, lock=again)]
    assert None not in story.inner(story.release(story.alice, None, items))


# Single documents


def test_a_single_document_grant_opens_its_personal_capsules_and_nothing_else(story: KeyServiceStory) -> None:
    document = story.version.document
    grant = story.own.grant(story.mallory, story.attestations["mallory"], documents=[document])
    accept(story.world.post_statements(story.own, update_of(grant)))
    capsule = story.own.personal_capsule(story.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    item = release_item(story.version, capsule)
    (inner,) = story.inner(story.release(story.mallory, grant, [item, story.item(KeyRole.CONTENT)]))[:1]
    assert inner is not None
    info = capsule.wrap_tuple(story.version.identity).inner_info()
    assert open_box(story.mallory.account_key.seed, info, inner) == story.version.content_key
    refuse(story, lambda: story.release(story.mallory, grant, [story.item(KeyRole.CONTENT)]))
    refuse(story, lambda: story.release(story.bob, story.grant, [item]))
    refuse(story, lambda: story.release(story.bob, grant, [item]))
    refuse(story, lambda: story.release(story.alice, None, [item]))


def test_a_personal_capsule_of_another_document_is_not_released(story: KeyServiceStory) -> None:
    grant = story.own.grant(story.mallory, story.attestations["mallory"], documents=[DocumentId(bytes(32))])
    accept(story.world.post_statements(story.own, update_of(grant)))
    capsule = story.own.personal_capsule(story.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    refuse(story, lambda: story.release(story.mallory, grant, [release_item(story.version, capsule)]))


def test_a_personal_capsule_for_another_grantee_is_not_released(story: KeyServiceStory) -> None:
    grant = story.own.grant(story.mallory, story.attestations["mallory"], documents=[story.version.document])
    accept(story.world.post_statements(story.own, update_of(grant)))
    for_bob = story.own.personal_capsule(story.version, KeyRole.CONTENT, grant, story.bob, story.lock)
    refuse(story, lambda: story.release(story.mallory, grant, [release_item(story.version, for_bob)]))


def test_a_moved_document_stays_open_to_whom_it_was_given_by_itself(story: KeyServiceStory) -> None:
    grant = story.own.grant(story.mallory, story.attestations["mallory"], documents=[story.version.document])
    moved = story.own.file(story.version.document, story.private)
    accept(story.world.post_statements(story.own, update_of(grant, moved)))
    capsule = story.own.personal_capsule(story.version, KeyRole.CONTENT, grant, story.mallory, story.lock)
    assert None not in story.inner(story.release(story.mallory, grant, [release_item(story.version, capsule)]))


# The request itself


def test_the_same_signed_request_works_once(story: KeyServiceStory) -> None:
    body = request(story, story.item(KeyRole.CONTENT)).model_dump_json().encode()
    path = f"{story.path}/releases"
    device = story.bob.device
    headers = {
        "content-type": "application/json",
        **story.world.sign("POST", path, body, signer=device.signer, key_id=device.key_id),
    }
    assert story.world.client.post(path, content=body, headers=headers).status_code == 200
    with unchanged(story.world.engine):
        replayed = story.world.client.post(path, content=body, headers=headers)
    assert code(replayed) == (401, "unauthenticated")


def test_a_request_signed_for_another_path_or_body_is_refused(story: KeyServiceStory) -> None:
    body = request(story, story.item(KeyRole.CONTENT)).model_dump_json().encode()
    device = story.bob.device
    for path, content in ((f"{story.path}/locks", body), (f"{story.path}/releases", body + b" ")):
        headers = story.world.sign("POST", path, content, signer=device.signer, key_id=device.key_id)
        with unchanged(story.world.engine):
            answer = story.world.client.post(
                f"{story.path}/releases", content=body, headers={"content-type": "application/json", **headers}
            )
        assert code(answer) == (401, "unauthenticated")


def test_root_keys_and_strangers_release_nothing(story: KeyServiceStory) -> None:
    stranger = make_person(story.dice, Role.PRACTITIONER)
    accept(story.world.post_people(story.alice.recovery().text))
    item = story.item(KeyRole.CONTENT)
    with unchanged(story.world.engine):
        assert code(story.release(stranger, story.grant, [item])) == (401, "unauthenticated")
        rooted = story.world.send_as_key(
            "POST",
            f"{story.path}/releases",
            story.alice.root,
            request(story, item),
        )
    assert code(rooted) == (404, "refused")


def test_a_document_id_that_is_nobodys_is_released_if_its_capsule_opens(story: KeyServiceStory) -> None:
    """The key service knows no documents: what a capsule is bound to is all that it goes by."""
    version = make_version(story.dice, story.own.id, IdentityHash(bytes(32)))
    assert released(story, story.item(KeyRole.METADATA, version=version)) == [True]
