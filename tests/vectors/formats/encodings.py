"""Scenarios of encodings and ids: base64url, canonical-json, pack, document-id, fingerprint, short-code."""

import base64
import hashlib
from collections.abc import Iterator

from carnet_protocol import labels
from carnet_protocol.encoding import hash_packed, pack
from carnet_protocol.ids import DocumentSalt, derive_document_id
from tests.vectors.people import ALICE, BOB, RECORD
from tests.vectors.scenario import Scenario, b64

_BASE64URL = {"empty": "", "one-byte": "AA", "two-bytes": "AAA", "three-bytes": "_-_-"}
_NOT_BASE64URL = {
    "padded": "AA==",
    "impossible-length": "A",
    "trailing-bits": "AB",
    "plus": "A+",
    "slash": "A/",
    "newline": "AA\n",
    "space": " AA",
}
_JSON = {
    "empty": b"{}",
    "sorted": b'{"a":1,"b":[true,false,null],"c":{"d":"e"}}',
    "unicode": '{"name":"Élise \U0001f600"}'.encode(),
    "escapes": b'{"a":"\\b\\t\\n\\f\\r\\"\\\\\\u0001/"}',
    "largest-integer": b'{"a":9007199254740991}',
    "negative-integer": b'{"a":-9007199254740991}',
}
_NOT_JSON = {
    "nothing": b"",
    "array": b"[]",
    "space": b'{"a": 1}',
    "newline": b"{}\n",
    "byte-order-mark": b"\xef\xbb\xbf{}",
    "unsorted": b'{"b":1,"a":1}',
    "doubled": b'{"a":1,"a":1}',
    "float": b'{"a":1.0}',
    "exponent": b'{"a":1e3}',
    "negative-zero": b'{"a":-0}',
    "nan": b'{"a":NaN}',
    "too-large": b'{"a":9007199254740992}',
    "needless-escape": b'{"a":"\\u0041"}',
    "escaped-slash": b'{"a":"\\/"}',
    "upper-case-escape": b'{"a":"\\u001F"}',
    "lone-surrogate": b'{"a":"\\ud800"}',
    "not-utf-8": b'{"a":"\xff"}',
    "foreign-name": '{"é":1}'.encode(),
    "too-deep": b'{"a":' * 17 + b"1" + b"}" * 17,
}


def make() -> Iterator[Scenario]:
    """Every scenario."""
    for name, text in _BASE64URL.items():
        expected = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
        yield Scenario("base64url", name, {"text": text}, {"hex": expected})
    for name, text in _NOT_BASE64URL.items():
        yield Scenario("base64url", name, {"text": text}, None)
    for name, data in _JSON.items():
        yield Scenario("canonical-json", name, {"hex": data.hex()}, {})
    for name, data in _NOT_JSON.items():
        yield Scenario("canonical-json", name, {"hex": data.hex()}, None)
    examples: dict[str, list[bytes | int]] = {"none": [], "empty-field": [b""], "mixed": [b"\1\2", 258, b"", 2**64 - 1]}
    for name, fields in examples.items():
        shown = [{"integer": str(field)} if isinstance(field, int) else {"hex": field.hex()} for field in fields]
        packed = pack(b"carnet/v1/example", *fields)
        output = {"packed_hex": packed.hex(), "sha256_hex": hashlib.sha256(packed).hexdigest()}
        yield Scenario("pack", name, {"label": "carnet/v1/example", "fields": shown}, output)
    salt = DocumentSalt(bytes(range(32)))
    for name, author in {"patient": ALICE.identity, "laboratory": BOB.identity}.items():
        document = derive_document_id(RECORD, author, salt)
        given = {"record": str(RECORD), "author": str(author), "document_salt": str(salt)}
        yield Scenario("document-id", name, given, {"document": str(document)})
    key = ALICE.root.public_key
    yield Scenario("fingerprint", "root-key", {"key": str(key)}, {"fingerprint": str(key.fingerprint())})
    for name, identity in {"alice": ALICE.identity, "bob": BOB.identity}.items():
        digits = f"{int.from_bytes(hash_packed(labels.SHORT_CODE, identity.raw), 'big') % 10**30:030d}"
        code = " ".join(digits[start : start + 5] for start in range(0, 30, 5))
        yield Scenario("short-code", name, {"identity": b64(identity.raw)}, {"code": code})
