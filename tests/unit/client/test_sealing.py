"""Sealing and opening keys: every other key, place and byte is refused, and nothing shows a secret."""

import itertools
import pickle
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet import sealing
from carnet.errors import DecryptionError, UsageError, VerificationError
from carnet.sealing import (
    KemPrivateKey,
    PassphraseCost,
    derive_key,
    open_box,
    open_message,
    open_secret,
    seal_box,
    seal_message,
    seal_secret,
    stretch_passphrase,
)
from carnet_protocol.encoding import pack
from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.sealed_box import BoxKind, box_size, format_header
from carnet_protocol.suites import SIZES, WRITE_SUITE, Suite
from tests.support import hpke
from tests.support.people import Dice

SUITES = pytest.mark.parametrize("suite", Suite)
READERS = {suite: KemPrivateKey(Dice("reader")(32), suite) for suite in Suite}
OTHERS = {suite: KemPrivateKey(Dice("other")(32), suite) for suite in Suite}
INFOS = {suite: pack(b"example", format_header(BoxKind.INNER_LOCK, suite), b"place") for suite in Suite}
BOXES = {
    suite: seal_box(BoxKind.INNER_LOCK, bytes(32), suite=suite, public_key=READERS[suite].public_key, info=INFOS[suite])
    for suite in Suite
}


def reopen(suite: Suite, box: bytes, key: KemPrivateKey | None = None, info: bytes | None = None) -> bytes:
    return open_box(
        BoxKind.INNER_LOCK,
        box,
        plaintext_size=32,
        private_key=key or READERS[suite],
        info=INFOS[suite] if info is None else info,
    )


@SUITES
def test_public_key_is_the_one_that_another_implementation_derives(suite: Suite) -> None:
    seed = Dice("seed")(32)
    public_key = KemPrivateKey(seed, suite).public_key
    assert public_key == hpke.make_kem_key(seed, suite).public_key
    assert len(public_key) == SIZES[suite].kem_public_key


@SUITES
def test_box_opens_with_another_implementation(suite: Suite) -> None:
    assert hpke.open_box(READERS[suite].seed(), INFOS[suite], BOXES[suite], suite=suite) == bytes(32)


@SUITES
def test_box_of_another_implementation_opens(suite: Suite) -> None:
    public_key = READERS[suite].public_key
    box = hpke.seal(public_key, INFOS[suite], b"k" * 32, kind=BoxKind.INNER_LOCK, suite=suite)
    assert reopen(suite, box) == b"k" * 32


@SUITES
def test_open_box_rejects_another_key(suite: Suite) -> None:
    with pytest.raises(DecryptionError):
        reopen(suite, BOXES[suite], OTHERS[suite])


@SUITES
def test_open_box_rejects_another_place(suite: Suite) -> None:
    with pytest.raises(DecryptionError):
        reopen(suite, BOXES[suite], info=pack(b"example", format_header(BoxKind.INNER_LOCK, suite), b"other place"))


@SUITES
@given(data=st.data())
def test_open_box_rejects_any_changed_byte(suite: Suite, data: st.DataObject) -> None:
    changed = bytearray(BOXES[suite])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((DecryptionError, MalformedError, UnsupportedSuiteError)):
        reopen(suite, bytes(changed))


@SUITES
@pytest.mark.parametrize("size", [0, 7, 8, -1, +1])
def test_open_box_rejects_another_length(suite: Suite, size: int) -> None:
    cut = BOXES[suite] + b"\0" if size == 1 else BOXES[suite][:size]
    with pytest.raises(MalformedError):
        reopen(suite, cut)


@SUITES
def test_open_box_rejects_another_kind(suite: Suite) -> None:
    with pytest.raises(MalformedError):
        open_box(BoxKind.OUTER_LOCK, BOXES[suite], plaintext_size=32, private_key=READERS[suite], info=INFOS[suite])


@SUITES
def test_open_box_rejects_a_box_of_another_suite_than_the_key(suite: Suite) -> None:
    (other,) = set(Suite) - {suite}
    same_seed = KemPrivateKey(READERS[suite].seed(), other)
    for info in INFOS.values():
        with pytest.raises(DecryptionError):
            reopen(suite, BOXES[suite], same_seed, info)


@SUITES
def test_open_box_rejects_a_header_that_names_the_other_suite(suite: Suite) -> None:
    """Neither as it is nor with the length that the other suite wants: the header is authenticated."""
    (other,) = set(Suite) - {suite}
    relabelled = format_header(BoxKind.INNER_LOCK, other) + BOXES[suite][8:]
    with pytest.raises(MalformedError):
        reopen(suite, relabelled)
    fitting = relabelled.ljust(box_size(other, 32), b"\0")[: box_size(other, 32)]
    for key, info in itertools.product((READERS[suite], READERS[other]), INFOS.values()):
        with pytest.raises(DecryptionError) if info is INFOS[other] or key.suite is not other else _internal():
            reopen(suite, fitting, key, info)


def _internal() -> pytest.RaisesExc[AssertionError]:
    return pytest.raises(AssertionError, match="internal")


@SUITES
def test_seal_box_refuses_an_info_with_another_header(suite: Suite) -> None:
    public_key = READERS[suite].public_key
    (other,) = set(Suite) - {suite}
    for kind, info in ((BoxKind.OUTER_LOCK, INFOS[suite]), (BoxKind.INNER_LOCK, INFOS[other])):
        with pytest.raises(AssertionError, match="internal"):
            seal_box(kind, bytes(32), suite=suite, public_key=public_key, info=info)


@SUITES
def test_seal_box_refuses_a_public_key_of_another_length(suite: Suite) -> None:
    (other,) = set(Suite) - {suite}
    public_key = READERS[suite].public_key
    for wrong in (b"", public_key[:-1], public_key + b"\0", READERS[other].public_key):
        with pytest.raises(VerificationError):
            seal_box(BoxKind.INNER_LOCK, bytes(32), suite=suite, public_key=wrong, info=INFOS[suite])


def test_seal_message_refuses_a_point_to_which_nothing_can_be_sealed() -> None:
    """Of low order on the one curve; off the other, at infinity, or in another form than the one of the spec."""
    x_wing, p384 = READERS[Suite.X25519_MLKEM768].public_key, READERS[Suite.P384_MLKEM1024].public_key
    with pytest.raises(VerificationError):
        seal_message(b"secret", x_wing[:1184] + bytes(32), suite=Suite.X25519_MLKEM768, info=b"example")
    hybrid = bytes([6 + (p384[-1] & 1)]) + p384[1569:]
    compressed = bytes([2 + (p384[-1] & 1)]) + p384[1569:1617]
    for point in (bytes(97), b"\4" + bytes(96), p384[1568:-1] + bytes([p384[-1] ^ 1]), hybrid, compressed, b"\0"):
        with pytest.raises(VerificationError):
            seal_message(b"secret", p384[:1568] + point, suite=Suite.P384_MLKEM1024, info=b"example")


@SUITES
def test_seal_message_refuses_what_is_no_ml_kem_key(suite: Suite) -> None:
    public_key = READERS[suite].public_key
    with pytest.raises(VerificationError):
        seal_message(b"secret", b"\xff" * 1184 + public_key[1184:], suite=suite, info=b"example")


@SUITES
@pytest.mark.parametrize("missing", [0, 1, 15, 16, 17])
def test_open_message_rejects_what_is_cut(suite: Suite, missing: int) -> None:
    key = READERS[suite]
    sealed = seal_message(b"m", key.public_key, suite=suite, info=b"i")
    for size in (missing, SIZES[suite].kem_enc - missing, len(sealed) - 1 - missing):
        with pytest.raises(DecryptionError):
            open_message(sealed[:size], key, info=b"i")


def test_a_seed_that_gives_no_scalar_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 2^190 of suite 2: zero, or the order of the curve and above."""
    order = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
    for scalar, is_good in ((0, False), (1, True), (order - 1, True), (order, False), (2**384 - 1, False)):
        expanded = bytes(64) + scalar.to_bytes(48, "big")
        monkeypatch.setattr(sealing.hashlib, "shake_256", lambda _, given=expanded: _Shaken(given))
        key = KemPrivateKey(bytes(32), Suite.P384_MLKEM1024)
        with nullcontext() if is_good else pytest.raises(VerificationError):
            assert len(key.public_key) == 1665


class _Shaken:
    def __init__(self, output: bytes) -> None:
        self._output = output

    def digest(self, size: int) -> bytes:
        assert size == len(self._output)
        return self._output


@pytest.mark.parametrize("size", [0, 31, 33])
def test_private_key_refuses_a_seed_of_another_length(size: int) -> None:
    with pytest.raises(VerificationError):
        KemPrivateKey(bytes(size), WRITE_SUITE)


def test_private_key_shows_nothing() -> None:
    key = KemPrivateKey.make(WRITE_SUITE)
    shown = f"{key!r} {key}"
    assert key.seed().hex() not in shown
    assert repr(key.seed()) not in shown
    with pytest.raises(TypeError, match="internal"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="internal"):
        _ = key == key  # noqa: PLR0124  comparing is what is refused
    with pytest.raises(TypeError):
        hash(key)


def test_private_keys_differ() -> None:
    assert KemPrivateKey.make(WRITE_SUITE).public_key != KemPrivateKey.make(WRITE_SUITE).public_key


KEY = Dice("key")(32)
SEALED = seal_secret(KEY, b"a secret", context=b"here")


def test_open_secret_gives_back_what_was_sealed() -> None:
    assert open_secret(KEY, SEALED, context=b"here") == b"a secret"


def test_seal_secret_never_repeats_itself() -> None:
    assert seal_secret(KEY, b"a secret", context=b"here") != SEALED


@given(position=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_open_secret_rejects_any_changed_byte(position: int, flip: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= flip
    with pytest.raises(DecryptionError):
        open_secret(KEY, bytes(changed), context=b"here")


@pytest.mark.parametrize("size", [0, 1, 23, 24, 39, len(SEALED) - 1])
def test_open_secret_rejects_what_is_cut(size: int) -> None:
    with pytest.raises(DecryptionError):
        open_secret(KEY, SEALED[:size], context=b"here")


def test_open_secret_rejects_another_key_and_another_context() -> None:
    with pytest.raises(DecryptionError):
        open_secret(bytes(32), SEALED, context=b"here")
    with pytest.raises(DecryptionError):
        open_secret(KEY, SEALED, context=b"there")


def test_decryption_has_one_message() -> None:
    messages = set()
    for attempt in (
        lambda: reopen(Suite.X25519_MLKEM768, BOXES[Suite.X25519_MLKEM768], OTHERS[Suite.X25519_MLKEM768]),
        lambda: reopen(Suite.P384_MLKEM1024, BOXES[Suite.P384_MLKEM1024], OTHERS[Suite.P384_MLKEM1024]),
        lambda: open_secret(bytes(32), SEALED, context=b"here"),
    ):
        with pytest.raises(DecryptionError) as caught:
            attempt()
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_derive_key_depends_on_secret_and_label() -> None:
    derived = {derive_key(secret, info) for secret in (b"a" * 32, b"b" * 32) for info in (b"x", b"y")}
    assert len(derived) == 4


def test_derive_key_is_hkdf_of_rfc_5869() -> None:
    # RFC 5869, test case 3: no salt, no info.
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert derive_key(b"\x0b" * 22, b"", size=42).hex() == expected


@pytest.mark.parametrize(
    ("memory_kib", "time_cost", "parallelism"),
    [
        (64 * 1024 - 1, 3, 4),
        (64 * 1024, 2, 4),
        (64 * 1024, 3, 0),
        (1024 * 1024 + 1, 3, 4),
        (64 * 1024, 17, 4),
        (64 * 1024, 3, 17),
        (-1, 3, 4),
        (2**40, 3, 4),
    ],
)
def test_passphrase_cost_has_a_floor_and_a_ceiling(memory_kib: int, time_cost: int, parallelism: int) -> None:
    with pytest.raises(UsageError):
        PassphraseCost(memory_kib=memory_kib, time_cost=time_cost, parallelism=parallelism)


def test_passphrases_in_two_unicode_forms_are_one() -> None:
    cost = PassphraseCost()
    composed = stretch_passphrase("caf\u00e9 au lait", salt=bytes(16), cost=cost)
    decomposed = stretch_passphrase("cafe\u0301 au lait", salt=bytes(16), cost=cost)
    assert composed == decomposed
    assert stretch_passphrase("cafe au lait", salt=bytes(16), cost=cost) != composed


@SUITES
def test_the_opened_key_is_made_once(monkeypatch: pytest.MonkeyPatch, suite: Suite) -> None:
    key = KemPrivateKey(Dice("once")(32), suite)
    assert key.public_key
    monkeypatch.setattr(sealing, "_expand_seed", None)
    box = seal_box(BoxKind.INNER_LOCK, bytes(32), suite=suite, public_key=key.public_key, info=INFOS[suite])
    assert reopen(suite, box, key) == bytes(32)
