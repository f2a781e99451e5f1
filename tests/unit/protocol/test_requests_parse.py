"""RFC 9421 requests as they come in: one spelling is parsed, every other is refused at the check that names it."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet_protocol.errors import MalformedError
from carnet_protocol.limits import MAX_TIME, MAX_URL_BYTES
from carnet_protocol.requests import format_target, parse_request
from tests.support.signed_request import BODY, KEY_ID, NONCE, NOW, SERVER, TARGET, parse, raw, sign

# Check 1: method and target


@pytest.mark.parametrize("method", ["post", "PATCH", "CONNECT", "", "POST ", "GET\n", "OPTIONS", "HEAD"])
def test_parse_refuses_a_method_that_no_request_has(method: str) -> None:
    with pytest.raises(MalformedError):
        parse(sign(), method=method)
    with pytest.raises(MalformedError):
        sign(method=method)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/v1/records",
        "vault.example/v1",
        "ftp://vault.example/v1",
        "https://vault.example",
        "https://Vault.example/v1",
        "HTTPS://vault.example/v1",
        "https://me@vault.example/v1",
        "https://vault.example/v1?",
        "https://vault.example/v1#fragment",
        "https://vault.example/v1?a=b#fragment",
        "https://vault.example/v1/%41",
        "https://vault.example/v1?a=%20",
        "https://vault.example/v1?a=b+c",
        "https://vault.example/v1?a=b?c",
        "https://vault.example/v1 ",
        "https://vault.example/v1\n",
        "https://vault.example/v1\r\nx: y",
        "https://vault.example/v1/é",
        "https://vault.example/v1\\x",
        'https://vault.example/v1"',
    ],
)
def test_a_target_with_a_second_spelling_is_refused_by_signer_and_server(target: str) -> None:
    with pytest.raises(MalformedError):
        sign(target=target)
    with pytest.raises(MalformedError):
        parse(sign(), target=target)


@pytest.mark.parametrize("host", ["[::1::2]", "[1.2.3.4]", "[", "a]b", "[::1]]"])
def test_a_target_whose_host_the_library_refuses_is_never_signed(host: str) -> None:
    with pytest.raises(MalformedError):
        sign(target=f"https://{host}/v1")


@pytest.mark.parametrize(("length", "accepted"), [(MAX_URL_BYTES, True), (MAX_URL_BYTES + 1, False)])
def test_a_target_is_bounded_in_length(length: int, accepted: bool) -> None:
    target = "https://vault.example/".ljust(length, "a")
    if accepted:
        assert parse(sign(target=target), target=target).target == target
    else:
        with pytest.raises(MalformedError):
            sign(target=target)


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (b"/", b"", "http://127.0.0.1:8001/"),
        (b"/v1/inbox", b"after=x", "http://127.0.0.1:8001/v1/inbox?after=x"),
        (b"//v1", b"", "http://127.0.0.1:8001//v1"),
    ],
)
def test_the_target_is_the_configured_origin_with_path_and_query_as_they_came(
    path: bytes, query: bytes, target: str
) -> None:
    assert format_target(origin="http://127.0.0.1:8001", raw_path=path, raw_query=query) == target


@pytest.mark.parametrize(("path", "query"), [(b"/\xc3\xa9", b""), (b"", b""), (b"v1", b""), (b"/v1", b"a=%41")])
def test_no_target_is_made_of_a_foreign_path_or_query(path: bytes, query: bytes) -> None:
    with pytest.raises(MalformedError):
        format_target(origin="http://127.0.0.1:8001", raw_path=path, raw_query=query)


# Check 2: each header once


@pytest.mark.parametrize("name", ["carnet-server", "content-digest", "signature-input", "signature"])
def test_parse_refuses_a_missing_a_doubled_an_empty_and_a_long_header(name: str) -> None:
    headers = sign()
    without = raw({other: value for other, value in headers.items() if other != name})
    for wrong in (
        without,
        [*raw(headers), (name.encode(), headers[name].encode())],
        [*without, (name.encode(), b"")],
        [*without, (name.encode(), headers[name].encode() + b" " * 512)],
        [*without, (name.encode(), headers[name].encode() + b"\xff")],
    ):
        with pytest.raises(MalformedError):
            parse_request(method="POST", target=TARGET, headers=wrong)


@pytest.mark.parametrize("name", ["carnet-server", "content-digest", "signature-input", "signature"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", " ", "\t", "\r\n ", ", "])
def test_parse_refuses_folded_and_padded_headers(name: str, ending: str) -> None:
    headers = sign()
    middle = len(headers[name]) // 2
    for wrong in (
        headers[name] + ending,
        ending + headers[name],
        headers[name][:middle] + ending + headers[name][middle:],
    ):
        with pytest.raises(MalformedError):
            parse(headers | {name: wrong})


def test_parse_refuses_a_folded_signature_input() -> None:
    headers = sign()
    folded = headers["signature-input"].replace(" ", "\r\n ", 1)
    with pytest.raises(MalformedError):
        parse(headers | {"signature-input": folded})


# Check 3: the one spelling of Signature-Input


def changed_inputs() -> dict[str, str]:
    headers = sign()
    text = headers["signature-input"]
    components = '("@method" "@target-uri" "content-digest" "carnet-server")'
    return {
        "another label": text.replace("carnet=", "sig1=", 1),
        "a second signature": f"{text}, other={text.partition('=')[2]}",
        "the same signature twice": f"{text}, {text}",
        "no component": text.replace(components, "()"),
        "one component less": text.replace(' "carnet-server"', ""),
        "no digest": text.replace(' "content-digest"', ""),
        "one component more": text.replace(components, components[:-1] + ' "content-type")'),
        "a doubled component": text.replace('"@method"', '"@method" "@method"'),
        "reordered components": text.replace('"@method" "@target-uri"', '"@target-uri" "@method"'),
        "another component": text.replace("@target-uri", "@path"),
        "a component of the answer": text.replace('"content-digest"', '"content-digest";req'),
        "a structured component": text.replace('"content-digest"', '"content-digest";sf'),
        "two spaces": text.replace('" "', '"  "', 1),
        "a space before a parameter": text.replace(";created", "; created"),
        "an extra parameter": text + ";expires=1900000000",
        "an unknown parameter": text + ";x=1",
        "a doubled parameter": text + f";created={NOW}",
        "no created": text.replace(f";created={NOW}", ""),
        "no nonce": text.replace(f';nonce="{NONCE}"', ""),
        "no key id": text.replace(f';keyid="{KEY_ID}"', ""),
        "no algorithm": text.replace(';alg="ed25519"', ""),
        "no tag": text.replace(';tag="carnet-request-v1"', ""),
        "reordered parameters": text.replace(f';created={NOW};keyid="{KEY_ID}"', f';keyid="{KEY_ID}";created={NOW}'),
        "another algorithm": text.replace("ed25519", "hmac-sha256"),
        "algorithm none": text.replace("ed25519", "none"),
        "an algorithm in capitals": text.replace("ed25519", "Ed25519"),
        "another tag": text.replace("request-v1", "request-v2"),
        "a time in quotes": text.replace(f"created={NOW}", f'created="{NOW}"'),
        "a negative time": text.replace(f"created={NOW}", "created=-1"),
        "a decimal time": text.replace(f"created={NOW}", f"created={NOW}.0"),
        "a time with a leading zero": text.replace(f"created={NOW}", f"created=0{NOW}"),
        "an escaped quote": text.replace(str(NONCE), 'AAAAAAAAAAAAAAAAAAAAA\\"'),
    }


@pytest.mark.parametrize("what", changed_inputs())
def test_parse_refuses_signature_input_with(what: str) -> None:
    text = changed_inputs()[what]
    assert text != sign()["signature-input"]
    with pytest.raises(MalformedError):
        parse(sign() | {"signature-input": text})


# Check 4: created, key id, nonce


@pytest.mark.parametrize(("created", "accepted"), [(0, True), (MAX_TIME, True), (MAX_TIME + 1, False)])
def test_parse_takes_times_up_to_the_year_9999(created: int, accepted: bool) -> None:
    headers = sign()
    text = headers["signature-input"].replace(f"created={NOW}", f"created={created}")
    if accepted:
        assert parse(headers | {"signature-input": text}).created == created
    else:
        with pytest.raises(MalformedError):
            parse(headers | {"signature-input": text})


@pytest.mark.parametrize("created", [-1, MAX_TIME + 1, 10**12, 10**30])
def test_no_request_is_signed_at_an_impossible_time(created: int) -> None:
    with pytest.raises(MalformedError):
        sign(created=created)


@pytest.mark.parametrize("which", [str(KEY_ID), str(NONCE)])
def test_parse_refuses_trailing_bits_lengths_and_padding_in_key_id_and_nonce(which: str) -> None:
    headers = sign()
    for wrong in (which[:-1] + "B", which[:-1], which + "A", which[:-1] + "=", "+" + which[1:], ""):
        text = headers["signature-input"].replace(which, wrong)
        assert text != headers["signature-input"]
        with pytest.raises(MalformedError):
            parse(headers | {"signature-input": text})


# Checks 5 and 6: byte sequences


@pytest.mark.parametrize(("name", "label"), [("signature", "carnet"), ("content-digest", "sha-256")])
def test_parse_refuses_other_forms_of_a_byte_sequence(name: str, label: str) -> None:
    headers = sign()
    value = headers[name].split(":")[1]
    data = base64.b64decode(value)
    wrongs = [
        f"{label}=:{value.rstrip('=')}:",
        f"{label}=:{base64.b64encode(data[:-1]).decode()}:",
        f"{label}=:{base64.b64encode(data + bytes(1)).decode()}:",
        f"{label}=:{base64.urlsafe_b64encode(bytes([255]) * len(data)).decode()}:",
        f"{label}=:{value}:, other=:{value}:",
        f"other=:{value}:",
        f"{label}=:{value}:;x",
        f'{label}="{value}"',
        f"{label}=::",
        f"{label}",
        f"{label.upper()}=:{value}:",
    ]
    stripped = value.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    with_bits = stripped[:-1] + alphabet[alphabet.index(stripped[-1]) + 1] + "=" * (len(value) - len(stripped))
    assert base64.b64decode(with_bits) == data
    for wrong in [*wrongs, f"{label}=:{with_bits}:"]:
        with pytest.raises(MalformedError):
            parse(headers | {name: wrong})


def test_parse_refuses_a_second_digest_and_another_hash() -> None:
    headers = sign()
    sha512 = "sha-512=:" + base64.b64encode(hashlib.sha512(BODY).digest()).decode() + ":"
    for wrong in (sha512, f"{headers['content-digest']}, {sha512}", f"{sha512}, {headers['content-digest']}"):
        with pytest.raises(MalformedError):
            parse(headers | {"content-digest": wrong})


# Check 7: the server


@pytest.mark.parametrize(
    "wrong",
    [str(SERVER)[:-1], f"{SERVER}A", str(SERVER)[:-1] + "V", f'"{SERVER}"'],
    ids=["cut", "longer", "bits", "quoted"],
)
def test_parse_refuses_a_server_fingerprint_in_another_form(wrong: str) -> None:
    with pytest.raises(MalformedError):
        parse(sign() | {"carnet-server": wrong})


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=6))
def test_no_list_of_headers_makes_parse_fail_in_another_way(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedError):
        parse_request(method="GET", target=TARGET, headers=headers)
