"""Fetching versions over HTTP: who sees which, in which order, and what is logged."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from carnet_protocol.api import DocumentsPage, EventsPage, OpenedVersion, VersionsView
from carnet_protocol.ids import DocumentSalt, RecordId
from carnet_protocol.statements import Permission, Role
from carnet_protocol.tuples import KeyRole
from carnet_vault.documents import fetch, queries, routes
from tests.support.parcels import Parcel, make_sealed, swap
from tests.support.people import DAY, NOW, make_person
from tests.support.records import OwnCompartment, make_version
from tests.support.vault import VaultStory, code, nothing_changes


def listed(answer: httpx2.Response) -> list[str]:
    page = DocumentsPage.model_validate_json(answer.content)
    return [entry.manifest for entry in page.documents]


def in_order(*parcels: Parcel) -> list[str]:
    return [parcel.manifest.text for parcel in sorted(parcels, key=lambda parcel: parcel.document)]


def move(story: VaultStory, *parcels: Parcel, compartment: OwnCompartment | None = None) -> None:
    """File the document of `parcels`, its versions, into `private`."""
    target = compartment or story.private
    filing = story.own.file(parcels[0].document, target)
    swaps = [
        swap(story.own.capsule(parcel.version, old.role, target, story.lock), old)
        for parcel in parcels
        for old in (parcel.content_capsule, parcel.metadata_capsule)
    ]
    answer = story.update(filing, capsules=swaps)
    assert answer.status_code == 200, answer.text


def test_a_reader_sees_the_documents_of_their_compartments(story: VaultStory) -> None:
    shown, other = story.parcel(), story.parcel()
    hidden = story.parcel(author=story.alice, compartment=story.private)
    assert story.bring(shown, other).status_code == 200
    assert story.bring(hidden, by=story.alice).status_code == 200
    assert listed(story.list(story.bob, story.read_grant)) == in_order(shown, other)
    assert listed(story.list(story.alice)) == in_order(shown, other, hidden)


def test_pages_follow_each_other_without_gaps(story: VaultStory) -> None:
    parcels = [story.parcel() for _ in range(5)]
    hidden = [story.parcel(author=story.alice, compartment=story.private) for _ in range(3)]
    assert story.bring(*parcels).status_code == 200
    assert story.bring(*hidden, by=story.alice).status_code == 200
    found: list[str] = []
    cursors: list[str | None] = [None]
    while len(cursors) == 1 or cursors[-1] is not None:
        page = story.list(story.bob, story.read_grant, after=cursors[-1], limit=2)
        found += listed(page)
        cursors.append(page.json()["next"])
    assert found == in_order(*parcels)
    ids = sorted(parcel.document for parcel in parcels)
    assert cursors == [None, str(ids[1]), str(ids[3]), None]


def test_a_page_ends_early_when_its_metadata_is_large(story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_PAGE_METADATA_BYTES", 40_000)
    parcels = [story.parcel(sealed=make_sealed(story.world.dice, metadata=30_000)) for _ in range(2)]
    assert story.bring(*parcels).status_code == 200
    first = story.list(story.bob, story.read_grant)
    assert listed(first) == in_order(*parcels)[:1]
    assert listed(story.list(story.bob, story.read_grant, after=first.json()["next"])) == in_order(*parcels)[1:]


def test_only_the_newest_version_is_listed_and_all_can_be_had(story: VaultStory) -> None:
    first = story.parcel()
    second = story.parcel(after=first)
    assert story.bring(first, second).status_code == 200
    assert listed(story.list(story.bob, story.read_grant)) == [second.manifest.text]
    path = f"{story.path}/documents/{first.document}"
    answer = story.world.get(path, story.bob, grant=story.read_grant.hash)
    view = VersionsView.model_validate_json(answer.content)
    assert [entry.manifest for entry in view.versions] == [first.manifest.text, second.manifest.text]
    assert view.deposit_grants == (story.deposit_grant.text,)
    assert story.open(story.bob, first, story.read_grant).json()["entry"]["manifest"] == first.manifest.text
    newest = story.open(story.bob, first, story.read_grant, version="newest")
    assert newest.json()["entry"]["manifest"] == second.manifest.text


def test_pages_of_versions_follow_each_other_without_gaps(story: VaultStory) -> None:
    parcels = [story.parcel()]
    for _ in range(4):
        parcels.append(story.parcel(after=parcels[-1]))
    assert story.bring(*parcels).status_code == 200
    found: list[str] = []
    cursors: list[int | None] = [0]
    while cursors[-1] is not None:
        view = VersionsView.model_validate_json(versions(story, parcels[0], after=cursors[-1], limit=2).content)
        found += [entry.manifest for entry in view.versions]
        cursors.append(view.next)
    assert found == [parcel.manifest.text for parcel in parcels]
    assert cursors == [0, 2, 4, None]
    assert [len(body["documents"]) for body in logged(story)[-3:]] == [2, 2, 1]
    with nothing_changes(story):
        assert code(versions(story, parcels[0], after=5)) == (404, "refused")


def test_a_page_of_versions_ends_early_when_its_metadata_is_large(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_PAGE_METADATA_BYTES", 40_000)
    first = story.parcel(sealed=make_sealed(story.world.dice, metadata=30_000))
    second = story.parcel(after=first, sealed=make_sealed(story.world.dice, metadata=30_000))
    assert story.bring(first, second).status_code == 200
    assert [versions(story, first, after=after).json()["next"] for after in (0, 1)] == [1, None]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "after=-1", "after=x", "after=10001"])
def test_a_query_for_versions_of_another_form_is_refused(story: VaultStory, query: str) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    with nothing_changes(story):
        answer = story.world.send("GET", f"{story.path}/documents/{parcel.document}?{query}", by=story.alice)
    assert code(answer) == (400, "bad_request")


def test_nobody_else_waits_while_a_list_is_loaded(story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    threads: list[str] = []

    def watched(work: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            threads.append(threading.current_thread().name)
            return work(*arguments, **named)

        return run

    for name in ("load_documents", "load_versions", "load_filings", "load_deposit_grants", "load_tombstones"):
        monkeypatch.setattr(queries, name, watched(getattr(queries, name)))
    assert story.list(story.alice).status_code == 200
    assert versions(story, parcel).status_code == 200
    assert len(threads) > 5
    assert "carnet-writer" not in threads


CHANGES: dict[str, tuple[int, ...] | None] = {"another version": (1, 2), "a move": (), "a revocation": None}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("route", ["list", "versions"])
def test_what_changed_after_a_list_was_loaded_counts(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch, route: str, what: str
) -> None:
    first = story.parcel()
    assert story.bring(first).status_code == 200
    load = routes.load_page
    left = [what]

    def load_then_change(*arguments: Any) -> fetch.Page:
        page = load(*arguments)
        match left.pop() if left else None:
            case "another version":
                assert story.bring(story.parcel(after=first)).status_code == 200
            case "a move":
                move(story, first)
            case "a revocation":
                assert story.update(story.own.revoke(story.read_grant)).status_code == 200
        return page

    monkeypatch.setattr(routes, "load_page", load_then_change)
    answer = story.list(story.bob, story.read_grant) if route == "list" else versions(story, first)
    shown = CHANGES[what]
    if shown is None or (route == "versions" and not shown):
        assert code(answer) == (404, "refused")
        assert not [body for body in logged(story) if body["kind"].startswith("fetch")]
        return
    expected = shown[-1:] if route == "list" else shown
    entries = answer.json()["documents" if route == "list" else "versions"]
    assert tuple(entry["metadata_capsule"]["version"] for entry in entries) == expected
    assert tuple(item["version"] for item in logged(story)[-1]["documents"] or ()) == expected


def versions(story: VaultStory, parcel: Parcel, **query: object) -> httpx2.Response:
    """Bob asks for the versions of a document."""
    path = f"{story.path}/documents/{parcel.document}"
    return story.world.get(path, story.bob, grant=story.read_grant.hash, **query)


def logged(story: VaultStory) -> list[dict[str, Any]]:
    """The bodies of the record's events."""
    page = EventsPage.model_validate_json(story.world.get(f"{story.path}/events", story.alice).content)
    return [json.loads(event.body) for event in page.events]


def test_only_the_patient_sees_filings_and_tombstones(story: VaultStory) -> None:
    moved, gone = story.parcel(author=story.alice, compartment=story.private), story.parcel()
    assert story.bring(moved, by=story.alice).status_code == 200
    assert story.bring(gone).status_code == 200
    move(story, moved, compartment=story.general)
    tombstone = story.own.entomb(gone.document, gone.manifest.hash)
    assert story.update(tombstone).status_code == 200
    alices = DocumentsPage.model_validate_json(story.list(story.alice).content)
    assert [len(entry.filings) for entry in alices.documents] == [1]
    assert alices.tombstones == (tombstone.text,)
    bobs = DocumentsPage.model_validate_json(story.list(story.bob, story.read_grant).content)
    assert [entry.filings for entry in bobs.documents] == [()]
    assert bobs.tombstones == ()


def test_every_tombstone_is_on_exactly_one_page(story: VaultStory) -> None:
    parcels = [story.parcel() for _ in range(6)]
    assert story.bring(*parcels).status_code == 200
    tombstones = [story.own.entomb(parcel.document, parcel.manifest.hash) for parcel in parcels[::2]]
    assert story.update(*tombstones).status_code == 200
    found: list[str] = []
    after: str | None = None
    while True:
        page = story.list(story.alice, after=after, limit=1).json()
        found += page["tombstones"]
        after = page["next"]
        if after is None:
            break
    assert sorted(found) == sorted(tombstone.text for tombstone in tombstones)


@pytest.mark.parametrize("when", ["before", "last second", "expired", "revoked"])
def test_a_read_grant_counts_from_its_first_second_to_before_its_last(story: VaultStory, when: str) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.read_grant
    match when:
        case "before":
            grant = story.own.grant(
                story.bob, story.attestations["b"], compartments=[story.general], not_before=NOW + 1
            )
            assert story.update(grant).status_code == 200
        case "last second":
            story.world.clock.now = grant.body.expires - 1
            opened = OpenedVersion.model_validate_json(story.open(story.bob, parcel, grant).content)
            assert opened.url_expires == grant.body.expires
            assert story.world.get_bytes(opened.url).status_code == 200
            story.world.clock.now += 1
            assert code(story.world.get_bytes(opened.url)) == (404, "refused")
            return
        case "expired":
            story.world.clock.now = grant.body.expires
        case _:
            assert story.update(story.own.revoke(grant)).status_code == 200
    with nothing_changes(story):
        assert code(story.list(story.bob, grant)) == (404, "refused")
        assert code(story.open(story.bob, parcel, grant)) == (404, "refused")


def test_a_moved_document_leaves_its_readers_at_once(story: VaultStory) -> None:
    first = story.parcel()
    second = story.parcel(after=first)
    assert story.bring(first, second).status_code == 200
    move(story, first, second)
    assert listed(story.list(story.bob, story.read_grant)) == []
    assert code(story.open(story.bob, first, story.read_grant)) == (404, "refused")
    reader = story.own.grant(story.bob, story.attestations["b"], compartments=[story.private])
    assert story.update(reader).status_code == 200
    assert listed(story.list(story.bob, reader)) == [second.manifest.text]
    assert story.open(story.bob, first, reader).status_code == 200


def test_a_version_that_comes_after_a_move_is_for_the_patient_alone_until_it_is_filed(story: VaultStory) -> None:
    first = story.parcel()
    assert story.bring(first).status_code == 200
    move(story, first)
    second = story.parcel(after=first)
    assert story.bring(second).status_code == 200
    reader = story.own.grant(story.bob, story.attestations["b"], compartments=[story.private])
    assert story.update(reader).status_code == 200
    assert listed(story.list(story.bob, story.read_grant)) == []
    assert listed(story.list(story.bob, reader)) == [first.manifest.text]
    assert code(story.open(story.bob, second, reader)) == (404, "refused")
    assert listed(story.list(story.alice)) == [second.manifest.text]
    assert story.open(story.alice, second).status_code == 200
    swaps = [
        swap(story.own.capsule(second.version, old.role, story.private, story.lock), old)
        for old in (second.content_capsule, second.metadata_capsule)
    ]
    assert story.update(capsules=swaps).status_code == 200
    assert listed(story.list(story.bob, reader)) == [second.manifest.text]


def test_a_single_document_grant_shows_that_document_through_its_personal_capsules(story: VaultStory) -> None:
    first, other = story.parcel(), story.parcel()
    second = story.parcel(after=first)
    assert story.bring(first, second, other).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[first.document])
    assert story.update(grant).status_code == 200
    assert listed(story.list(story.mallory, grant)) == []
    capsules = {
        role: story.own.personal_capsule(first.version, role, grant, story.mallory, story.lock) for role in KeyRole
    }
    assert story.update(capsules=[swap(capsule, None) for capsule in capsules.values()]).status_code == 200
    assert listed(story.list(story.mallory, grant)) == [first.manifest.text]
    opened = OpenedVersion.model_validate_json(story.open(story.mallory, first, grant).content)
    assert opened.content_capsule == capsules[KeyRole.CONTENT]
    assert opened.entry.metadata_capsule == capsules[KeyRole.METADATA]
    for parcel in (second, other):
        assert code(story.open(story.mallory, parcel, grant)) == (404, "refused")
    move(story, first, second)
    assert story.open(story.mallory, first, grant).status_code == 200


def test_a_personal_capsule_for_metadata_alone_opens_no_content(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    capsule = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
    assert story.update(grant, capsules=[swap(capsule, None)]).status_code == 200
    assert listed(story.list(story.mallory, grant)) == [parcel.manifest.text]
    with nothing_changes(story):
        assert code(story.open(story.mallory, parcel, grant)) == (404, "refused")


def test_a_grant_is_good_for_its_record_holder_and_permission_alone(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    stranger = make_person(story.world.dice, Role.PATIENT)
    story.tell_of(stranger)
    elsewhere = f"/v1/records/{RecordId.of(stranger.identity)}/documents"
    deposit_only = story.own.grant(
        story.bob, story.attestations["b"], compartments=[story.general], permission=Permission.DEPOSIT
    )
    assert story.update(deposit_only).status_code == 200
    with nothing_changes(story):
        answers = [
            story.list(story.mallory, story.read_grant),
            story.list(story.bob, deposit_only),
            story.list(story.bob),
            story.world.get(elsewhere, story.bob, grant=story.read_grant.hash),
            story.world.get(elsewhere, story.alice),
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


def test_a_reader_without_a_valid_attestation_sees_nothing(story: VaultStory) -> None:
    assert story.bring(story.parcel()).status_code == 200
    story.world.own.registrar.revoked.add(story.attestations["b"].body.id)
    story.publish_list()
    with nothing_changes(story):
        assert code(story.list(story.bob, story.read_grant)) == (404, "refused")


def test_hidden_removed_and_unknown_documents_are_refused_alike(story: VaultStory) -> None:
    hidden = story.parcel(author=story.alice, compartment=story.private)
    moved, gone = story.parcel(), story.parcel()
    unknown = make_version(story.world.dice, story.record, story.alice.identity, salt=DocumentSalt(bytes(32)))
    assert story.bring(hidden, by=story.alice).status_code == 200
    assert story.bring(moved, gone).status_code == 200
    move(story, moved)
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    grant = story.read_grant.hash
    with nothing_changes(story):
        answers = [
            story.world.get(f"{story.path}/documents/{document}{version}", story.bob, grant=grant)
            for document in (hidden.document, moved.document, gone.document, unknown.document)
            for version in ("", "/versions/1", "/versions/newest", "/versions/2")
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert {frozenset(answer.headers) for answer in answers} == {frozenset(answers[0].headers)}


def test_what_was_removed_is_gone_for_the_patient_as_well(story: VaultStory) -> None:
    gone = story.parcel()
    assert story.bring(gone).status_code == 200
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    with nothing_changes(story):
        assert code(story.open(story.alice, gone)) == (404, "refused")


def test_every_fetch_is_logged_with_what_it_handed_out(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    story.list(story.bob, story.read_grant)
    story.open(story.bob, parcel, story.read_grant)
    bodies = logged(story)
    version = {"document": str(parcel.document), "version": 1}
    shared = {
        "by": str(story.bob.identity),
        "device": str(story.bob.device.hash),
        "grant": str(story.read_grant.hash),
        "record": str(story.record),
        "statement": None,
        "detail": None,
    }
    assert bodies[-2:] == [
        {**shared, "kind": "fetch.list", "documents": [{**version, "role": "metadata"}]},
        {
            **shared,
            "kind": "fetch.open",
            "documents": [{**version, "role": "content"}, {**version, "role": "metadata"}],
        },
    ]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "after=x", "grant=x", "unknown=1", "limit=1&limit=2"])
def test_a_query_of_another_form_is_refused(story: VaultStory, query: str) -> None:
    with nothing_changes(story):
        answer = story.world.send("GET", f"{story.path}/documents?{query}", by=story.alice)
    assert code(answer) == (400, "bad_request")


@pytest.mark.parametrize("version", ["0", "-1", "01", "100000", "1.0", "latest"])
def test_a_version_of_another_form_is_refused(story: VaultStory, version: str) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    with nothing_changes(story):
        assert code(story.open(story.alice, parcel, version=version)) == (400, "bad_request")


def test_a_successor_reads_under_the_old_grant(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    successor = make_person(story.world.dice, Role.PRACTITIONER)
    story.tell_of(successor)
    registrar = story.world.own.registrar
    story.tell_directory(story.bob.hand_over_to(successor), registrar.attest(successor, succeeds=story.bob))
    assert listed(story.list(successor, story.read_grant)) == [parcel.manifest.text]
    story.world.clock.now += DAY
    assert code(story.list(successor, story.read_grant)) == (404, "refused")
