"""Encodings: one form per value; everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_protocol.encoding import (
    format_base64url,
    format_canonical_json,
    hash_packed,
    pack,
    parse_base64url,
    parse_canonical_json,
)
from carnet_protocol.errors import MalformedError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(max_codepoint=127))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    assert parse_base64url(format_base64url(data)) == data


@given(st.text(max_size=12))
def test_whatever_parses_as_base64url_is_its_one_form(text: str) -> None:
    try:
        data = parse_base64url(text)
    except MalformedError:
        return
    assert format_base64url(data) == text


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "A+", "A/", "AA\n", " AA", "ÀA", "AAAAA"])
def test_other_spellings_of_base64url_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_base64url(text)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_canonical_json_round_trip(value: dict[str, object]) -> None:
    data = format_canonical_json(value)
    assert parse_canonical_json(data) == value
    assert format_canonical_json(parse_canonical_json(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":-0}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"\xc3\xa9":1}',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"a":' * 100_000,
    ],
)
def test_other_spellings_of_json_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_canonical_json(data)


def test_canonical_json_is_that_of_rfc_8785() -> None:
    assert format_canonical_json({"b": "\u20ac\n\x0f/", "a": [1, True, None]}) == (
        b'{"a":[1,true,null],"b":"\xe2\x82\xac\\n\\u000f/"}'
    )


@pytest.mark.parametrize("value", [{"a": 1.0}, {"a": b""}, {"a": 2**53}, {1: 2}, {"a": "\ud800"}, {"a": (1,)}])
def test_values_without_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        format_canonical_json(value)


def test_pack_is_what_the_specification_says() -> None:
    assert pack(b"ab", b"\x01", 258) == b"\0\x02ab" + b"\0\0\0\x01\x01" + b"\0\0\0\x08" + b"\0\0\0\0\0\0\x01\x02"


FIELDS = st.lists(st.binary(max_size=9), max_size=5)


@given(st.binary(max_size=5), FIELDS, st.binary(max_size=5), FIELDS)
def test_pack_is_injective(label: bytes, fields: list[bytes], other_label: bytes, others: list[bytes]) -> None:
    same = pack(label, *fields) == pack(other_label, *others)
    assert same == ((label, fields) == (other_label, others))
    assert same == (hash_packed(label, *fields) == hash_packed(other_label, *others))


@pytest.mark.parametrize("number", [-1, 2**64])
def test_integers_beyond_64_bits_are_not_packed(number: int) -> None:
    with pytest.raises(MalformedError):
        pack(b"l", number)
