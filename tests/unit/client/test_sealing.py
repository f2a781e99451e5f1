"""Sealing and opening keys: every other key, place and byte is refused, and nothing shows a secret."""

import pickle

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
from carnet_protocol.sealed_box import BoxKind, format_header
from carnet_protocol.suites import Suite
from tests.support import hpke
from tests.support.people import Dice

SUITE = Suite.X25519_MLKEM768
READER = KemPrivateKey(Dice("reader")(32))
OTHER = KemPrivateKey(Dice("other")(32))
INFO = pack(b"example", format_header(BoxKind.INNER_LOCK, SUITE), b"place")
BOX = seal_box(BoxKind.INNER_LOCK, bytes(32), suite=SUITE, public_key=READER.public_key, info=INFO)


def reopen(box: bytes, key: KemPrivateKey = READER, info: bytes = INFO) -> bytes:
    return open_box(BoxKind.INNER_LOCK, box, plaintext_size=32, private_key=key, info=info)


def test_public_key_is_the_one_that_another_implementation_derives() -> None:
    seed = Dice("seed")(32)
    assert KemPrivateKey(seed).public_key == hpke.make_kem_key(seed).public_key


def test_box_opens_with_another_implementation() -> None:
    assert hpke.open_box(READER.seed(), INFO, BOX) == bytes(32)


def test_box_of_another_implementation_opens() -> None:
    box = hpke.seal(READER.public_key, INFO, b"k" * 32, kind=BoxKind.INNER_LOCK)
    assert reopen(box) == b"k" * 32


def test_open_box_rejects_another_key() -> None:
    with pytest.raises(DecryptionError):
        reopen(BOX, OTHER)


def test_open_box_rejects_another_place() -> None:
    with pytest.raises(DecryptionError):
        reopen(BOX, info=pack(b"example", format_header(BoxKind.INNER_LOCK, SUITE), b"other place"))


@given(position=st.integers(0, len(BOX) - 1), flip=st.integers(1, 255))
def test_open_box_rejects_any_changed_byte(position: int, flip: int) -> None:
    changed = bytearray(BOX)
    changed[position] ^= flip
    with pytest.raises((DecryptionError, MalformedError, UnsupportedSuiteError)):
        reopen(bytes(changed))


@pytest.mark.parametrize("size", [0, 7, 8, len(BOX) - 1, len(BOX) + 1])
def test_open_box_rejects_another_length(size: int) -> None:
    with pytest.raises(MalformedError):
        reopen((BOX + b"\0")[:size])


def test_open_box_rejects_another_kind() -> None:
    with pytest.raises(MalformedError):
        open_box(BoxKind.OUTER_LOCK, BOX, plaintext_size=32, private_key=READER, info=INFO)


def test_seal_box_refuses_an_info_with_another_header() -> None:
    with pytest.raises(AssertionError, match="internal"):
        seal_box(BoxKind.OUTER_LOCK, bytes(32), suite=SUITE, public_key=READER.public_key, info=INFO)


@pytest.mark.parametrize("public_key", [b"", READER.public_key[:-1], READER.public_key + b"\0"])
def test_seal_box_refuses_a_public_key_of_another_length(public_key: bytes) -> None:
    with pytest.raises(VerificationError):
        seal_box(BoxKind.INNER_LOCK, bytes(32), suite=SUITE, public_key=public_key, info=INFO)


def test_seal_message_refuses_a_low_order_point() -> None:
    with pytest.raises(VerificationError):
        seal_message(b"secret", READER.public_key[:1184] + bytes(32), info=b"example")


def test_seal_message_refuses_what_is_no_ml_kem_key() -> None:
    with pytest.raises(VerificationError):
        seal_message(b"secret", b"\xff" * 1184 + READER.public_key[1184:], info=b"example")


@pytest.mark.parametrize("size", [0, 1, 1119, 1120, 1135])
def test_open_message_rejects_what_is_cut(size: int) -> None:
    with pytest.raises(DecryptionError):
        open_message(seal_message(b"m", READER.public_key, info=b"i")[:size], READER, info=b"i")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_private_key_refuses_a_seed_of_another_length(size: int) -> None:
    with pytest.raises(VerificationError):
        KemPrivateKey(bytes(size))


def test_private_key_shows_nothing() -> None:
    key = KemPrivateKey.make()
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
    assert KemPrivateKey.make().public_key != KemPrivateKey.make().public_key


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
    for attempt in (lambda: reopen(BOX, OTHER), lambda: open_secret(bytes(32), SEALED, context=b"here")):
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


def test_the_opened_key_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    key = KemPrivateKey(Dice("once")(32))
    assert key.public_key
    monkeypatch.setattr(sealing, "MLKEM768PrivateKey", None)
    box = seal_box(BoxKind.INNER_LOCK, bytes(32), suite=SUITE, public_key=key.public_key, info=INFO)
    assert reopen(box, key) == bytes(32)
