"""Sealing: what was sealed opens, and nothing that was changed; against boxes made without this code."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_keyservice.errors import SealedError
from carnet_keyservice.sealing import (
    LockKey,
    Secret,
    make_lock_seed,
    open_at_rest,
    open_lock_key,
    seal_at_rest,
)
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.sealed_box import BoxKind, inner_size
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.support.hpke import make_kem_key, seal
from tests.support.people import Dice

SEED = Dice("lock")(32)
IDENTITY = IdentityTuple(WRITE_SUITE, RecordId(b"r" * 32), DocumentId(b"d" * 32), 1, IdentityHash(b"a" * 32))
WRAP = WrapTuple(
    IDENTITY,
    KeyRole.CONTENT,
    CompartmentLock(CompartmentId(b"c" * 16), StatementHash(b"s" * 32)),
    WRITE_SUITE,
    StatementHash(b"l" * 32),
)
PERSONAL = WrapTuple(
    IDENTITY,
    KeyRole.CONTENT,
    PersonalLock(StatementHash(b"g" * 32), IdentityHash(b"b" * 32), StatementHash(b"k" * 32)),
    WRITE_SUITE,
    StatementHash(b"l" * 32),
)
INNER = Dice("inner")(inner_size(WRITE_SUITE))


def capsule(wrap: WrapTuple) -> bytes:
    """An outer lock made straight with the library."""
    return seal(make_kem_key(SEED).public_key, wrap.outer_info(), INNER, kind=wrap.outer_kind())


BOX = capsule(WRAP)


def test_a_seed_gives_the_key_pair_that_others_derive_from_it() -> None:
    assert open_lock_key(Secret(SEED)).public_key == make_kem_key(SEED).public_key


@pytest.mark.parametrize("wrap", [WRAP, PERSONAL])
def test_an_outer_lock_comes_off(wrap: WrapTuple) -> None:
    assert open_lock_key(Secret(SEED)).open_outer_lock(wrap, capsule(wrap)) == INNER


def test_a_personal_lock_is_not_opened_as_a_compartments_nor_the_other_way_round() -> None:
    key = open_lock_key(Secret(SEED))
    for wrap, box in ((WRAP, capsule(PERSONAL)), (PERSONAL, BOX)):
        with pytest.raises(SealedError):
            key.open_outer_lock(wrap, box)


@given(st.integers(0, len(BOX) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(position: int, flip: int) -> None:
    damaged = bytearray(BOX)
    damaged[position] ^= flip
    with pytest.raises(SealedError):
        _KEY.open_outer_lock(WRAP, bytes(damaged))


_KEY = LockKey(Secret(SEED), WRITE_SUITE)


@pytest.mark.parametrize("size", [0, 7, 8, len(BOX) - 1, len(BOX) + 1, 2 * len(BOX)])
def test_a_box_of_another_length_does_not_open(size: int) -> None:
    with pytest.raises(SealedError):
        _KEY.open_outer_lock(WRAP, (BOX + BOX)[:size])


@pytest.mark.parametrize(
    "other",
    [
        WrapTuple(IDENTITY, KeyRole.METADATA, WRAP.recipient, WRITE_SUITE, WRAP.lock_statement),
        WrapTuple(IDENTITY, WRAP.role, WRAP.recipient, WRITE_SUITE, StatementHash(bytes(32))),
        WrapTuple(
            IdentityTuple(WRITE_SUITE, RecordId(bytes(32)), IDENTITY.document, 1, IDENTITY.author),
            WRAP.role,
            WRAP.recipient,
            WRITE_SUITE,
            WRAP.lock_statement,
        ),
    ],
)
def test_a_box_opens_under_its_own_wrap_tuple_alone(other: WrapTuple) -> None:
    with pytest.raises(SealedError):
        _KEY.open_outer_lock(other, BOX)


def test_another_lock_opens_nothing() -> None:
    with pytest.raises(SealedError):
        open_lock_key(make_lock_seed(Dice("other"))).open_outer_lock(WRAP, BOX)


def test_an_inner_lock_of_the_kind_below_is_not_taken_for_an_outer_one() -> None:
    box = seal(make_kem_key(SEED).public_key, WRAP.outer_info(), INNER, kind=BoxKind.INNER_LOCK)
    with pytest.raises(SealedError):
        _KEY.open_outer_lock(WRAP, box)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_no_key(size: int) -> None:
    with pytest.raises(SealedError):
        open_lock_key(Secret(bytes(size)))


def test_at_rest_what_was_sealed_opens_with_key_and_aad_alone() -> None:
    master = Secret(Dice("master")(32))
    sealed = seal_at_rest(master, Secret(SEED), aad=b"place")
    assert open_at_rest(master, sealed, aad=b"place").reveal() == SEED
    for key, box, aad in (
        (Secret(bytes(32)), sealed, b"place"),
        (master, sealed, b"elsewhere"),
        (master, sealed[:-1], b"place"),
        (master, sealed + b"\0", b"place"),
        (master, b"", b"place"),
        (master, bytes([sealed[0] ^ 1]) + sealed[1:], b"place"),
    ):
        with pytest.raises(SealedError):
            open_at_rest(key, box, aad=aad)


def test_at_rest_no_two_seals_are_alike() -> None:
    master = Secret(bytes(32))
    assert seal_at_rest(master, Secret(SEED), aad=b"") != seal_at_rest(master, Secret(SEED), aad=b"")


def test_secrets_show_nothing_of_themselves() -> None:
    for secret in (Secret(SEED), _KEY):
        assert SEED.hex() not in repr(secret)
        assert "****" in repr(secret)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
    assert Secret(SEED) != Secret(SEED)
    assert Secret(SEED).is_same_as(Secret(SEED))
    assert not Secret(SEED).is_same_as(Secret(bytes(32)))
