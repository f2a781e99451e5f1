"""The short code: its text form, its parser, and that its digits tell people apart."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.short_code import ShortCode, derive_request_code, derive_short_code, format_short_code, parse_short_code
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash

KNOWN = "61364 59223 91253 48708 06978 14161"


def test_derive_gives_the_code_of_the_specification() -> None:
    # Written out by hand: u16 length, label, u32 length, field (spec `keys.md`).
    packed = b"\x00\x14carnet/v1/short-code" + b"\x00\x00\x00\x20" + bytes(32)
    number = int(hashlib.sha256(packed).hexdigest(), 16) % 10**30
    assert derive_short_code(IdentityHash(bytes(32))).digits == f"{number:030d}"
    assert format_short_code(derive_short_code(IdentityHash(bytes(32)))) == KNOWN


def test_code_of_a_device_request_is_that_of_its_digest() -> None:
    request = b'{"device_key":"AAAA"}'
    assert derive_request_code(request) == derive_short_code(IdentityHash(hashlib.sha256(request).digest()))
    assert derive_request_code(request) != derive_request_code(request + b" ")


@given(st.binary(min_size=32, max_size=32))
def test_text_form_parses_back(raw: bytes) -> None:
    code = derive_short_code(IdentityHash(raw))
    assert parse_short_code(format_short_code(code)) == code
    assert [len(group) for group in code.groups()] == [5] * 6


def test_small_numbers_keep_their_zeros() -> None:
    code = ShortCode("000000000000000000000000000007")
    assert format_short_code(code) == "00000 00000 00000 00000 00000 00007"
    assert parse_short_code(format_short_code(code)) == code


def test_one_changed_bit_changes_the_code() -> None:
    codes = {derive_short_code(IdentityHash((1 << bit).to_bytes(32, "big"))).digits for bit in range(256)}
    assert len(codes) == 256


def test_digits_are_uniform() -> None:
    counts = Counter("".join(derive_short_code(IdentityHash(n.to_bytes(32, "big"))).digits for n in range(2000)))
    expected = 2000 * 30 / 10
    chi_squared = sum((counts[str(digit)] - expected) ** 2 / expected for digit in range(10))
    assert chi_squared < 27.9  # nine degrees of freedom, one chance in a thousand; the input is fixed


@pytest.mark.parametrize(
    "text",
    [
        "",
        KNOWN[:-1],
        KNOWN + "0",
        KNOWN + "\n",
        " " + KNOWN,
        KNOWN.replace(" ", ""),
        KNOWN.replace(" ", "  "),
        KNOWN.replace(" ", "-"),
        KNOWN.replace(" ", "\u00a0"),
        KNOWN.replace("61364", "6136 4"),
        KNOWN.replace("6", "\u0666"),
        KNOWN.replace("6", "\uff16"),
        KNOWN.replace("6", "b"),
        KNOWN.replace("61364", "+1364"),
    ],
)
def test_parse_refuses_every_other_spelling(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_short_code(text)


@pytest.mark.parametrize("digits", ["", "1" * 29, "1" * 31, "1" * 29 + "x", "\u0661" * 30, "1" * 29 + "²"])
def test_a_value_that_exists_is_valid(digits: str) -> None:
    with pytest.raises(MalformedError):
        ShortCode(digits)
