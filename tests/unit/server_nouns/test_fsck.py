"""The checks find nothing in a story that went well, and each of many kinds of damage."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from carnet_protocol.ids import (
    Commitment,
    CompartmentId,
    DocumentId,
    Ed25519PublicKey,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
)
from carnet_protocol.statements import Permission, Role, Signed
from carnet_server import tables as t
from carnet_server.fsck import Finding, Signers, check_log, check_rows, check_statements
from tests.support.nouns import Story, principal_of
from tests.support.people import NOW, make_person
from tests.support.records import update_of


@pytest.fixture
def full(story: Story) -> Story:
    """A story in which every kind of statement was accepted."""
    world, record = story.world, story.record
    phone, tablet = story.alice.enrol(by=story.alice.device), story.alice.enrol()
    world.accept_people_statements([phone.statement.text, tablet.statement.text])
    general, private = record.open_compartment(), record.open_compartment()
    grants = [
        record.grant(story.bob, story.bobs, compartments=[general, private]),
        record.grant(story.bob, story.bobs, compartments=[general], permission=Permission.DEPOSIT),
        record.grant(story.mallory, story.mallorys, documents=[DocumentId(b"d" * 32)], device=phone),
    ]
    alice = principal_of(story.alice)
    world.accept_record(alice, record.id, update_of(general.newest, private.newest, *grants))
    filing = record.file(DocumentId(b"d" * 32), private)
    world.accept_record(
        alice,
        record.id,
        update_of(
            record.next_epoch(general),
            record.close_epoch(general, epoch=1),
            record.revoke(grants[0]),
            filing,
            record.entomb(DocumentId(b"d" * 32), StatementHash(bytes(32))),
        ),
    )
    world.accept_people_statements([story.alice.renew(new_root=True).text])
    world.accept_people_statements([story.alice.remove(phone, since=NOW).text])
    carol = make_person(story.dice, Role.PRACTITIONER)
    world.accept_people(carol)
    world.accept_directory(world.own.registrar.publish_list(story.mallorys), story.mallory.hand_over_to(carol))
    return story


def findings(story: Story) -> Iterator[Finding]:
    """Everything that the checks find."""
    with story.world.engine.connect() as connection:
        yield from check_log(connection, story.world.deployment.fingerprint)
        yield from check_statements(connection, Signers.load(connection, story.world.deployment))
        yield from check_rows(connection)


def test_a_story_that_went_well_is_clean(full: Story) -> None:
    assert list(findings(full)) == []


def test_an_empty_server_is_clean(story: Story) -> None:
    assert list(findings(story)) == []


def _forge(connection: Connection, kind: str) -> None:
    """Flip the last byte of a statement's signature."""
    name, jws = connection.execute(
        select(t.statements.c.hash, t.statements.c.jws).where(t.statements.c.kind == kind).limit(1)
    ).one()
    head, _, signature = jws.rpartition(".")
    forged = head + "." + ("B" if signature[0] == "A" else "A") + signature[1:]
    connection.execute(update(t.statements).where(t.statements.c.hash == name).values(jws=forged))


def _set(table: t.Table, **values: object) -> Callable[[Connection], None]:
    """Damage the first row of `table`."""

    def damage(connection: Connection) -> None:
        key = next(iter(table.primary_key.columns))
        name = connection.execute(select(key).limit(1)).scalar_one()
        connection.execute(update(table).where(key == name).values(**values))

    return damage


DAMAGE: dict[str, tuple[str, Callable[[Connection], object]]] = {
    "an event is rewritten": ("commitment_of_another_body", _set(t.events, body=b"{}")),
    "a commitment is changed": ("leaf_of_another_event", _set(t.events, commitment=Commitment(bytes(32)))),
    "a leaf is changed": ("leaf_of_another_event", _set(t.events, leaf_hash=Sha256Digest(bytes(32)))),
    "an event changes its kind": ("body_of_another_kind", _set(t.events, kind="other")),
    "an event is listed under no record": ("event_listed_elsewhere", lambda c: c.execute(delete(t.event_records))),
    "an event is listed under another record": (
        "event_listed_elsewhere",
        lambda c: c.execute(update(t.event_records).values(record=RecordId(bytes(32)))),
    ),
    "time goes back": ("log_goes_back_in_time", _set(t.events, time=2 * NOW)),
    "a statement is not that of its hash": (
        "statement_malformed",
        lambda c: c.execute(update(t.statements).values(jws="a.b.c")),
    ),
    "a grant is forged": ("statement_not_signed", lambda c: _forge(c, "grant")),
    "a device is forged": ("statement_not_signed", lambda c: _forge(c, "device")),
    "an identity is forged": ("statement_not_signed", lambda c: _forge(c, "identity")),
    "an attestation is forged": ("statement_not_signed", lambda c: _forge(c, "attestation")),
    "a succession is forged": ("statement_not_signed", lambda c: _forge(c, "succession")),
    "a tombstone is forged": ("statement_not_signed", lambda c: _forge(c, "tombstone")),
    "a statement changes its event": (
        "statement_not_logged",
        lambda c: c.execute(update(t.statements).where(t.statements.c.kind == "grant").values(event=0)),
    ),
    "a grant is longer than signed": ("row_of_another_statement", _set(t.grants, expires=2 * NOW)),
    "a grant is given to another": (
        "row_of_another_statement",
        lambda c: c.execute(
            update(t.grants).values(
                grantee=select(t.people.c.identity).where(t.people.c.role == "patient").scalar_subquery()
            )
        ),
    ),
    "a grant's scope grows": (
        "scope_of_another_grant",
        lambda c: c.execute(
            insert(t.grant_compartments).from_select(
                ["grant", "compartment"], select(t.grants.c.hash, t.grants.c.id).limit(1)
            )
        ),
    ),
    "a grant's scope shrinks": ("scope_of_another_grant", lambda c: c.execute(delete(t.grant_documents))),
    "a revoked grant comes back": ("grant_ended_otherwise", lambda c: c.execute(update(t.grants).values(ended=None))),
    "a grant ends by nothing": ("grant_ended_otherwise", lambda c: c.execute(update(t.grants).values(ended=0))),
    "a closed epoch opens": ("epoch_closed_otherwise", lambda c: c.execute(update(t.compartments).values(closed=None))),
    "an epoch closes by nothing": (
        "epoch_closed_otherwise",
        lambda c: c.execute(update(t.compartments).values(closed=0)),
    ),
    "a removed device comes back": (
        "device_void_otherwise",
        lambda c: c.execute(update(t.devices).values(void_from=None)),
    ),
    "a device is void by nothing": (
        "device_void_otherwise",
        lambda c: c.execute(update(t.devices).values(void_from=5)),
    ),
    "a device gets another key": (
        "row_of_another_statement",
        _set(t.devices, device_key=Ed25519PublicKey(bytes(32))),
    ),
    "a person's older statement counts": (
        "person_not_newest",
        lambda c: c.execute(
            update(t.people)
            .where(t.people.c.serial == 1)
            .values(
                serial=0,
                current=select(t.identities.c.hash).where(t.identities.c.serial == 0).limit(1).scalar_subquery(),
            )
        ),
    ),
    "a person gets another root key": ("person_with_other_keys", _set(t.people, root_key=Ed25519PublicKey(bytes(32)))),
    "a person changes role": ("person_with_other_keys", _set(t.people, role="nobody")),
    "a revoked attestation comes back": ("list_not_newest", lambda c: c.execute(delete(t.revoked_attestations))),
    "a list stays good for longer": ("list_not_newest", _set(t.registrars, next_update=2 * NOW)),
    "a filing goes elsewhere": (
        "row_of_another_statement",
        lambda c: c.execute(update(t.filings).values(compartment=CompartmentId(bytes(16)))),
    ),
    "a tombstone is taken away": ("row_missing", lambda c: c.execute(delete(t.tombstones))),
    "a revocation is taken away": ("row_missing", lambda c: c.execute(delete(t.revocations))),
    "a filing has no statement": (
        "row_without_statement",
        lambda c: c.execute(update(t.statements).where(t.statements.c.kind == "filing").values(kind="reseal")),
    ),
}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(full: Story, name: str) -> None:
    check, damage = DAMAGE[name]
    with full.world.engine.begin() as connection:
        damage(connection)
    found = {finding.check for finding in findings(full)}
    assert check in found


def test_a_missing_event_is_found(full: Story) -> None:
    with full.world.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        connection.execute(delete(t.events).where(t.events.c.position == 1))
        connection.execute(delete(t.statements).where(t.statements.c.event == 1))
        raised = {
            finding.check
            for checks in (
                check_log(connection, full.world.deployment.fingerprint),
                check_statements(connection, Signers.load(connection, full.world.deployment)),
                check_rows(connection),
            )
            for finding in checks
        }
        connection.rollback()
    assert {"log_has_a_gap", "row_without_statement"} <= raised


def test_a_person_without_a_row_is_found(full: Story) -> None:
    stranger = make_person(full.dice, Role.PATIENT)
    with full.world.moment() as moment:
        signed: Signed = stranger.current
        moment.connection.execute(
            insert(t.statements),
            {"hash": signed.hash, "kind": "identity", "jws": signed.text, "received_at": NOW, "event": 0},
        )
    found = {(finding.check, finding.where) for finding in findings(full)}
    assert ("row_missing", f"identity {IdentityHash(signed.hash.raw)}") in found
