"""The vault's side of a rotation of record locks: for the key service alone, one capsule holding up no other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Table, select

from carnet_protocol.api import (
    Capsule,
    LockCountsAnswer,
    LockCountsQuery,
    LocksShown,
    LockStanding,
    LocksUpdate,
    OldCapsulesQuery,
    OuterLockSwap,
    RecordSwaps,
    SwapOutcome,
    SwapsAnswer,
    SwapsUpdate,
)
from carnet_protocol.ids import RecordId, Sha256Digest, StatementHash
from carnet_protocol.limits import MAX_ROTATION_CAPSULES
from carnet_protocol.requests import KeyId, sign_request
from carnet_protocol.sealed_box import BoxKind, format_header
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Grant, Lock, Role, Signed
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import KeyRole
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.deployment import Moment
from carnet_server.officers.accept import enrol_officer
from carnet_server.tables import events as logged
from carnet_server.writer import Writer
from carnet_vault.gc.queries import Removed, strip_documents
from carnet_vault.tables import capsules, personal_capsules
from tests.support.parcels import Parcel, swap
from tests.support.people import DAY, NOW, Dice, make_person
from tests.support.records import make_lock
from tests.support.vault import VaultStory, code, nothing_changes
from tests.support.vault_rotation import (
    PATHS,
    ask,
    bring_swaps,
    old_capsules,
    remake,
    send,
    send_as,
    show,
    swap_of,
    swaps_of,
)

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rotating:
    """A story with two documents under lock 1, one also for Mallory, and lock 2 shown."""

    story: VaultStory
    parcels: tuple[Parcel, Parcel]
    grant: Signed[Grant]
    personal: Capsule
    lock: Signed[Lock]

    @classmethod
    def begin(cls, story: VaultStory) -> "Rotating":
        parcels = (story.parcel(), story.parcel(compartment=story.private, author=story.alice))
        assert story.bring(parcels[0]).status_code == 200
        assert story.bring(parcels[1], by=story.alice).status_code == 200
        grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcels[0].document])
        personal = story.own.personal_capsule(parcels[0].version, KeyRole.CONTENT, grant, story.mallory, story.lock)
        assert story.update(grant, capsules=[swap(personal, None)]).status_code == 200
        lock = next_lock(story)
        assert show(story, lock).status_code == 200
        return cls(story, parcels, grant, personal, lock)

    def old(self) -> list[Capsule]:
        return [each.entry.capsule for each in old_capsules(self.story)]


def next_lock(story: VaultStory, version: int = 2, **members: Any) -> Signed[Lock]:
    lock, _ = make_lock(story.world.dice, story.world.own, story.record, version=version, at=story.world.clock())
    body = lock.body.model_copy(update=members)
    return Signed.sign(body, story.world.own.keyservice.key)


def rows(story: VaultStory, table: Table) -> Rows:
    with story.world.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def but_outer_locks(found: Rows) -> Rows:
    return [
        {name: value for name, value in row.items() if name not in {"lock_statement", "digest", "sealed"}}
        for row in found
    ]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_capsules_under_an_older_lock_are_listed_page_by_page(story: VaultStory, limit: int) -> None:
    rotating = Rotating.begin(story)
    after = story.parcel(lock=rotating.lock)
    assert story.bring(after).status_code == 200
    found = old_capsules(story, limit=limit)
    expected = [
        (capsule, parcel.version.identity.author, parcel.version.identity.suite)
        for parcel in rotating.parcels
        for capsule in (parcel.content_capsule, parcel.metadata_capsule)
    ]
    expected.append((rotating.personal, story.laura.identity, WRITE_SUITE))
    listed = [(each.entry.capsule, each.entry.author, each.entry.suite) for each in found]
    assert sorted(map(repr, listed)) == sorted(map(repr, expected))
    assert {each.record for each in found} == {story.record}


def test_nothing_is_old_before_a_newer_lock_was_shown(sqlite_story: VaultStory) -> None:
    assert sqlite_story.bring(sqlite_story.parcel()).status_code == 200
    assert old_capsules(sqlite_story) == []
    (counts,) = ask(sqlite_story, "counts", LockCountsQuery(records=(sqlite_story.record,)), LockCountsAnswer).records
    assert (counts.highest, [(each.version, each.capsules) for each in counts.locks]) == (1, [(1, 2)])


def test_a_record_that_nobody_knows_has_no_capsules(sqlite_story: VaultStory) -> None:
    unknown = RecordId(bytes(32))
    records = tuple(sorted([unknown, sqlite_story.record]))
    answer = ask(sqlite_story, "counts", LockCountsQuery(records=records), LockCountsAnswer)
    assert {each.record: (each.highest, each.locks) for each in answer.records}[unknown] == (0, ())


def test_a_swap_changes_the_outer_lock_and_nothing_else(story: VaultStory) -> None:
    rotating = Rotating.begin(story)
    before = [*rows(story, capsules), *rows(story, personal_capsules)]
    swaps = [remake(capsule, rotating.lock) for capsule in rotating.old()]
    answer = bring_swaps(story, rotating.lock, *swaps)
    assert answer.outcomes == (SwapOutcome.SWAPPED,) * 5
    after = [*rows(story, capsules), *rows(story, personal_capsules)]
    assert but_outer_locks(after) == but_outer_locks(before)
    assert {row["lock_statement"] for row in after} == {rotating.lock.hash}
    assert {row["sealed"] for row in after} == {each.sealed for each in swaps}
    assert all(Sha256Digest.of(row["sealed"]) == row["digest"] for row in after)
    assert rotating.old() == []


def test_one_event_says_how_many_capsules_of_a_record_were_rotated(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    before = events(sqlite_story)
    answer = bring_swaps(sqlite_story, rotating.lock, *(remake(each, rotating.lock) for each in rotating.old()))
    (event,) = events(sqlite_story)[len(before) :]
    assert answer.event == len(events(sqlite_story)) - 1
    assert event["kind"] == "capsules.rotated"
    assert event["by"] == str(sqlite_story.world.own.keyservice.fingerprint)
    assert (event["record"], event["statement"]) == (str(sqlite_story.record), str(rotating.lock.hash))
    assert event["detail"] == {"capsules": 5, "version": 2}


def test_the_same_swaps_again_succeed_and_change_nothing(story: VaultStory) -> None:
    rotating = Rotating.begin(story)
    swaps = [remake(each, rotating.lock) for each in rotating.old()]
    bring_swaps(story, rotating.lock, *swaps)
    with nothing_changes(story):
        again = bring_swaps(story, rotating.lock, *swaps)
    assert (again.outcomes, again.event) == ((SwapOutcome.REPEATED,) * 5, None)


def test_a_conflict_holds_up_no_other_swap(story: VaultStory) -> None:
    rotating = Rotating.begin(story)
    swaps = {capsule: remake(capsule, rotating.lock) for capsule in rotating.old()}
    mine, theirs = rotating.parcels[0].content_capsule, rotating.parcels[1].content_capsule
    relocked = story.own.capsule(rotating.parcels[0].version, KeyRole.CONTENT, story.general, rotating.lock)
    assert story.update(capsules=[swap(relocked, mine)]).status_code == 200
    assert story.update(story.own.revoke(rotating.grant)).status_code == 200
    answer = bring_swaps(story, rotating.lock, *swaps.values())
    outcomes = dict(zip(swaps, answer.outcomes, strict=True))
    assert (outcomes[mine], outcomes[rotating.personal]) == (SwapOutcome.CONFLICT, SwapOutcome.GONE)
    assert outcomes[theirs] is SwapOutcome.SWAPPED
    assert answer.outcomes.count(SwapOutcome.SWAPPED) == 3
    assert relocked.sealed in {row["sealed"] for row in rows(story, capsules)}


def test_a_stale_record_holds_up_no_other(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    unknown = RecordId(bytes(32))
    swaps = tuple(remake(each, rotating.lock) for each in rotating.old())
    asked = [
        RecordSwaps(record=record, lock_statement=rotating.lock.hash, swaps=swaps)
        for record in sorted([unknown, sqlite_story.record])
    ]
    answer = ask(sqlite_story, "swaps", SwapsUpdate(records=tuple(asked)), SwapsAnswer)
    standings = {each.record: (each.standing, len(each.outcomes)) for each in answer.records}
    assert standings == {unknown: (LockStanding.NOT_NOW, 0), sqlite_story.record: (LockStanding.CURRENT, 5)}


def test_swaps_to_a_lock_that_is_not_current_are_not_made(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    story = sqlite_story
    never_shown = next_lock(story, 3)
    with nothing_changes(story):
        for lock, standing in ((story.lock, LockStanding.SUPERSEDED), (never_shown, LockStanding.NOT_NOW)):
            answer = bring_swaps(story, lock, *(remake(each, lock) for each in rotating.old()))
            assert (answer.standing, answer.outcomes, answer.event) == (standing, (), None)
    story.world.clock.now = rotating.lock.body.expires
    with nothing_changes(story):
        answer = bring_swaps(story, rotating.lock, remake(rotating.old()[0], rotating.lock))
        assert answer.standing is LockStanding.NOT_NOW


def test_a_lock_of_another_record_is_not_swapped_to(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    other = make_person(sqlite_story.world.dice, Role.PATIENT, at=sqlite_story.world.clock())
    sqlite_story.tell_of(other)
    theirs = next_lock(sqlite_story, 9, record=RecordId(other.identity.raw))
    assert show(sqlite_story, theirs).json()["locks"][0]["standing"] == "current"
    with nothing_changes(sqlite_story):
        answer = bring_swaps(sqlite_story, theirs, remake(rotating.old()[0], theirs))
        assert (answer.standing, answer.outcomes) == (LockStanding.NOT_NOW, ())


def _cut(given: OuterLockSwap) -> OuterLockSwap:
    return given.model_copy(update={"sealed": given.sealed[:-1]})


def _extended(given: OuterLockSwap) -> OuterLockSwap:
    return given.model_copy(update={"sealed": given.sealed + b"\0"})


def _of_another_kind(given: OuterLockSwap) -> OuterLockSwap:
    header = format_header(BoxKind.PERSONAL_OUTER_LOCK, WRITE_SUITE)
    return given.model_copy(update={"sealed": header + given.sealed[len(header) :]})


def _for_a_grant(given: OuterLockSwap) -> OuterLockSwap:
    return given.model_copy(update={"grant": StatementHash(bytes(32))})


@pytest.mark.parametrize("damage", [_cut, _extended, _of_another_kind, _for_a_grant])
def test_a_malformed_swap_is_refused_with_all_that_come_along(
    sqlite_story: VaultStory, damage: Callable[[OuterLockSwap], OuterLockSwap]
) -> None:
    rotating = Rotating.begin(sqlite_story)
    good, other = (
        remake(each, rotating.lock)
        for each in (rotating.parcels[0].content_capsule, rotating.parcels[1].content_capsule)
    )
    with nothing_changes(sqlite_story):
        answer = send(sqlite_story, "swaps", swaps_of(sqlite_story, rotating.lock, good, damage(other)))
        assert code(answer) == (400, "bad_request")


def test_two_swaps_in_one_place_are_refused(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    twice = [remake(rotating.parcels[0].content_capsule, rotating.lock) for _ in range(2)]
    with nothing_changes(sqlite_story):
        answer = send(sqlite_story, "swaps", swaps_of(sqlite_story, rotating.lock, *twice))
        assert code(answer) == (400, "bad_request")


def test_a_swap_with_anothers_place_moves_nothing(sqlite_story: VaultStory) -> None:
    """A swap that names another document, version, role or grant than the capsule that it replaces."""
    rotating = Rotating.begin(sqlite_story)
    one, other = rotating.parcels
    good = remake(one.content_capsule, rotating.lock)
    to_grant = swap_of(rotating.personal, remake(rotating.personal, rotating.lock).sealed)
    moved = [
        good.model_copy(update={"document": other.document}),
        good.model_copy(update={"version": 2}),
        good.model_copy(update={"role": KeyRole.METADATA}),
        to_grant.model_copy(update={"grant": sqlite_story.deposit_grant.hash}),
    ]
    with nothing_changes(sqlite_story):
        answer = bring_swaps(sqlite_story, rotating.lock, *moved)
    assert set(answer.outcomes) <= {SwapOutcome.CONFLICT, SwapOutcome.GONE}


@pytest.mark.parametrize("member", ["compartment", "personal", "compartment_statement", "grantee", "suite", "author"])
def test_a_swap_has_no_word_for_a_recipient(sqlite_story: VaultStory, member: str) -> None:
    rotating = Rotating.begin(sqlite_story)
    body = swaps_of(sqlite_story, rotating.lock, remake(rotating.old()[0], rotating.lock)).model_dump(mode="json")
    body["records"][0]["swaps"][0][member] = str(sqlite_story.private.id)
    with nothing_changes(sqlite_story):
        assert code(send(sqlite_story, "swaps", json.dumps(body).encode())) == (400, "bad_request")


def test_nobody_but_the_key_service_is_let_in(sqlite_story: VaultStory) -> None:
    """A device is, like an officer, told that there is no such thing; a key that nobody knows, that it is not known."""
    rotating = Rotating.begin(sqlite_story)
    story, own = sqlite_story, sqlite_story.world.own
    bodies = bodies_of(rotating)
    officer, stranger = Dice("officer").signer(), Dice("stranger").signer()
    with Writer(story.world.engine) as writer:
        enrol(story, writer, officer)
    with nothing_changes(story):
        for path in PATHS:
            as_device = [story.world.post(f"/v1/rotation/{path}", by, bodies[path]) for by in (story.alice, story.bob)]
            answers = {answer.content for answer in [*as_device, send_as(story, officer, path, bodies[path])]}
            assert [code(answer) for answer in as_device] == [(404, "refused")] * 2
            assert len(answers) == 1
            strangers = [stranger, own.vault.key, own.keyservice.log_key, own.card_key, own.registrar.signer]
            for signer in strangers:
                assert code(send_as(story, signer, path, bodies[path])) == (401, "unauthenticated")
            unsigned = story.world.post(f"/v1/rotation/{path}", None, bodies[path])
            assert code(unsigned) == (401, "unauthenticated")


def test_an_officer_with_the_key_services_key_is_still_the_key_service(sqlite_story: VaultStory) -> None:
    key = sqlite_story.world.own.keyservice.key
    with Writer(sqlite_story.world.engine) as writer:
        enrol(sqlite_story, writer, key)
    assert old_capsules(sqlite_story) == []


def test_the_key_service_may_do_nothing_else(sqlite_story: VaultStory) -> None:
    story, key = sqlite_story, sqlite_story.world.own.keyservice.key
    headers = {
        path: sign_request(
            method="GET",
            target=story.world.own.vault.origin + path,
            body=b"",
            server=story.world.own.vault.fingerprint,
            key_id=KeyId(key.public_key.fingerprint().raw),
            created=story.world.clock(),
            sign=key.sign,
        )
        for path in (f"{story.path}/capsules", f"{story.path}/documents", f"{story.path}/events", "/v1/admin/status")
    }
    for path, signed in headers.items():
        assert code(story.world.client.get(path, headers=signed)) == (404, "refused")


def test_lock_statements_are_shown_with_one_outcome_each(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    assert show(story, next_lock(story, 3)).status_code == 200
    unknown = next_lock(story, 1, record=RecordId(bytes(32)))
    older, now = next_lock(story, 2), story.world.clock()
    later = next_lock(story, 3, issued_at=now + DAY, expires=now + 2 * DAY)
    for lock, expected in (
        (older, (LockStanding.SUPERSEDED, 3)),
        (later, (LockStanding.NOT_NOW, 3)),
        (unknown, (LockStanding.RECORD_UNKNOWN, 0)),
    ):
        with nothing_changes(story):
            (shown,) = ask(story, "locks", LocksUpdate(locks=(lock.text,)), LocksShown).locks
            assert (shown.standing, shown.highest) == expected
    both = LocksUpdate(locks=(unknown.text, next_lock(story, 4).text))
    assert [each.standing.value for each in ask(story, "locks", both, LocksShown).locks] == [
        "record_unknown",
        "current",
    ]


def test_after_a_lock_was_shown_deposits_under_the_one_before_are_stale(sqlite_story: VaultStory) -> None:
    before = sqlite_story.parcel()
    assert show(sqlite_story, next_lock(sqlite_story)).status_code == 200
    (upload,) = sqlite_story.upload(before)
    with nothing_changes(sqlite_story):
        assert code(sqlite_story.commit((before, upload))) == (409, "stale")


def test_a_lock_statement_that_the_key_service_did_not_sign_is_refused(sqlite_story: VaultStory) -> None:
    forged = Signed.sign(next_lock(sqlite_story).body, sqlite_story.world.own.vault.key)
    with nothing_changes(sqlite_story):
        assert code(show(sqlite_story, forged)) == (400, "invalid_statement")
        assert code(show(sqlite_story, next_lock(sqlite_story), forged)) == (400, "bad_request")


def test_records_are_asked_for_in_one_order(sqlite_story: VaultStory) -> None:
    one, other = str(RecordId(bytes(32))), str(RecordId(b"\1" * 32))
    for records in ([other, one], [one, one], []):
        body = json.dumps({"records": records, "after": None, "limit": 1}).encode()
        assert code(send(sqlite_story, "capsules", body)) == (400, "bad_request")


@pytest.mark.parametrize("after", ["", "x", "a.b.c", ".".join(["A" * 43] * 3), "é"])
def test_a_cursor_of_another_form_is_refused(sqlite_story: VaultStory, after: str) -> None:
    query = OldCapsulesQuery(records=(sqlite_story.record,), after=after, limit=1)
    assert code(send(sqlite_story, "capsules", query)) == (400, "bad_request")


def test_more_than_the_limit_is_refused(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    body = swaps_of(sqlite_story, rotating.lock, remake(rotating.old()[0], rotating.lock)).model_dump(mode="json")
    body["records"][0]["swaps"] *= MAX_ROTATION_CAPSULES + 1
    with nothing_changes(sqlite_story):
        assert send(sqlite_story, "swaps", json.dumps(body).encode()).status_code in {400, 413}
    query = {"records": [str(sqlite_story.record)], "after": None, "limit": MAX_ROTATION_CAPSULES + 1}
    assert code(send(sqlite_story, "capsules", json.dumps(query).encode())) == (400, "bad_request")


def test_counts_go_by_lock_version(story: VaultStory) -> None:
    rotating = Rotating.begin(story)
    bring_swaps(story, rotating.lock, remake(rotating.parcels[0].metadata_capsule, rotating.lock))
    (counts,) = ask(story, "counts", LockCountsQuery(records=(story.record,)), LockCountsAnswer).records
    assert counts.highest == 2
    assert [(each.version, each.capsules, each.personal_capsules) for each in counts.locks] == [(1, 3, 1), (2, 1, 0)]


def test_a_tombstone_leaves_its_capsules_to_rotation_until_they_are_collected(sqlite_story: VaultStory) -> None:
    rotating = Rotating.begin(sqlite_story)
    before = rotating.old()
    tombstone = sqlite_story.own.entomb(rotating.parcels[0].document, rotating.parcels[0].manifest.hash)
    assert sqlite_story.update(tombstone).status_code == 200
    assert rotating.old() == before
    with sqlite_story.world.engine.begin() as connection:
        strip_documents(connection, [Removed(NOW, sqlite_story.record, rotating.parcels[0].document)])
    assert {each.document for each in rotating.old()} == {rotating.parcels[1].document}


def bodies_of(rotating: Rotating) -> dict[str, BaseModel]:
    """A good body for each route."""
    record = rotating.story.record
    return {
        "locks": LocksUpdate(locks=(next_lock(rotating.story, 3).text,)),
        "capsules": OldCapsulesQuery(records=(record,), after=None, limit=1),
        "swaps": swaps_of(rotating.story, rotating.lock, remake(rotating.old()[0], rotating.lock)),
        "counts": LockCountsQuery(records=(record,)),
    }


def enrol(story: VaultStory, writer: Writer, signer: Signer) -> None:
    """Put `signer` in force as an officer of the vault."""
    own = story.world.own
    deployment = ServerDeployment.of(own.card, own.card.body.vault, own.vault.log_key)
    writer.run(
        lambda _: story.world.clock(),
        lambda connection, now: enrol_officer(Moment(connection, now, deployment), signer.public_key, by=None),
    )


def events(story: VaultStory) -> list[dict[str, Any]]:
    """The bodies of all events, in order."""
    with story.world.engine.connect() as connection:
        return [
            json.loads(row) for row in connection.execute(select(logged.c.body).order_by(logged.c.position)).scalars()
        ]
