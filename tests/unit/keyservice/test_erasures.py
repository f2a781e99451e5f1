"""Erasure at the key service: every key of the record goes, nothing of it is served again, and only its patient can."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from carnet_keyservice.erasures.memory import forget_erased
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.tables import lock_seals, lock_statements, metadata, record_locks, recoveries, sealed_keys
from carnet_protocol.api import ErasureUpdate, ReleaseKind, ReleaseRequest
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.limits import CLOCK_SKEW_SECONDS, ERASURE_WINDOW_SECONDS
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Erasure, Role, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.tables import (
    erasures,
    event_records,
    events,
    grants,
    identities,
    statements,
)
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import DAY, NOW, Deployment, Dice, OwnDevice, OwnPerson, make_person
from tests.support.records import OwnRecord, update_of
from tests.support.tables import unchanged
from tests.unit.keyservice.test_fsck import findings, full

__all__ = ["full"]

_OF_THE_PERSON = {"people", "identities", "devices", "removals", "recoveries"}


def erase(story: KeyServiceStory, signed: Signed[Erasure], *, by: OwnPerson | OwnDevice | None = None) -> Any:
    """`POST /v1/records/{record}/erasure`, by Alice unless said otherwise."""
    return story.world.post(f"{story.path}/erasure", by or story.alice, ErasureUpdate(statements=(signed.text,)))


def rows_of(connection: Connection, record: RecordId) -> dict[str, int]:
    """How many rows of `record` each table has."""
    counts = {
        table.name: len(connection.execute(select(table).where(table.c.record == record)).all())
        for table in metadata.sorted_tables
        if "record" in table.c
    }
    return {name: count for name, count in counts.items() if count}


def test_every_key_of_the_record_is_gone_and_the_person_stays(full: KeyServiceStory) -> None:
    signed = full.own.erase()
    accept(erase(full, signed))
    with full.world.engine.connect() as connection:
        assert rows_of(connection, full.own.id) == {"erasures": 1, "event_records": 5}
        for table in (record_locks, lock_seals, lock_statements, sealed_keys, grants):
            assert connection.execute(select(table)).all() == []
        kinds = set(connection.execute(select(statements.c.kind)).scalars())
        mine = {row.hash for row in connection.execute(select(identities)) if row.identity == full.alice.identity}
        kept = set(connection.execute(select(recoveries.c.identity_statement)).scalars())
    assert kinds == {"identity", "device", "removal", "recovery", "attestation", "revocation-list", "erasure"}
    assert kept < mine
    assert findings(full) == set()


def test_of_its_events_there_are_leaves_and_nothing_says_whose(full: KeyServiceStory) -> None:
    with full.world.engine.connect() as connection:
        before = {row.position: row for row in connection.execute(select(events))}
    accept(erase(full, full.own.erase()))
    with full.world.engine.connect() as connection:
        after = {row.position: row for row in connection.execute(select(events))}
        listed = set(connection.execute(select(event_records.c.position)).scalars())
    pruned = {position for position, row in after.items() if row.body is None}
    for position, one in before.items():
        other = after[position]
        assert (one.time, one.commitment, one.leaf_hash) == (other.time, other.commitment, other.leaf_hash)
        if position in pruned:
            assert (other.kind, other.salt, other.body) == (None, None, None)
            assert parse_canonical_json(one.body)["record"] == str(full.own.id)
        else:
            assert other == one
    assert pruned.isdisjoint(listed)
    (erased,) = after.keys() - before.keys()
    assert parse_canonical_json(after[erased].body)["detail"] == {"pruned": len(pruned)}


def test_the_same_again_and_another_of_the_same_root_are_answered_as_before(story: KeyServiceStory) -> None:
    signed = story.own.erase()
    first = accept(erase(story, signed))
    story.world.clock.now += 60 * DAY
    with unchanged(story.world.engine):
        assert accept(erase(story, signed)) == first
        assert accept(erase(story, story.own.erase(at=story.world.clock()))) == first


def refusals(story: KeyServiceStory, own: OwnRecord, by: OwnPerson) -> dict[str, tuple[int, bytes]]:
    """What `by` is answered to everything that one can ask about the record of `own`: status and bytes."""
    world, path = story.world, f"/v1/records/{own.id}"
    general = own.open_compartment()
    item = story.item(KeyRole.CONTENT)
    grant = own.grant(story.bob, story.attestations["bob"], compartments=[general])
    asked: dict[str, Callable[[], Any]] = {
        "access": lambda: world.get(f"{path}/access", by),
        "access under a grant": lambda: world.get(f"{path}/access", by, grant=story.grant.hash),
        "grants": lambda: world.get(f"{path}/grants", by),
        "events": lambda: world.get(f"{path}/events", by),
        "lock": lambda: world.get(f"{path}/lock", by),
        "locks": lambda: world.post(f"{path}/locks", by),
        "retirement": lambda: world.post(f"{path}/locks/1/retirement", by),
        "sealed keys": lambda: world.get(f"{path}/sealed-keys", by, statement=general.newest.hash),
        "epoch": lambda: world.post_statements(
            own, update_of(general.newest, sealed_keys=[own.sealed_key(general)]), by=by
        ),
        "staged key": lambda: world.post_statements(own, update_of(sealed_keys=[own.sealed_key(general)]), by=by),
        "grant": lambda: world.post_statements(own, update_of(grant), by=by),
        "revocation": lambda: world.post_statements(own, update_of(own.revoke(grant)), by=by),
        "tombstone": lambda: world.post_statements(
            own, update_of(own.entomb(story.version.document, StatementHash(bytes(32)), by=by)), by=by
        ),
        "nothing": lambda: world.post_statements(own, update_of(), by=by),
    }
    for kind in ReleaseKind:
        for under, name in (("nothing", None), ("a grant", story.grant.hash)):
            body = ReleaseRequest(grant=name, kind=kind, items=(item,))
            asked[f"release to {kind.value} under {under}"] = lambda body=body: world.post(f"{path}/releases", by, body)
    return {name: (answer.status_code, answer.content) for name, ask in asked.items() for answer in [ask()]}


def test_an_erased_record_is_to_everyone_as_one_that_never_was(story: KeyServiceStory) -> None:
    stranger = make_person(Dice("stranger"), Role.PATIENT)  # nobody ever told this server of them
    unknown = refusals(story, OwnRecord(Dice("unknown"), stranger, story.world.own), story.bob)
    accept(erase(story, story.own.erase()))
    with unchanged(story.world.engine):
        for person in (story.alice, story.bob, story.laura, story.mallory):
            found = refusals(story, story.own, person)
            assert found == unknown, person
    assert set(unknown.values()) == {next(iter(unknown.values()))}
    assert next(iter(unknown.values()))[0] == httpx2.codes.NOT_FOUND


def test_the_patient_is_hidden_from_former_grantees_and_lives_on(story: KeyServiceStory) -> None:
    accept(erase(story, story.own.erase()))
    assert accept(story.world.get("/v1/inbox", story.bob))["entries"] == []
    assert code(story.world.get(f"/v1/people/{story.alice.identity}", story.bob)) == (404, "refused")
    assert accept(story.world.get(f"/v1/people/{story.alice.identity}", story.alice))
    tablet = story.alice.enrol(by=story.alice.device)
    accept(story.world.post_people(tablet.statement.text, story.alice.recovery().text))
    assert accept(story.world.send_as_key("GET", "/v1/recovery", story.alice.root))["recoveries"]
    assert findings(story) == set()


def _foreign(story: KeyServiceStory) -> Deployment:
    return Deployment.make(Dice("another deployment"))


ATTACKS: dict[str, Callable[[KeyServiceStory], Signed[Erasure]]] = {
    "by a device key": lambda story: story.own.erase(root=story.alice.device.signer),
    "by another person's root key": lambda story: story.own.erase(root=story.mallory.root),
    "by nobody's key": lambda story: story.own.erase(root=Signer(bytes(32))),
    "for another record": lambda story: OwnRecord(story.dice, story.bob, story.world.own).erase(root=story.alice.root),
    "for another vault": lambda story: story.own.erase(vault=_foreign(story).vault.fingerprint),
    "for another key service": lambda story: story.own.erase(keyservice=_foreign(story).keyservice.fingerprint),
    "for the servers the other way round": lambda story: story.own.erase(
        vault=story.world.own.keyservice.fingerprint, keyservice=story.world.own.vault.fingerprint
    ),
    "too old": lambda story: story.own.erase(at=NOW - ERASURE_WINDOW_SECONDS - 1),
    "from the future": lambda story: story.own.erase(at=NOW + CLOCK_SKEW_SECONDS + 1),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_erasure_of_this_record_erases_nothing(story: KeyServiceStory, attack: str) -> None:
    signed = ATTACKS[attack](story)
    with unchanged(story.world.engine):
        assert code(erase(story, signed)) == (400, "invalid_statement")


@pytest.mark.parametrize("at", [NOW - ERASURE_WINDOW_SECONDS, NOW + CLOCK_SKEW_SECONDS])
def test_at_the_edges_of_its_time_it_erases(story: KeyServiceStory, at: int) -> None:
    accept(erase(story, story.own.erase(at=at)))


def test_a_superseded_root_key_erases_nothing(story: KeyServiceStory) -> None:
    old = story.alice.root
    renewed = story.alice.renew(new_root=True)
    tablet = story.alice.enrol()
    accept(story.world.post_people(renewed.text, tablet.statement.text))
    with unchanged(story.world.engine):
        assert code(erase(story, story.own.erase(root=old), by=tablet)) == (400, "invalid_statement")
    accept(erase(story, story.own.erase(), by=tablet))


def test_nobody_but_the_patient_brings_it_and_nobody_learns_whether_it_was_done(story: KeyServiceStory) -> None:
    signed = story.own.erase()
    with unchanged(story.world.engine):
        before = [erase(story, signed, by=person) for person in (story.bob, story.mallory)]
    accept(erase(story, signed))
    with unchanged(story.world.engine):
        after = [erase(story, signed, by=person) for person in (story.bob, story.mallory)]
    assert {(answer.status_code, answer.content) for answer in (*before, *after)} == {(404, before[0].content)}


def test_a_removed_device_brings_nothing_and_a_practitioner_has_no_record(story: KeyServiceStory) -> None:
    own = OwnRecord(story.dice, story.bob, story.world.own)
    body = ErasureUpdate(statements=(own.erase().text,))
    with unchanged(story.world.engine):
        assert code(story.world.post(f"/v1/records/{own.id}/erasure", story.bob, body)) == (404, "refused")
    thief = story.alice.enrol(by=story.alice.device)
    accept(story.world.post_people(thief.statement.text, story.alice.remove(thief, since=NOW).text))
    assert code(erase(story, story.own.erase(), by=thief)) == (401, "unauthenticated")


def test_a_lock_key_in_memory_is_forgotten(story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[RecordId] = []
    monkeypatch.setattr(LockKeys, "forget", lambda _, record: forgotten.append(record))
    accept(erase(story, story.own.erase()))
    assert forgotten == [story.own.id]


def test_lock_keys_forget_one_record_alone(story: KeyServiceStory) -> None:
    keys = LockKeys(story.world.master_keys)
    other = RecordId(bytes(32))
    for record, version in ((story.own.id, 1), (story.own.id, 2), (other, 1)):
        keys.open(keys.make(record, version, suite=Suite.X25519_MLKEM768, under=[1]))
    keys.forget(story.own.id)
    assert [keys.find((record, 1)) is None for record in (story.own.id, other)] == [True, False]
    assert keys.find((story.own.id, 2)) is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_no_byte_of_a_key_is_left_in_the_files_of_the_database(full: KeyServiceStory, tmp_path: Path) -> None:
    with full.world.engine.connect() as connection:
        needles = [bytes(seed) for seed in connection.execute(select(lock_seals.c.sealed_seed)).scalars()]
        needles += [bytes(sealed) for sealed in connection.execute(select(sealed_keys.c.sealed)).scalars()]
        kept = bytes(connection.execute(select(events.c.commitment).limit(1)).scalar_one().raw)
    assert all(_is_on_disk(tmp_path, needle) for needle in needles)
    accept(erase(full, full.own.erase()))
    assert not any(_is_on_disk(tmp_path, needle) for needle in needles)
    assert _is_on_disk(tmp_path, kept)


def test_another_process_forgets_the_keys_of_an_erased_record_and_no_others(story: KeyServiceStory) -> None:
    keys = LockKeys(story.world.master_keys)
    other = RecordId(bytes(32))
    for record in (story.own.id, other):
        keys.open(keys.make(record, 1, suite=Suite.X25519_MLKEM768, under=[1]))
    forget_erased(story.world.engine, keys)
    assert set(keys.records()) == {story.own.id, other}
    accept(erase(story, story.own.erase()))
    forget_erased(story.world.engine, keys)
    assert keys.records() == [other]


def test_a_lock_that_was_being_made_meanwhile_is_not_kept(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = LockKeys.make

    def erase_then_make(keys: LockKeys, record: RecordId, version: int, **options: Any) -> Any:
        monkeypatch.undo()
        accept(erase(story, story.own.erase()))
        return make(keys, record, version, **options)

    monkeypatch.setattr(LockKeys, "make", erase_then_make)
    assert code(story.world.post(f"{story.path}/locks", story.alice)) == (404, "refused")
    assert findings(story) == set()


def test_a_seal_that_a_rotation_made_meanwhile_is_not_put_back(story: KeyServiceStory) -> None:
    with story.world.engine.connect() as connection:
        seal = dict(connection.execute(select(lock_seals)).mappings().first() or {})
    accept(erase(story, story.own.erase()))
    with unchanged(story.world.engine):
        with pytest.raises(IntegrityError), story.world.engine.begin() as connection:
            connection.execute(insert(lock_seals), seal)
        assert findings(story) == set()


def _is_on_disk(folder: Path, needle: bytes) -> bool:
    # A sealed key of more than a page is spread over several: its first bytes are on one of them.
    return any(needle[:64] in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _event_of(connection: Connection, record: RecordId) -> int:
    listed = select(event_records.c.position).where(event_records.c.record == record)
    return connection.execute(listed.limit(1)).scalar_one()


def _blank(connection: Connection, *positions: int, **values: None) -> None:
    gone = values or {"kind": None, "salt": None, "body": None}
    connection.execute(update(events).where(events.c.position.in_(positions)).values(**gone))
    connection.execute(delete(event_records).where(event_records.c.position.in_(positions)))


def _lie_that_it_is_erased(connection: Connection, story: KeyServiceStory) -> None:
    """A row of an erasure that nobody made, in the place of a record that stands."""
    name = connection.execute(select(statements.c.hash).where(statements.c.kind == "grant").limit(1)).scalar_one()
    connection.execute(insert(erasures), {"record": story.own.id, "hash": name})


LIES: dict[str, tuple[set[str], Callable[[Connection, KeyServiceStory], None]]] = {
    "an event of a record that stands lost its body": (
        {"statement_not_logged", "pruned_otherwise"},
        lambda c, s: _blank(c, _event_of(c, s.own.id)),
    ),
    "one lost its salt alone": (
        {"event_half_pruned", "pruned_otherwise"},
        lambda c, s: _blank(c, _event_of(c, s.own.id), salt=None),
    ),
    "a record that stands is called erased": (
        {
            "row_of_an_erased_record",
            "statement_of_an_erased_record",
            "event_of_an_erased_record",
            "erasure_not_logged",
            "row_without_statement",
        },
        _lie_that_it_is_erased,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_fsck_finds_a_lie_about_a_record_that_stands(story: KeyServiceStory, lie: str) -> None:
    expected, tell = LIES[lie]
    with story.world.engine.begin() as connection:
        tell(connection, story)
    assert findings(story) == expected


def _keep_a_row(connection: Connection, story: KeyServiceStory) -> None:
    event = connection.execute(select(erasures)).one()
    connection.execute(
        insert(grants),
        {
            "hash": event.hash,
            "record": story.own.id,
            "id": story.grant.body.id,
            "grantee": story.bob.identity,
            "grantee_statement": story.bob.current.hash,
            "permission": "read",
            "not_before": NOW,
            "expires": NOW + 1,
            "device": story.alice.device.hash,
            "received_at": NOW,
            "ended": None,
        },
    )


def _keep_a_statement(connection: Connection, story: KeyServiceStory) -> None:
    event = connection.execute(select(statements.c.event).where(statements.c.kind == "erasure")).scalar_one()
    connection.execute(
        insert(statements),
        {
            "hash": story.lock.hash,
            "kind": "lock",
            "jws": story.lock.text,
            "received_at": NOW,
            "event": event,
        },
    )


AFTERWARDS: dict[str, tuple[set[str], Callable[[Connection, KeyServiceStory], None]]] = {
    "a row stayed": ({"row_of_an_erased_record", "row_without_statement"}, _keep_a_row),
    "a statement stayed": (
        {"statement_of_an_erased_record", "statement_not_logged", "row_missing"},
        _keep_a_statement,
    ),
    "the erasure is not known": (
        {"row_missing", "erasure_of_another_record", "pruned_otherwise"},
        lambda c, _: c.execute(delete(erasures)),
    ),
    "one more event lost its body": ({"pruned_otherwise", "statement_not_logged"}, lambda c, _: _blank(c, 0)),
}


@pytest.mark.parametrize("lie", AFTERWARDS)
def test_fsck_finds_a_hole_in_an_erasure(story: KeyServiceStory, lie: str) -> None:
    expected, tell = AFTERWARDS[lie]
    accept(erase(story, story.own.erase()))
    assert findings(story) == set()
    with story.world.engine.begin() as connection:
        tell(connection, story)
    assert findings(story) == expected


def test_an_erasure_leaves_every_other_record_as_it_was(story: KeyServiceStory) -> None:
    dice = Dice("second patient")
    second = make_person(dice, Role.PATIENT)
    story.world.introduce(second)
    own = OwnRecord(dice, second, story.world.own)
    part = own.open_compartment()
    grant = own.grant(story.bob, story.attestations["bob"], compartments=[part])
    keys = [own.sealed_key(part), own.sealed_key(part, grant=grant, reader=story.bob)]
    accept(story.world.post_statements(own, update_of(part.newest, grant, sealed_keys=keys)))
    accept(story.world.post(f"/v1/records/{own.id}/locks", second))
    with story.world.engine.connect() as connection:
        before = rows_of(connection, own.id)
    shown = accept(story.world.get(f"/v1/records/{own.id}/access", story.bob, grant=grant.hash))
    accept(erase(story, story.own.erase()))
    with story.world.engine.connect() as connection:
        assert rows_of(connection, own.id) == before
    assert accept(story.world.get(f"/v1/records/{own.id}/access", story.bob, grant=grant.hash)) == shown
    assert findings(story) == set()
