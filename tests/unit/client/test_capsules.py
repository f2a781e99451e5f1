"""The two locks: a key opens in its own place alone."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.exceptions import InvalidTag

from carnet.capsules import make_capsule, open_inner, seal_capsule, seal_inner, seal_outer
from carnet.errors import DecryptionError
from carnet.sealing import KemPrivateKey
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import BoxKind, capsule_size, format_header, inner_size
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.support import hpke
from tests.support.people import DAY, NOW, Dice

DICE = Dice("capsules")
SEED, LOCK_SEED = DICE(32), DICE(32)
SERVER = DICE.signer()
IDENTITY = IdentityTuple(Suite(1), RecordId(DICE(32)), DocumentId(DICE(32)), 1, IdentityHash(DICE(32)))
RECIPIENT = CompartmentLock(CompartmentId(DICE(16)), StatementHash(DICE(32)))
PERSONAL = PersonalLock(StatementHash(DICE(32)), IdentityHash(DICE(32)), StatementHash(DICE(32)))
CONTENT_KEY = DICE(32)
OTHER_PLACES: dict[str, Callable[[WrapTuple], WrapTuple]] = {
    "record": lambda wrap: replace(wrap, identity=replace(IDENTITY, record=RecordId(bytes(32)))),
    "document": lambda wrap: replace(wrap, identity=replace(IDENTITY, document=DocumentId(bytes(32)))),
    "version": lambda wrap: replace(wrap, identity=replace(IDENTITY, version=2)),
    "author": lambda wrap: replace(wrap, identity=replace(IDENTITY, author=IdentityHash(bytes(32)))),
    "content suite": lambda wrap: replace(wrap, identity=replace(IDENTITY, suite=Suite(2))),
    "role": lambda wrap: replace(wrap, role=KeyRole.METADATA),
    "compartment": lambda wrap: replace(wrap, recipient=replace(RECIPIENT, compartment=CompartmentId(bytes(16)))),
    "epoch": lambda wrap: replace(wrap, recipient=replace(RECIPIENT, compartment_statement=StatementHash(bytes(32)))),
    "recipient": lambda wrap: replace(wrap, recipient=PERSONAL),
}


@dataclass(frozen=True)
class Locks:
    """The patient's lock and the time lock, each of its suite."""

    reader: KemPrivateKey
    lock_key: hpke.KemKey
    lock: Signed[Lock]
    wrap: WrapTuple

    @classmethod
    def of(cls, inner: Suite, outer: Suite) -> "Locks":
        """An inner lock of the one suite, an outer lock of the other."""
        lock_key = hpke.make_kem_key(LOCK_SEED, outer)
        lock = Signed.sign(
            Lock(
                record=IDENTITY.record,
                version=1,
                suite=outer,
                lock_key=lock_key.public_key,
                previous=None,
                keyservice=SERVER.public_key.fingerprint(),
                issued_at=NOW,
                expires=NOW + DAY,
            ),
            SERVER,
        )
        wrap = WrapTuple(IDENTITY, KeyRole.CONTENT, RECIPIENT, inner, outer, lock.hash)
        return cls(KemPrivateKey(SEED, inner), lock_key, lock, wrap)

    @property
    def inner(self) -> bytes:
        """The inner lock around the content key."""
        return seal_inner(CONTENT_KEY, self.wrap, recipient_public_key=self.reader.public_key)

    def released(self, capsule_bytes: bytes, wrap: WrapTuple) -> bytes:
        """What the key service gives back."""
        return hpke.open_box(LOCK_SEED, wrap.outer_info(), capsule_bytes, suite=self.lock_key.suite)


@pytest.fixture(params=itertools.product(Suite, Suite), ids=lambda pair: f"inner {pair[0]:d}, outer {pair[1]:d}")
def locks(request: pytest.FixtureRequest) -> Locks:
    """Locks of one suite, of the other, and mixed as a rotation of the outer lock alone leaves them."""
    return Locks.of(*request.param)


def other_suite(suite: Suite) -> Suite:
    return Suite(3 - suite)


def test_capsule_opens_after_its_release(locks: Locks) -> None:
    wrap = locks.wrap
    capsule = seal_capsule(CONTENT_KEY, wrap, recipient_public_key=locks.reader.public_key, lock=locks.lock)
    assert len(capsule.sealed) == capsule_size(inner_suite=wrap.inner_suite, outer_suite=wrap.outer_suite)
    assert (capsule.inner_suite, capsule.outer_suite) == (wrap.inner_suite, wrap.outer_suite)
    inner = locks.released(capsule.sealed, capsule.wrap_tuple(IDENTITY))
    assert open_inner(inner, capsule.wrap_tuple(IDENTITY), private_key=locks.reader) == CONTENT_KEY


def test_an_inner_lock_goes_under_an_outer_lock_of_another_suite_as_it_is(locks: Locks) -> None:
    """What a rotation of the record lock does, without the patient."""
    later = Locks.of(locks.wrap.inner_suite, other_suite(locks.wrap.outer_suite))
    inner = locks.released(seal_outer(locks.inner, locks.wrap, lock=locks.lock), locks.wrap)
    relocked = seal_outer(inner, later.wrap, lock=later.lock)
    assert open_inner(later.released(relocked, later.wrap), later.wrap, private_key=locks.reader) == CONTENT_KEY


def test_personal_capsule_opens_after_its_release(locks: Locks) -> None:
    wrap = replace(locks.wrap, recipient=PERSONAL)
    capsule = seal_capsule(CONTENT_KEY, wrap, recipient_public_key=locks.reader.public_key, lock=locks.lock)
    assert capsule.personal is not None
    inner = locks.released(capsule.sealed, capsule.wrap_tuple(IDENTITY))
    assert open_inner(inner, wrap, private_key=locks.reader) == CONTENT_KEY


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_inner_lock_opens_nowhere_else(locks: Locks, place: str) -> None:
    with pytest.raises(DecryptionError):
        open_inner(locks.inner, OTHER_PLACES[place](locks.wrap), private_key=locks.reader)


def test_inner_lock_opens_as_no_other_suite(locks: Locks) -> None:
    """Neither with its key under the other suite's name, nor with the other suite's key of the same seed."""
    inner, other = locks.inner, other_suite(locks.wrap.inner_suite)
    relabelled = replace(locks.wrap, inner_suite=other)
    renamed = (format_header(BoxKind.INNER_LOCK, other) + inner[8:]).ljust(1721, b"\0")[: inner_size(other)]
    for box, key in itertools.product((inner, renamed), (locks.reader, KemPrivateKey(SEED, other))):
        for wrap in (locks.wrap, relabelled):
            if (box, key.suite, wrap) != (inner, locks.reader.suite, locks.wrap):
                with pytest.raises(DecryptionError):
                    open_inner(box, wrap, private_key=key)


@pytest.mark.parametrize("place", [*OTHER_PLACES, "lock"])
def test_outer_lock_opens_nowhere_else(locks: Locks, place: str) -> None:
    sealed = seal_outer(locks.inner, locks.wrap, lock=locks.lock)
    change = OTHER_PLACES.get(place, lambda wrap: replace(wrap, lock_statement=StatementHash(DICE(32))))
    with pytest.raises(InvalidTag):
        locks.released(sealed, change(locks.wrap))
    with pytest.raises(InvalidTag):
        locks.released(sealed, replace(locks.wrap, outer_suite=other_suite(locks.wrap.outer_suite)))


def test_inner_lock_opens_for_nobody_else(locks: Locks) -> None:
    with pytest.raises(DecryptionError):
        open_inner(locks.inner, locks.wrap, private_key=KemPrivateKey.make(locks.wrap.inner_suite))


@pytest.mark.parametrize("size", [0, 8, -1, 1])
def test_inner_lock_of_another_length_is_refused(locks: Locks, size: int) -> None:
    other = locks.inner + b"\0" if size == 1 else locks.inner[:size]
    with pytest.raises(DecryptionError):
        open_inner(other, locks.wrap, private_key=locks.reader)


def test_a_capsule_is_no_inner_lock(locks: Locks) -> None:
    with pytest.raises(DecryptionError):
        open_inner(seal_outer(locks.inner, locks.wrap, lock=locks.lock), locks.wrap, private_key=locks.reader)


def test_seal_outer_refuses_a_lock_that_the_wrap_tuple_does_not_name(locks: Locks) -> None:
    others = (
        replace(locks.wrap, lock_statement=StatementHash(bytes(32))),
        replace(locks.wrap, outer_suite=other_suite(locks.wrap.outer_suite)),
    )
    for other in others:
        with pytest.raises(AssertionError, match="internal"):
            seal_outer(locks.inner, other, lock=locks.lock)


def test_seal_inner_refuses_a_key_of_another_length(locks: Locks) -> None:
    with pytest.raises(AssertionError, match="internal"):
        seal_inner(bytes(31), locks.wrap, recipient_public_key=locks.reader.public_key)


def test_coordinates_survive_the_wire(locks: Locks) -> None:
    for recipient in (RECIPIENT, PERSONAL):
        wrap = replace(locks.wrap, recipient=recipient)
        assert make_capsule(b"", wrap).wrap_tuple(IDENTITY) == wrap
