"""Bodies have one reading, or none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from carnet_protocol.encoding import MAX_JSON_DEPTH
from carnet_protocol.wire import WireModel
from carnet_server.errors import BadRequestError
from carnet_server.strict_json import parse_body


class Anything(WireModel):
    """A model that takes any JSON in one member."""

    it: JsonValue


class Count(WireModel):
    """A model with one integer."""

    count: int


def nested(depth: int) -> bytes:
    """An object nested `depth` deep, its own braces included."""
    return b'{"it":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"it"',
        b"{",
        b'{"it":1}}',
        b'{"it":1},',
        b'{"it":1}{"it":1}',
        b'{"it":1,}',
        b"{'it':1}",
        b'{"it":1 /* one */}',
        b'{"it":NaN}',
        b'{"it":Infinity}',
        b'{"it":-Infinity}',
        b'{"it":1.0}',
        b'{"it":1e3}',
        b'{"it":1e999}',
        b'{"it":-0}',
        b'{"it":01}',
        b'{"it":+1}',
        b'{"it":9007199254740992}',
        b'{"it":-9007199254740992}',
        b'{"it":' + b"9" * 5000 + b"}",
        b'{"it":1,"it":1}',
        b'{"it":1,"\\u0069t":1}',
        b'{"it":{"a":1,"a":2}}',
        b'{"it":[{"a":1,"a":1}]}',
        b'{"it":"\\ud800"}',
        b'{"it":"\\udfff"}',
        b'{"it":"\\ud800\\u0041"}',
        b'{"it":"\\udc00\\ud800"}',
        b'{"it":{"\\ud800":1}}',
        b'{"it":"\xff"}',
        b'{"it":"\xed\xa0\x80"}',
        b'{"it":"\xc0\xaf"}',
        b'\xef\xbb\xbf{"it":1}',
        b'{"it":"\n"}',
        b'{"it":"\x00"}',
        b'{"it":"\\x41"}',
        '{"it":1}'.encode("utf-16"),
        b'{"other":1}',
        b'{"it":1,"other":1}',
        b"{}",
        b"\x00",
    ],
    ids=repr,
)
def test_a_body_that_is_not_strict_json_of_the_model_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_body(body, Anything)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"it":1}', 1),
        (b' \t\r\n{ "it" : 1 } \n', 1),
        (b'{"it":0}', 0),
        (b'{"it":-1}', -1),
        (b'{"it":9007199254740991}', 9007199254740991),
        (b'{"it":-9007199254740991}', -9007199254740991),
        (b'{"it":"\\u00e9\\ud83d\\ude00\\"\\\\"}', 'é😀"\\'),
        ('{"it":"é"}'.encode(), "é"),
        (b'{"it":{"b":1,"a":[null,true,false]}}', {"b": 1, "a": [None, True, False]}),
        (b'{"it":"[[[[[[[[[[[[[[[[[[[[{{{{{{{{"}', "[[[[[[[[[[[[[[[[[[[[{{{{{{{{"),
        (b'{"it":"\\"[[[[[[[[[[[[[[[[[[[["}', '"[[[[[[[[[[[[[[[[[[[['),
    ],
    ids=repr,
)
def test_strict_json_is_read_as_it_stands(body: bytes, value: Any) -> None:
    assert parse_body(body, Anything).it == value


@pytest.mark.parametrize(("depth", "accepted"), [(1, True), (MAX_JSON_DEPTH, True), (MAX_JSON_DEPTH + 1, False)])
def test_nesting_is_bounded(depth: int, accepted: bool) -> None:
    if depth == 1:
        assert parse_body(b'{"count":1}', Count).count == 1
    elif accepted:
        assert isinstance(parse_body(nested(depth), Anything).it, list)
    else:
        with pytest.raises(BadRequestError, match="json_nesting"):
            parse_body(nested(depth), Anything)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000,
        b"[]" * 2_000_000,
        b"[" * 2_000_000 + b"]" * 2_000_000,
        b'{"it":' * 600_000,
        b'"\\' * 2_000_000,
        b'"' + b'\\"' * 2_000_000,
    ],
    ids=["open", "flat", "nested", "objects", "backslashes", "escaped quotes"],
)
def test_a_hostile_body_of_full_size_is_refused_before_it_is_parsed(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_body(body, Anything)


@pytest.mark.parametrize("body", [b'{"count":"1"}', b'{"count":true}', b'{"count":null}', b'{"count":[1]}'], ids=repr)
def test_nothing_is_converted_into_what_the_model_wants(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="json_not_the_model"):
        parse_body(body, Count)


_scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(_values, st.booleans())
def test_whatever_json_writes_without_floats_is_read_back(value: Any, ascii_only: bool) -> None:
    assert parse_body(json.dumps({"it": value}, ensure_ascii=ascii_only).encode(), Anything).it == value


@given(st.binary(max_size=64))
def test_no_bytes_make_it_fail_in_another_way(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_body(body, Count)
