"""Remaking one outer lock: what may be remade, and that nothing is given up for what does not open."""

from dataclasses import replace
from typing import Any

import pytest

from carnet_keyservice.errors import SealedError
from carnet_keyservice.lock_rotation.facts import EpochFact, Facts, GrantFact, LockFact
from carnet_keyservice.lock_rotation.remake import NewLock, find_obstacle, remake
from carnet_keyservice.lock_rotation.report import LeftCapsule, LeftReason
from carnet_keyservice.sealing import LockKey, LockPublicKey, Secret
from carnet_protocol.api import Capsule, OldCapsule, OuterLockSwap
from carnet_protocol.api.capsules import CapsuleEntry, CompartmentRecipient, PersonalRecipient
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, Sha256Digest, StatementHash
from carnet_protocol.sealed_box import capsule_size, inner_size
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_protocol.tuples import IdentityTuple, KeyRole
from tests.support.hpke import open_box, seal
from tests.support.people import Dice

DICE = Dice("remake")
RECORD, OTHER = RecordId(DICE(32)), RecordId(DICE(32))
DOCUMENT, AUTHOR, GRANTEE = DocumentId(DICE(32)), IdentityHash(DICE(32)), IdentityHash(DICE(32))
COMPARTMENT, EPOCH = CompartmentId(DICE(CompartmentId.SIZE)), StatementHash(DICE(32))
GRANT, OLD, NEW = StatementHash(DICE(32)), StatementHash(DICE(32)), StatementHash(DICE(32))
SEED, NEW_SEED = DICE(32), DICE(32)
KEY, NEW_KEY = LockKey(Secret(SEED), WRITE_SUITE), LockKey(Secret(NEW_SEED), WRITE_SUITE)
INNER = DICE(inner_size(WRITE_SUITE))

SHARED = {
    "compartment": CompartmentRecipient(compartment=COMPARTMENT, compartment_statement=EPOCH),
    "personal": None,
}
PERSONAL = {
    "compartment": None,
    "personal": PersonalRecipient(grant=GRANT, grantee=GRANTEE, grantee_statement=StatementHash(DICE(32))),
}
FACTS = Facts(
    locks={OLD: LockFact(RECORD, 1, is_destroyed=False)},
    epochs={EPOCH: EpochFact(RECORD, COMPARTMENT, is_closed=False)},
    grants={GRANT: GrantFact(RECORD, GRANTEE, frozenset({DOCUMENT}))},
)
LOCK = NewLock(2, NEW, "", LockPublicKey(NEW_KEY.public_key, WRITE_SUITE), NEW_KEY)
KEYS = {(RECORD, 1): KEY}


def make_old(recipient: dict[str, Any], *, record: RecordId = RECORD) -> OldCapsule:
    """A capsule under lock 1, made without the key service."""
    empty = Capsule(
        document=DOCUMENT,
        version=3,
        role=KeyRole.CONTENT,
        lock_statement=OLD,
        inner_suite=WRITE_SUITE,
        outer_suite=WRITE_SUITE,
        sealed=b"",
        **recipient,
    )
    wrap = empty.wrap_tuple(IdentityTuple(WRITE_SUITE, record, DOCUMENT, 3, AUTHOR))
    sealed = seal(KEY.public_key, wrap.outer_info(), INNER, kind=wrap.outer_kind())
    capsule = empty.model_copy(update={"sealed": sealed})
    return OldCapsule(record=record, entry=CapsuleEntry(capsule=capsule, suite=WRITE_SUITE, author=AUTHOR))


@pytest.mark.parametrize("recipient", [SHARED, PERSONAL], ids=["compartment", "person"])
def test_a_remade_capsule_holds_the_same_inner_lock_in_the_same_place(recipient: dict[str, Any]) -> None:
    old = make_old(recipient)
    made = remake(old, FACTS, keys=KEYS, new=LOCK)
    assert isinstance(made, OuterLockSwap)
    capsule = old.entry.capsule
    assert (made.document, made.version, made.role) == (capsule.document, capsule.version, capsule.role)
    assert made.grant == (None if capsule.personal is None else GRANT)
    assert made.replaces == Sha256Digest.of(capsule.sealed)
    then = replace(capsule.wrap_tuple(IdentityTuple(WRITE_SUITE, RECORD, DOCUMENT, 3, AUTHOR)), lock_statement=NEW)
    assert open_box(NEW_SEED, then.outer_info(), made.sealed) == INNER
    assert NEW_KEY.open_outer_lock(then, made.sealed) == INNER
    with pytest.raises(SealedError):
        KEY.open_outer_lock(then, made.sealed)
    OuterLockSwap.model_validate_json(made.model_dump_json())


@pytest.mark.parametrize("recipient", [SHARED, PERSONAL], ids=["compartment", "person"])
def test_a_lock_of_suite_2_goes_around_an_inner_lock_of_suite_1(recipient: dict[str, Any]) -> None:
    """What moves a record's outer locks to another suite without the patient."""
    later = Suite.P384_MLKEM1024
    key = LockKey(Secret(NEW_SEED), later)
    old = make_old(recipient)
    made = remake(old, FACTS, keys=KEYS, new=NewLock(2, NEW, "", LockPublicKey(key.public_key, later), key))
    assert isinstance(made, OuterLockSwap)
    assert (made.inner_suite, made.outer_suite) == (WRITE_SUITE, later)
    assert len(made.sealed) == capsule_size(inner_suite=WRITE_SUITE, outer_suite=later)
    wrap = old.entry.capsule.wrap_tuple(IdentityTuple(WRITE_SUITE, RECORD, DOCUMENT, 3, AUTHOR))
    then = replace(wrap, lock_statement=NEW, outer_suite=later)
    assert open_box(NEW_SEED, then.outer_info(), made.sealed) == INNER
    with pytest.raises(SealedError):
        key.open_outer_lock(replace(then, inner_suite=later), made.sealed)


@pytest.mark.parametrize("suite", Suite)
def test_a_public_half_that_is_none_is_refused(suite: Suite) -> None:
    good = LockKey(Secret(NEW_SEED), suite).public_key
    for raw in (b"", good[:-1], good + b"\0", b"\xff" * len(good)):
        with pytest.raises(SealedError):
            LockPublicKey(raw, suite)


def left(old: OldCapsule, facts: Facts = FACTS, **options: Any) -> LeftReason:
    made = remake(old, facts, **{"keys": KEYS, "new": LOCK, **options})
    assert isinstance(made, LeftCapsule)
    return made.reason


@pytest.mark.parametrize(
    ("facts", "recipient", "reason"),
    [
        pytest.param(replace(FACTS, locks={}), SHARED, LeftReason.LOCK_UNKNOWN, id="no lock"),
        pytest.param(
            replace(FACTS, locks={OLD: LockFact(OTHER, 1, is_destroyed=False)}),
            SHARED,
            LeftReason.LOCK_UNKNOWN,
            id="lock of another",
        ),
        pytest.param(replace(FACTS, epochs={}), SHARED, LeftReason.EPOCH_UNKNOWN, id="no epoch"),
        pytest.param(
            replace(FACTS, epochs={EPOCH: EpochFact(OTHER, COMPARTMENT, is_closed=False)}),
            SHARED,
            LeftReason.EPOCH_UNKNOWN,
            id="epoch of another record",
        ),
        pytest.param(
            replace(FACTS, epochs={EPOCH: EpochFact(RECORD, CompartmentId(bytes(16)), is_closed=False)}),
            SHARED,
            LeftReason.EPOCH_UNKNOWN,
            id="epoch of another compartment",
        ),
        pytest.param(
            replace(FACTS, epochs={EPOCH: EpochFact(RECORD, COMPARTMENT, is_closed=True)}),
            SHARED,
            LeftReason.EPOCH_CLOSED,
            id="closed epoch",
        ),
        pytest.param(replace(FACTS, grants={}), PERSONAL, LeftReason.GRANT_OVER, id="no grant"),
        pytest.param(
            replace(FACTS, grants={GRANT: GrantFact(OTHER, GRANTEE, frozenset({DOCUMENT}))}),
            PERSONAL,
            LeftReason.GRANT_OVER,
            id="grant of another record",
        ),
        pytest.param(
            replace(FACTS, grants={GRANT: GrantFact(RECORD, AUTHOR, frozenset({DOCUMENT}))}),
            PERSONAL,
            LeftReason.GRANT_OVER,
            id="grant of another person",
        ),
        pytest.param(
            replace(FACTS, grants={GRANT: GrantFact(RECORD, GRANTEE, frozenset({DocumentId(bytes(32))}))}),
            PERSONAL,
            LeftReason.GRANT_OVER,
            id="grant of another document",
        ),
    ],
)
def test_what_the_key_services_own_tables_do_not_allow_stays(
    facts: Facts, recipient: dict[str, Any], reason: LeftReason
) -> None:
    old = make_old(recipient)
    assert find_obstacle(old, FACTS) is None
    assert left(old, facts) is reason


def test_a_capsule_under_a_lock_that_is_gone_stays() -> None:
    gone = replace(FACTS, locks={OLD: LockFact(RECORD, 1, is_destroyed=True)})
    assert left(make_old(SHARED), gone, keys={}) is LeftReason.LOCK_GONE
    assert left(make_old(SHARED), gone, keys={(OTHER, 1): KEY, (RECORD, 2): KEY}) is LeftReason.LOCK_GONE


def test_a_capsule_under_a_lock_that_does_not_open_now_stays_and_may_be_remade_later() -> None:
    assert left(make_old(SHARED), keys={}) is LeftReason.LOCK_CLOSED


def test_a_capsule_of_another_record_does_not_open_here() -> None:
    moved = make_old(SHARED, record=OTHER).model_copy(update={"record": RECORD})
    assert left(moved) is LeftReason.DOES_NOT_OPEN


@pytest.mark.parametrize(
    "change",
    [
        {"document": DocumentId(bytes(32))},
        {"version": 4},
        {"role": KeyRole.METADATA},
        {"sealed": b""},
        {"sealed": bytes(100)},
    ],
)
def test_a_capsule_in_anothers_place_does_not_open(change: dict[str, Any]) -> None:
    old = make_old(SHARED)
    entry = old.entry.model_copy(update={"capsule": old.entry.capsule.model_copy(update=change)})
    assert left(old.model_copy(update={"entry": entry})) is LeftReason.DOES_NOT_OPEN


@pytest.mark.parametrize("change", [{"author": GRANTEE}])
def test_a_capsule_of_another_author_does_not_open(change: dict[str, Any]) -> None:
    old = make_old(SHARED)
    assert left(old.model_copy(update={"entry": old.entry.model_copy(update=change)})) is LeftReason.DOES_NOT_OPEN


def test_what_the_kept_private_half_does_not_open_again_is_not_swapped() -> None:
    """As where the row of the new lock holds another key than its statement says."""
    wrong = NewLock(2, NEW, "", LOCK.public_key, KEY)
    assert left(make_old(SHARED), new=wrong) is LeftReason.DOES_NOT_REOPEN


@pytest.mark.parametrize("size", [0, 1, len(NEW_KEY.public_key) - 1, len(NEW_KEY.public_key) + 1])
def test_a_public_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(SealedError):
        LockPublicKey(bytes(size), WRITE_SUITE)
