"""The two locks: a key opens in its own place alone."""

from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidTag

from carnet.capsules import make_capsule, open_inner, seal_capsule, seal_inner, seal_outer
from carnet.errors import DecryptionError
from carnet.sealing import KemPrivateKey
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import capsule_size, inner_size
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.support import hpke
from tests.support.people import DAY, NOW, Dice

SUITE = Suite.X25519_MLKEM768
DICE = Dice("capsules")
READER = KemPrivateKey(DICE(32))
LOCK_KEY = hpke.make_kem_key(DICE(32))
SERVER = DICE.signer()
IDENTITY = IdentityTuple(SUITE, RecordId(DICE(32)), DocumentId(DICE(32)), 1, IdentityHash(DICE(32)))
LOCK = Signed.sign(
    Lock(
        record=IDENTITY.record,
        version=1,
        suite=SUITE,
        lock_key=LOCK_KEY.public_key,
        previous=None,
        keyservice=SERVER.public_key.fingerprint(),
        issued_at=NOW,
        expires=NOW + DAY,
    ),
    SERVER,
)
RECIPIENT = CompartmentLock(CompartmentId(DICE(16)), StatementHash(DICE(32)))
PERSONAL = PersonalLock(StatementHash(DICE(32)), IdentityHash(DICE(32)), StatementHash(DICE(32)))
WRAP = WrapTuple(IDENTITY, KeyRole.CONTENT, RECIPIENT, SUITE, LOCK.hash)
CONTENT_KEY = DICE(32)
INNER = seal_inner(CONTENT_KEY, WRAP, recipient_public_key=READER.public_key)

OTHER_PLACES = {
    "record": replace(WRAP, identity=replace(IDENTITY, record=RecordId(DICE(32)))),
    "document": replace(WRAP, identity=replace(IDENTITY, document=DocumentId(DICE(32)))),
    "version": replace(WRAP, identity=replace(IDENTITY, version=2)),
    "author": replace(WRAP, identity=replace(IDENTITY, author=IdentityHash(DICE(32)))),
    "role": replace(WRAP, role=KeyRole.METADATA),
    "compartment": replace(WRAP, recipient=replace(RECIPIENT, compartment=CompartmentId(DICE(16)))),
    "epoch": replace(WRAP, recipient=replace(RECIPIENT, compartment_statement=StatementHash(DICE(32)))),
    "recipient": replace(WRAP, recipient=PERSONAL),
}


def released(capsule_bytes: bytes, wrap: WrapTuple) -> bytes:
    """What the key service gives back."""
    return hpke.open_box(LOCK_KEY.seed, wrap.outer_info(), capsule_bytes)


def test_capsule_opens_after_its_release() -> None:
    capsule = seal_capsule(CONTENT_KEY, WRAP, recipient_public_key=READER.public_key, lock=LOCK)
    assert len(capsule.sealed) == capsule_size(SUITE)
    inner = released(capsule.sealed, capsule.wrap_tuple(IDENTITY))
    assert open_inner(inner, capsule.wrap_tuple(IDENTITY), private_key=READER) == CONTENT_KEY


def test_personal_capsule_opens_after_its_release() -> None:
    wrap = replace(WRAP, recipient=PERSONAL)
    capsule = seal_capsule(CONTENT_KEY, wrap, recipient_public_key=READER.public_key, lock=LOCK)
    assert capsule.personal is not None
    inner = released(capsule.sealed, capsule.wrap_tuple(IDENTITY))
    assert open_inner(inner, wrap, private_key=READER) == CONTENT_KEY


@pytest.mark.parametrize("place", OTHER_PLACES)
def test_inner_lock_opens_nowhere_else(place: str) -> None:
    with pytest.raises(DecryptionError):
        open_inner(INNER, OTHER_PLACES[place], private_key=READER)


@pytest.mark.parametrize("place", [*OTHER_PLACES, "lock"])
def test_outer_lock_opens_nowhere_else(place: str) -> None:
    sealed = seal_outer(INNER, WRAP, lock=LOCK)
    other = OTHER_PLACES.get(place) or replace(WRAP, lock_statement=StatementHash(DICE(32)))
    with pytest.raises(InvalidTag):
        released(sealed, other)


def test_inner_lock_opens_for_nobody_else() -> None:
    with pytest.raises(DecryptionError):
        open_inner(INNER, WRAP, private_key=KemPrivateKey.make())


@pytest.mark.parametrize("size", [0, 8, inner_size(SUITE) - 1, inner_size(SUITE) + 1])
def test_inner_lock_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(DecryptionError):
        open_inner((INNER + b"\0")[:size], WRAP, private_key=READER)


def test_a_capsule_is_no_inner_lock() -> None:
    with pytest.raises(DecryptionError):
        open_inner(seal_outer(INNER, WRAP, lock=LOCK), WRAP, private_key=READER)


def test_seal_outer_refuses_a_lock_that_the_wrap_tuple_does_not_name() -> None:
    with pytest.raises(AssertionError, match="internal"):
        seal_outer(INNER, replace(WRAP, lock_statement=StatementHash(bytes(32))), lock=LOCK)


def test_seal_inner_refuses_a_key_of_another_length() -> None:
    with pytest.raises(AssertionError, match="internal"):
        seal_inner(bytes(31), WRAP, recipient_public_key=READER.public_key)


def test_coordinates_survive_the_wire() -> None:
    for recipient in (RECIPIENT, PERSONAL):
        wrap = replace(WRAP, recipient=recipient)
        assert make_capsule(b"", wrap).wrap_tuple(IDENTITY) == wrap
