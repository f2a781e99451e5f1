"""Sealing: what was sealed opens, and nothing that was changed; against boxes made without this code."""

import itertools
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet_keyservice import sealing
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
from carnet_protocol.sealed_box import BoxKind, capsule_size, format_header, inner_size
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.support.hpke import make_kem_key, seal
from tests.support.people import Dice

SEED = Dice("lock")(32)
IDENTITY = IdentityTuple(Suite(1), RecordId(b"r" * 32), DocumentId(b"d" * 32), 1, IdentityHash(b"a" * 32))
COMPARTMENT = CompartmentLock(CompartmentId(b"c" * 16), StatementHash(b"s" * 32))
PERSON = PersonalLock(StatementHash(b"g" * 32), IdentityHash(b"b" * 32), StatementHash(b"k" * 32))
PAIRS = list(itertools.product(Suite, Suite))


def make_wrap(inner: Suite, outer: Suite) -> WrapTuple:
    return WrapTuple(IDENTITY, KeyRole.CONTENT, COMPARTMENT, inner, outer, StatementHash(b"l" * 32))


def inner_lock(wrap: WrapTuple) -> bytes:
    """What nobody here looks into."""
    return Dice("inner")(inner_size(wrap.inner_suite))


def capsule(wrap: WrapTuple) -> bytes:
    """An outer lock made straight with the library."""
    public_key = make_kem_key(SEED, wrap.outer_suite).public_key
    return seal(public_key, wrap.outer_info(), inner_lock(wrap), kind=wrap.outer_kind(), suite=wrap.outer_suite)


KEYS = {suite: LockKey(Secret(SEED), suite) for suite in Suite}
BOXES = {pair: capsule(make_wrap(*pair)) for pair in PAIRS}


@pytest.fixture(params=PAIRS, ids=lambda pair: f"inner {pair[0]:d}, outer {pair[1]:d}")
def wrap(request: pytest.FixtureRequest) -> WrapTuple:
    """The place of a capsule of one suite, of the other, and of both."""
    return make_wrap(*request.param)


def box_of(wrap: WrapTuple) -> bytes:
    return BOXES[wrap.inner_suite, wrap.outer_suite]


@pytest.mark.parametrize("suite", Suite)
def test_a_seed_gives_the_key_pair_that_others_derive_from_it(suite: Suite) -> None:
    assert open_lock_key(Secret(SEED), suite).public_key == make_kem_key(SEED, suite).public_key


def test_an_outer_lock_comes_off(wrap: WrapTuple) -> None:
    for one in (wrap, replace(wrap, recipient=PERSON)):
        assert KEYS[wrap.outer_suite].open_outer_lock(one, capsule(one)) == inner_lock(wrap)


def test_a_personal_lock_is_not_opened_as_a_compartments_nor_the_other_way_round(wrap: WrapTuple) -> None:
    personal = replace(wrap, recipient=PERSON)
    for one, box in ((wrap, capsule(personal)), (personal, box_of(wrap))):
        with pytest.raises(SealedError):
            KEYS[wrap.outer_suite].open_outer_lock(one, box)


@pytest.mark.parametrize("pair", PAIRS)
@given(data=st.data())
@settings(max_examples=40)
def test_no_changed_byte_goes_unnoticed(pair: tuple[Suite, Suite], data: st.DataObject) -> None:
    damaged = bytearray(BOXES[pair])
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealedError):
        KEYS[pair[1]].open_outer_lock(make_wrap(*pair), bytes(damaged))


@pytest.mark.parametrize("size", [0, 7, 8, -1])
def test_a_box_of_another_length_does_not_open(wrap: WrapTuple, size: int) -> None:
    for box in (box_of(wrap)[:size], box_of(wrap) + b"\0", 2 * box_of(wrap)):
        with pytest.raises(SealedError):
            KEYS[wrap.outer_suite].open_outer_lock(wrap, box)


def test_a_box_opens_under_its_own_wrap_tuple_alone(wrap: WrapTuple) -> None:
    for other in (
        replace(wrap, role=KeyRole.METADATA),
        replace(wrap, lock_statement=StatementHash(bytes(32))),
        replace(wrap, identity=replace(IDENTITY, record=RecordId(bytes(32)))),
        replace(wrap, identity=replace(IDENTITY, suite=Suite(2))),
        replace(wrap, inner_suite=Suite(3 - wrap.inner_suite)),
        replace(wrap, outer_suite=Suite(3 - wrap.outer_suite)),
    ):
        with pytest.raises(SealedError):
            KEYS[wrap.outer_suite].open_outer_lock(other, box_of(wrap))


def test_a_box_is_opened_as_no_other_suite(wrap: WrapTuple) -> None:
    """Not with the other suite's key of the same seed, and not under a header that names the other suite."""
    other = Suite(3 - wrap.outer_suite)
    relabelled = replace(wrap, outer_suite=other)
    size = capsule_size(inner_suite=wrap.inner_suite, outer_suite=other)
    renamed = (format_header(wrap.outer_kind(), other) + box_of(wrap)[8:]).ljust(size, b"\0")[:size]
    for one, box, key in itertools.product((wrap, relabelled), (box_of(wrap), renamed), KEYS.values()):
        if (one, box, key.suite) != (wrap, box_of(wrap), wrap.outer_suite):
            with pytest.raises(SealedError):
                key.open_outer_lock(one, box)


def test_another_lock_opens_nothing(wrap: WrapTuple) -> None:
    with pytest.raises(SealedError):
        open_lock_key(make_lock_seed(Dice("other")), wrap.outer_suite).open_outer_lock(wrap, box_of(wrap))


def test_an_inner_lock_of_the_kind_below_is_not_taken_for_an_outer_one(wrap: WrapTuple) -> None:
    public_key = make_kem_key(SEED, wrap.outer_suite).public_key
    box = seal(public_key, wrap.outer_info(), inner_lock(wrap), kind=BoxKind.INNER_LOCK, suite=wrap.outer_suite)
    with pytest.raises(SealedError):
        KEYS[wrap.outer_suite].open_outer_lock(wrap, box)


def test_a_seed_that_gives_no_scalar_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 2^190 of suite 2: zero, or the order of the curve and above."""
    for scalar in (0, 2**384 - 1):
        expanded = bytes(64) + scalar.to_bytes(48, "big")
        monkeypatch.setattr(sealing.hashlib, "shake_256", lambda _, given=expanded: _Shaken(given))
        with pytest.raises(SealedError):
            LockKey(Secret(SEED), Suite.P384_MLKEM1024)


class _Shaken:
    def __init__(self, output: bytes) -> None:
        self._output = output

    def digest(self, size: int) -> bytes:
        assert size == len(self._output)
        return self._output


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_no_key(size: int) -> None:
    with pytest.raises(SealedError):
        open_lock_key(Secret(bytes(size)), Suite(1))


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
    for secret in (Secret(SEED), *KEYS.values()):
        assert SEED.hex() not in repr(secret)
        assert "****" in repr(secret)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
    assert Secret(SEED) != Secret(SEED)
    assert Secret(SEED).is_same_as(Secret(SEED))
    assert not Secret(SEED).is_same_as(Secret(bytes(32)))
