"""Letting somebody in, against both real servers."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.errors import (
    CarnetError,
    ChangedKeysError,
    RecoveryKitMissingError,
    RefusedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from carnet.grant_book import load_grants
from carnet.grants import (
    GrantPlan,
    GrantState,
    check_recovery_kit,
    list_grants,
    make_grant,
    plan_depositing,
    plan_reading,
    visible_documents,
)
from carnet.identity import renew_account_key
from carnet.records import open_record
from carnet.revocation import complete_revocation, revoke
from carnet.session import Session
from carnet.succession import fetch_practitioner
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash
from carnet_protocol.statements import Purpose, Role
from tests.support.client import ClientWorld, confirm_kit, find_compartment, put_document, titles
from tests.support.people import DAY


def plan(session: Session, grantee: Session, **members: Any) -> GrantPlan:
    """A plan for an hour of `general`, unless `members` say otherwise."""
    access = open_access(session, session.record)
    scope = {} if "documents" in members else {"compartments": [find_compartment(access, "general")]}
    given = {"seconds": 3600, "purpose": Purpose.TREATMENT, **scope, **members}
    return plan_reading(session, access, grantee.identity, **given)


@pytest.fixture
def alice(world: ClientWorld) -> Session:
    alice = world.patient("alice")
    open_record(alice)
    for server in alice.servers.values():
        server._sleep = lambda _: None
    return alice


def test_single_document_grant_shows_that_document_alone(world: ClientWorld, alice: Session, tmp_path: Path) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    shown = put_document(alice, access, tmp_path, "shown", compartment="general")
    put_document(alice, access, tmp_path, "kept", compartment="general")
    single = plan(alice, bob, documents=[shown])
    visible = visible_documents(single, list_documents(alice, access).documents)
    assert [document.metadata.title for document in visible] == ["shown"]
    grant = make_grant(alice, access, single)
    assert titles(bob, open_access(bob, alice.record, grant.hash)) == ["shown"]
    other = make_grant(alice, access, plan(alice, bob, documents=[shown]))
    revoke(alice, load_grants(alice, access), grant)
    report = complete_revocation(alice, grant)
    assert report.skipped == ()
    with pytest.raises(RefusedError):
        open_access(bob, alice.record, grant.hash)
    assert titles(bob, open_access(bob, alice.record, other.hash)) == ["shown"]
    assert titles(alice, open_access(alice, alice.record)) == ["kept", "shown"]


def test_a_single_document_grant_carries_no_compartment_key(world: ClientWorld, alice: Session, tmp_path: Path) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    shown = put_document(alice, access, tmp_path, "shown", compartment="general")
    grant = make_grant(alice, access, plan(alice, bob, documents=[shown]))
    theirs = open_access(bob, alice.record, grant.hash)
    assert theirs.compartments == {}
    assert list(theirs.personal_keys) == [grant.body.grantee_statement]


def test_a_preview_lists_what_the_reader_will_see(world: ClientWorld, alice: Session, tmp_path: Path) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    for title, compartment in (("letter", "general"), ("x-ray", "imaging"), ("secret", "private")):
        put_document(alice, access, tmp_path, title, compartment=compartment)
    scope = [find_compartment(access, name) for name in ("general", "imaging")]
    wide = plan(alice, bob, compartments=scope)
    visible = {document.metadata.title for document in visible_documents(wide, list_documents(alice, access).documents)}
    assert visible == {"letter", "x-ray"}
    grant = make_grant(alice, access, wide)
    assert set(titles(bob, open_access(bob, alice.record, grant.hash))) == visible


def test_a_depositor_sees_nothing(world: ClientWorld, alice: Session, tmp_path: Path) -> None:
    laura = world.practitioner("laura")
    access = open_access(alice, alice.record)
    put_document(alice, access, tmp_path, "letter", compartment="general")
    deposit = plan_depositing(
        alice,
        access,
        laura.identity,
        compartment=find_compartment(access, "general"),
        seconds=400 * DAY,
        purpose=Purpose.DIAGNOSTICS,
    )
    assert visible_documents(deposit, list_documents(alice, access).documents) == []
    grant = make_grant(alice, access, deposit)
    theirs = open_access(laura, alice.record, grant.hash)
    assert [compartment.keys for compartment in theirs.compartments.values()] == [{}]
    assert [compartment.name for compartment in theirs.compartments.values()] == [None]
    with pytest.raises(RefusedError):
        list_documents(laura, theirs)


@pytest.mark.parametrize("seconds", [0, -1, 366 * DAY + 1])
def test_a_grant_to_read_has_a_longest_time(world: ClientWorld, alice: Session, seconds: int) -> None:
    with pytest.raises(UsageError):
        plan(alice, world.practitioner("bob"), seconds=seconds)


@pytest.mark.parametrize("seconds", [0, -1, 10 * 366 * DAY + 1])
def test_a_grant_to_deposit_has_a_longest_time(world: ClientWorld, alice: Session, seconds: int) -> None:
    access = open_access(alice, alice.record)
    with pytest.raises(UsageError):
        plan_depositing(
            alice,
            access,
            world.practitioner("bob").identity,
            compartment=find_compartment(access, "general"),
            seconds=seconds,
            purpose=Purpose.DIAGNOSTICS,
        )


SCOPES: dict[str, dict[str, Any]] = {
    "nothing": {"compartments": [], "documents": []},
    "both": {"compartments": [CompartmentId(bytes(16))], "documents": [DocumentId(bytes(32))]},
    "an unknown compartment": {"compartments": [CompartmentId(bytes(16))]},
    "too much": {"compartments": [], "documents": [DocumentId(bytes([i % 256, i // 256]) * 16) for i in range(257)]},
}


@pytest.mark.parametrize("name", SCOPES)
def test_a_grant_has_one_scope(world: ClientWorld, alice: Session, name: str) -> None:
    access = open_access(alice, alice.record)
    bob = world.practitioner("bob")
    with pytest.raises(UsageError):
        plan_reading(alice, access, bob.identity, seconds=60, purpose=Purpose.TREATMENT, **SCOPES[name])


def test_patients_need_no_grant_and_give_none_to_patients(world: ClientWorld, alice: Session) -> None:
    with pytest.raises(UsageError, match="your own"):
        plan(alice, alice)
    with pytest.raises((VerificationError, RefusedError)):
        plan(alice, world.patient("carol"))


def test_nobody_is_let_in_whom_no_registrar_attests(world: ClientWorld, alice: Session) -> None:
    with pytest.raises(VerificationError, match="attestation"):
        plan(alice, world.person("bob", Role.PRACTITIONER))


def test_nobody_is_let_in_whom_no_server_knows(alice: Session) -> None:
    access = open_access(alice, alice.record)
    with pytest.raises(RefusedError):
        plan_reading(
            alice,
            access,
            IdentityHash(bytes(32)),
            compartments=[next(iter(access.compartments))],
            seconds=60,
            purpose=Purpose.TREATMENT,
        )


def test_changed_keys_stop_a_grant_until_they_are_accepted(world: ClientWorld, alice: Session) -> None:
    bob = world.person("bob", Role.PRACTITIONER)
    world.attest(bob)
    plan(alice, bob)
    secret = bob.keyring.body.recovery_secret
    assert secret is not None
    renew_account_key(bob, secret)
    world.attest(bob)
    with pytest.raises(ChangedKeysError):
        plan(alice, bob)
    alice.people.accept(fetch_practitioner(alice, bob.identity))
    grant = make_grant(alice, open_access(alice, alice.record), plan(alice, bob))
    assert titles(bob, open_access(bob, alice.record, grant.hash)) == []


def test_the_recovery_kit_comes_before_the_first_grant(world: ClientWorld) -> None:
    session = world.person("alice", Role.PATIENT)
    with pytest.raises(RecoveryKitMissingError, match="carnet recovery kit"):
        check_recovery_kit(session)
    confirm_kit(session)
    check_recovery_kit(session)


def test_states_follow_the_clock(world: ClientWorld, alice: Session) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    start = world.clock.now + 100
    grant = make_grant(alice, access, plan(alice, bob, not_before=start, seconds=50))
    seen = []
    for now in (start - 1, start, start + 49, start + 50):
        world.clock.now = now
        (status,) = list_grants(load_grants(alice, open_access(alice, alice.record)), now=now)
        seen.append((status.state, status.seconds_left))
    assert seen == [
        (GrantState.COMING, 51),
        (GrantState.IN_FORCE, 50),
        (GrantState.IN_FORCE, 1),
        (GrantState.EXPIRED, 0),
    ]
    assert load_grants(alice, open_access(alice, alice.record)).find(str(grant.body.id)).hash == grant.hash


def test_a_grant_that_only_one_server_has_is_incomplete_and_then_finished(world: ClientWorld, alice: Session) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    made = plan(alice, bob)

    def lose(request: httpx2.Request) -> None:
        if request.method == "POST":
            raise httpx2.ConnectError("cut", request=request)

    world.vault.before = lose
    with pytest.raises(CarnetError, match="vault"):
        make_grant(alice, access, made)
    (status,) = list_grants(load_grants(alice, access), now=world.clock())
    assert status.state is GrantState.INCOMPLETE
    with pytest.raises(RefusedError):
        open_access(bob, alice.record, status.grant.hash)
    world.vault.before = None
    again = world.reopen("alice")
    (status,) = list_grants(load_grants(again, open_access(again, again.record)), now=world.clock())
    assert status.state is GrantState.IN_FORCE
    assert titles(bob, open_access(bob, alice.record, status.grant.hash)) == []


def test_a_grant_that_no_server_heard_of_is_not_made(world: ClientWorld, alice: Session) -> None:
    bob = world.practitioner("bob")
    access = open_access(alice, alice.record)
    made = plan(alice, bob)

    def lose(request: httpx2.Request) -> None:
        raise httpx2.ConnectError("cut", request=request)

    world.keyservice.before = lose
    with pytest.raises(UnreachableError):
        make_grant(alice, access, made)
    world.keyservice.before = None
    assert load_grants(alice, access).grants == ()
    assert alice.outbox.is_empty()
