"""RFC 9421 requests, signed and verified: whatever is covered cannot change."""

import base64
import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from http_message_signatures import HTTPMessageSigner
from http_message_signatures.algorithms import ED25519
from hypothesis import given
from hypothesis import strategies as st

from carnet_protocol.errors import MalformedError, SignatureError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, Nonce
from carnet_protocol.limits import REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import (
    COVERED_COMPONENTS,
    KeyId,
    VerifiedRequest,
    sign_request,
    verify_request,
    verify_request_body,
    verify_request_head,
)
from carnet_protocol.signing import Signer
from tests.support.signed_request import ALICE, BODY, KEY_ID, NONCE, NOW, SERVER, TARGET, parse, sign, verify

MALLORY = Signer(bytes(range(1, 33)))
OTHER_SERVER = Signer(bytes(range(3, 35))).public_key.fingerprint()
VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "rfc9421" / "rfc9421-appendix-b.json"


def test_a_signed_request_is_verified_and_names_key_time_and_nonce() -> None:
    assert verify(parse(sign())) == VerifiedRequest(KEY_ID, NOW, NONCE)


def test_the_four_headers_have_exactly_the_form_of_the_specification() -> None:
    headers = sign()
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    parameters = (
        '("@method" "@target-uri" "content-digest" "carnet-server")'
        f';created={NOW};keyid="{KEY_ID}";alg="ed25519";nonce="{NONCE}";tag="carnet-request-v1"'
    )
    base = (
        f'"@method": POST\n"@target-uri": {TARGET}\n"content-digest": sha-256=:{digest}:\n'
        f'"carnet-server": {SERVER}\n"@signature-params": {parameters}'
    )
    assert headers == {
        "carnet-server": str(SERVER),
        "content-digest": f"sha-256=:{digest}:",
        "signature-input": f"carnet={parameters}",
        "signature": f"carnet=:{base64.b64encode(ALICE.sign(base.encode())).decode()}:",
    }


def test_other_headers_of_the_request_do_not_matter() -> None:
    headers = {"host": "elsewhere.example", **sign(), "accept": "*/*"}
    assert verify(parse(headers)).nonce == NONCE


def test_a_get_covers_the_digest_of_its_empty_body() -> None:
    request = parse(sign(method="GET", body=b""), method="GET")
    assert request.content_digest == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    assert verify(request, b"").key_id == KEY_ID


def test_two_requests_have_two_nonces() -> None:
    nonces = {
        parse(
            sign_request(
                method="POST",
                target=TARGET,
                body=BODY,
                server=SERVER,
                key_id=KEY_ID,
                created=NOW,
                sign=ALICE.sign,
            )
        ).nonce
        for _ in range(8)
    }
    assert len(nonces) == 8


# verify_request_head


def test_verify_refuses_a_request_for_another_server() -> None:
    request = parse(sign())
    with pytest.raises(SignatureError, match="another server"):
        verify_request_head(request, public_key=ALICE.public_key, server=OTHER_SERVER, now=NOW)


def test_verify_refuses_a_request_readdressed_to_this_server() -> None:
    headers = sign_request(
        method="POST",
        target=TARGET,
        body=BODY,
        server=OTHER_SERVER,
        key_id=KEY_ID,
        created=NOW,
        sign=ALICE.sign,
    )
    with pytest.raises(SignatureError, match="does not verify"):
        verify(parse(headers | {"carnet-server": str(SERVER)}))


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        (-REQUEST_WINDOW_SECONDS - 1, False),
        (-REQUEST_WINDOW_SECONDS, True),
        (0, True),
        (REQUEST_WINDOW_SECONDS, True),
        (REQUEST_WINDOW_SECONDS + 1, False),
        (NOW, False),
    ],
)
def test_verify_holds_the_window_to_the_second(age: int, accepted: bool) -> None:
    request = parse(sign(created=NOW - age))
    if accepted:
        assert verify(request).created == NOW - age
    else:
        with pytest.raises(SignatureError, match="too long ago"):
            verify(request)


def test_verify_refuses_parameters_that_are_not_the_ones_it_composes() -> None:
    request = parse(sign())
    forged = dataclasses.replace(request, signature_params=request.signature_params.replace("v1", "v2"))
    with pytest.raises(SignatureError, match="parameters"):
        verify(forged)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": TARGET + "0"},
        {"target": TARGET.replace("8443", "8444")},
        {"target": TARGET.replace("https", "http")},
        {"created": NOW + 1},
        {"nonce": Nonce(bytes(16))},
        {"key_id": KeyId(bytes(32))},
        {"signature": bytes(64)},
        {"content_digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
    ],
    ids=["method", "query", "port", "scheme", "created", "nonce", "key id", "signature", "digest"],
)
def test_verify_refuses_a_change_of_anything_that_is_covered(change: dict[str, Any]) -> None:
    request = parse(sign())
    forged = dataclasses.replace(request, **change)
    parameters = (
        request.signature_params.replace(f"created={NOW}", f"created={forged.created}")
        .replace(str(NONCE), str(forged.nonce))
        .replace(str(KEY_ID), str(forged.key_id))
    )
    with pytest.raises(SignatureError, match="does not verify"):
        verify_request_head(
            dataclasses.replace(forged, signature_params=parameters),
            public_key=ALICE.public_key,
            server=SERVER,
            now=NOW,
        )


@pytest.mark.parametrize(
    "public_key",
    [
        MALLORY.public_key,
        Ed25519PublicKey(bytes(32)),
        Ed25519PublicKey(b"\x01" + bytes(31)),
        Ed25519PublicKey(b"\xff" * 32),
    ],
    ids=["another person's", "zero", "the neutral element", "not a point"],
)
def test_verify_refuses_another_and_a_degenerate_key(public_key: Ed25519PublicKey) -> None:
    with pytest.raises(SignatureError):
        verify_request(parse(sign()), BODY, public_key=public_key, server=SERVER, now=NOW)


def test_verify_refuses_a_signature_with_a_scalar_beyond_the_group_order() -> None:
    request = parse(sign())
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(request.signature[32:], "little") + order
    malleable = request.signature[:32] + scalar.to_bytes(32, "little")
    with pytest.raises(SignatureError):
        verify(dataclasses.replace(request, signature=malleable))


# verify_request_body


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1], BODY.swapcase()])
def test_verify_refuses_another_body(body: bytes) -> None:
    request = parse(sign())
    head = verify_request_head(request, public_key=ALICE.public_key, server=SERVER, now=NOW)
    with pytest.raises(SignatureError, match="body"):
        verify_request_body(head, body)
    with pytest.raises(SignatureError, match="body"):
        verify(request, body)


@given(st.sampled_from(["carnet-server", "content-digest", "signature-input", "signature"]), st.data())
def test_any_changed_character_of_any_header_is_refused(name: str, data: st.DataObject) -> None:
    headers = sign()
    value = headers[name]
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(min_codepoint=0, max_codepoint=126).filter(lambda c: c != value[place]))
    with pytest.raises((MalformedError, SignatureError)):
        verify(parse(headers | {name: value[:place] + other + value[place + 1 :]}))


# The library's own path, against the vectors of RFC 9421


def test_the_library_composes_the_signing_input_of_rfc_9421_appendix_b() -> None:
    if not VECTORS.exists():
        pytest.skip("the third-party vectors of ../shared/vectors are not here")
    vectors = json.loads(VECTORS.read_text())
    case = next(case for case in vectors["cases"] if case["alg"] == "ed25519")
    head = vectors["test_request"].partition("\n\n")[0].split("\n")[1:]
    message = type("Message", (), {})()
    message.method, message.url = "POST", "https://example.com/foo?param=Value&Pet=dog"
    message.headers = dict(line.split(": ", 1) for line in head)
    prepared = HTTPMessageSigner(signature_algorithm=ED25519).prepare(
        message,
        key_id=case["keyid"],
        created=datetime.fromtimestamp(1618884473, tz=UTC),
        include_alg=False,
        covered_component_ids=("date", "@method", "@path", "@authority", "content-type", "content-length"),
        use_existing_digest=True,
    )
    assert prepared.signature_base.decode() == case["signature_base"]
    seed = base64.urlsafe_b64decode(vectors["keys"]["test-key-ed25519"]["jwk"]["d"] + "=")
    signature = base64.b64encode(Signer(seed).sign(prepared.signature_base)).decode()
    assert case["signature"] == f"sig-b26=:{signature}:"


def test_the_components_are_the_ones_of_the_specification() -> None:
    assert COVERED_COMPONENTS == ("@method", "@target-uri", "content-digest", "carnet-server")
    assert str(Fingerprint(SERVER.raw)) == sign()["carnet-server"]
