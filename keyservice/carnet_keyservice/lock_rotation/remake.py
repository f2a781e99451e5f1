"""Remaking one capsule's outer lock: whether it may be, and how. Values in, value out; keys are opened already."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest

from carnet_keyservice.errors import SealedError
from carnet_keyservice.lock_rotation.facts import Facts
from carnet_keyservice.lock_rotation.report import LeftCapsule, LeftReason
from carnet_keyservice.locks.keys import LockName
from carnet_keyservice.sealing import LockKey, LockPublicKey
from carnet_protocol.api import OldCapsule, OuterLockSwap
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Sha256Digest, StatementHash
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import IdentityTuple, WrapTuple


@dataclass(frozen=True, slots=True)
class NewLock:
    """The lock that capsules of a record go to: `key` is its private half as the database keeps it, opened."""

    version: int
    statement: StatementHash
    jws: str
    public_key: LockPublicKey
    key: LockKey


def find_obstacle(old: OldCapsule, facts: Facts) -> LeftReason | None:
    """Why the outer lock of `old` may not be remade, None where it may.

    1. Its lock statement is one of this record.
    2. A compartment's: its statement is one of this record and compartment, and is not closed. What a completed
       revocation left behind is, and a vault that shows a copy of it must not have it put under a lock that outlives
       the one that will be destroyed. What a device closed that was shut out since counts as open: it is rescued.
    3. A personal one: its grant is of this record, document and grantee, and is not over. It is never the only capsule
       of a key.
    """
    capsule = old.entry.capsule
    # 1
    lock = facts.locks.get(capsule.lock_statement)
    if lock is None or lock.record != old.record:
        return LeftReason.LOCK_UNKNOWN
    # 2
    if capsule.compartment is not None:
        epoch = facts.epochs.get(capsule.compartment.compartment_statement)
        if epoch is None or (epoch.record, epoch.compartment) != (old.record, capsule.compartment.compartment):
            return LeftReason.EPOCH_UNKNOWN
        return LeftReason.EPOCH_CLOSED if epoch.is_closed else None
    # 3
    if capsule.personal is None:
        raise AssertionError("internal: a capsule without a recipient")
    grant = facts.grants.get(capsule.personal.grant)
    if (
        grant is None
        or (grant.record, grant.grantee) != (old.record, capsule.personal.grantee)
        or capsule.document not in grant.documents
    ):
        return LeftReason.GRANT_OVER
    return None


def remake(
    old: OldCapsule, facts: Facts, *, keys: Mapping[LockName, LockKey], new: NewLock
) -> OuterLockSwap | LeftCapsule:
    """The swap that puts `old` under `new`, or why there is none.

    1. It may be remade (`find_obstacle`), and the private half of its lock is among `keys`.
    2. Its outer lock opens.
    3. The inner lock is sealed into the new outer lock.
    4. That opens, with the private half as it is kept, to the same bytes: the old one is given up for nothing less.
    """
    # 1
    reason = find_obstacle(old, facts)
    if reason is not None:
        return _leave(old, reason)
    lock = facts.locks[old.entry.capsule.lock_statement]
    key = keys.get((old.record, lock.version))
    if key is None:
        return _leave(old, LeftReason.LOCK_GONE if lock.is_destroyed else LeftReason.LOCK_CLOSED)
    # 2
    try:
        wrap = _wrap_tuple(old)
        inner = key.open_outer_lock(wrap, old.entry.capsule.sealed)
    except (SealedError, MalformedError):
        return _leave(old, LeftReason.DOES_NOT_OPEN)
    # 3
    then = replace(wrap, lock_statement=new.statement, outer_suite=new.public_key.suite)
    sealed = new.public_key.seal_outer_lock(then, inner)
    # 4
    try:
        is_same = compare_digest(new.key.open_outer_lock(then, sealed), inner)
    except SealedError:
        is_same = False
    return _swap(old, sealed, then) if is_same else _leave(old, LeftReason.DOES_NOT_REOPEN)


def _wrap_tuple(old: OldCapsule) -> WrapTuple:
    capsule, entry = old.entry.capsule, old.entry
    identity = IdentityTuple(Suite(entry.suite), old.record, capsule.document, capsule.version, entry.author)
    return capsule.wrap_tuple(identity)


def _swap(old: OldCapsule, sealed: bytes, then: WrapTuple) -> OuterLockSwap:
    capsule = old.entry.capsule
    return OuterLockSwap.model_construct(
        document=capsule.document,
        version=capsule.version,
        role=capsule.role,
        grant=None if capsule.personal is None else capsule.personal.grant,
        replaces=Sha256Digest.of(capsule.sealed),
        inner_suite=then.inner_suite,
        outer_suite=then.outer_suite,
        sealed=sealed,
    )


def _leave(old: OldCapsule, reason: LeftReason) -> LeftCapsule:
    capsule = old.entry.capsule
    grant = None if capsule.personal is None else capsule.personal.grant
    return LeftCapsule(capsule.document, capsule.version, capsule.role, grant, reason)
