"""The three encodings of the protocol (spec `keys.md`, "Encodings"), each with exactly one form per value.

* unpadded base64url (RFC 4648, section 5) with zero trailing bits;
* canonical JSON: RFC 8785 restricted to objects, arrays, strings, booleans, null and integers of at most 2**53 - 1;
* `pack`: a label and length-prefixed fields, the injective encoding under every hash, context and HPKE `info`.
"""

import binascii
import hashlib
import json
from typing import Final

from carnet_protocol.errors import MalformedError
from carnet_protocol.limits import MAX_JSON_INTEGER

MAX_JSON_DEPTH: Final = 16
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")


def format_base64url(data: bytes) -> str:
    """Text form of `data`: base64url without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def parse_base64url(text: str) -> bytes:
    """The bytes that `text` stands for.

    Raises `MalformedError` for padding, foreign characters, impossible lengths and non-zero trailing bits.
    """
    try:
        data = binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except ValueError as error:
        raise MalformedError("not unpadded base64url") from error
    # The decoder passes over what it does not know: only what it would write itself is the one form.
    if format_base64url(data) != text:
        raise MalformedError("not unpadded base64url")
    return data


def format_canonical_json(value: object) -> bytes:
    """Canonical JSON (RFC 8785, integers only) of `value` in UTF-8.

    Raises `MalformedError` for floats, integers beyond 2**53 - 1, lone surrogates, non-ASCII member names, other
    types, and nesting deeper than 16.
    """
    _check_json(value, MAX_JSON_DEPTH)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedError("a string holds a lone surrogate") from error


def parse_canonical_json(data: bytes) -> dict[str, object]:
    """The object that `data` is the canonical JSON of.

    Raises `MalformedError` for every other spelling: white space, other member order, doubled members, floats,
    escapes where none are needed, or anything but an object at the top.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object")
    if format_canonical_json(value) != data:
        raise MalformedError("not canonical JSON")
    return value


def _check_json(value: object, depth_left: int) -> None:
    if depth_left == 0:
        raise MalformedError("JSON is nested too deeply")
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > MAX_JSON_INTEGER:
            raise MalformedError("an integer is larger than 2**53 - 1")
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth_left - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not name.isascii():
                raise MalformedError("a member name is not ASCII text")
            _check_json(item, depth_left - 1)
    else:
        raise MalformedError("a value has no canonical JSON form")


def pack(label: bytes, *fields: bytes | int) -> bytes:
    """Injective encoding of `fields` under `label`.

    `u16 len(label) || label || (u32 len(field) || field)*`; an integer field is eight bytes; all integers are
    unsigned and big-endian. Raises `MalformedError` for a negative or too large integer.
    """
    parts = [len(label).to_bytes(2, "big"), label]
    for field in fields:
        if isinstance(field, int):
            if not 0 <= field < 1 << 64:
                raise MalformedError("an integer does not fit into 64 bits")
            parts += [b"\0\0\0\x08", field.to_bytes(8, "big")]
        else:
            parts += [len(field).to_bytes(4, "big"), field]
    return b"".join(parts)


def hash_packed(label: bytes, *fields: bytes | int) -> bytes:
    """SHA-256 (32 bytes) of `pack(label, *fields)`."""
    return hashlib.sha256(pack(label, *fields)).digest()
