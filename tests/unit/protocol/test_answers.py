"""Signed answers: to one request, by one server, in one spelling."""

import pytest

from carnet_protocol.answers import sign_answer, verify_answer
from carnet_protocol.errors import SignatureError
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.requests import SignedRequest
from carnet_protocol.signing import Signer
from tests.support import signed_request as asked
from tests.support.signed_request import NOW, Headers, raw

VAULT = Signer(bytes(range(2, 34)))
ANSWER = b'{"capsules":[],"next":null}'
REQUEST = asked.parse(asked.sign())


def sign(*, request: SignedRequest = REQUEST, status: int = 200, body: bytes = ANSWER, created: int = NOW) -> Headers:
    return sign_answer(request, status=status, body=body, created=created, sign=VAULT.sign)


def verify(
    headers: Headers,
    *,
    request: SignedRequest = REQUEST,
    status: int = 200,
    body: bytes = ANSWER,
    public_key: Ed25519PublicKey = VAULT.public_key,
    now: int = NOW,
) -> None:
    verify_answer(request, status=status, headers=raw(headers), body=body, public_key=public_key, now=now)


@pytest.mark.parametrize("created", [NOW - 60, NOW, NOW + 60])
def test_an_answer_verifies_for_its_request(created: int) -> None:
    verify(sign(created=created))
    verify(sign(body=b""), body=b"")


@pytest.mark.parametrize("created", [NOW - 61, NOW + 61, 0])
def test_an_answer_of_another_time_is_refused(created: int) -> None:
    with pytest.raises(SignatureError):
        verify(sign(created=created))


@pytest.mark.parametrize(
    "other",
    [
        asked.parse(asked.sign(method="PUT"), method="PUT"),
        asked.parse(asked.sign(target=asked.TARGET + "0"), target=asked.TARGET + "0"),
        asked.parse(asked.sign(body=b"")),
    ],
    ids=["method", "target", "body"],
)
def test_an_answer_to_another_request_is_refused_even_with_the_same_nonce(other: SignedRequest) -> None:
    with pytest.raises(SignatureError):
        verify(sign(request=other))


def test_an_answer_to_the_same_request_made_again_is_refused() -> None:
    again = asked.sign_anew()
    with pytest.raises(SignatureError):
        verify(sign(request=again))
    verify(sign(request=again), request=again)


def test_an_answer_with_another_body_or_status_is_refused() -> None:
    for body in (ANSWER + b" ", b""):
        with pytest.raises(SignatureError):
            verify(sign(), body=body)
    with pytest.raises(SignatureError):
        verify(sign(), status=201)


def test_an_answer_by_another_key_is_refused() -> None:
    with pytest.raises(SignatureError):
        verify(sign(), public_key=asked.ALICE.public_key)


@pytest.mark.parametrize("name", ["content-digest", "signature-input", "signature"])
def test_an_answer_without_one_of_its_headers_is_refused(name: str) -> None:
    headers = sign()
    del headers[name]
    with pytest.raises(SignatureError):
        verify(headers)


@pytest.mark.parametrize("name", ["content-digest", "signature-input", "signature"])
def test_an_answer_with_a_header_twice_is_refused(name: str) -> None:
    headers = raw(sign())
    with pytest.raises(SignatureError):
        verify_answer(
            REQUEST,
            status=200,
            headers=[*headers, (name.encode(), sign()[name].encode())],
            body=ANSWER,
            public_key=VAULT.public_key,
            now=NOW,
        )


def test_every_other_spelling_of_a_header_is_refused() -> None:
    good = sign()
    changes = [
        {name: text}
        for name, value in good.items()
        for text in (value + " ", value.replace("=", "= ", 1), value.upper(), value[:-1], value + value, "", "x" * 600)
        if text != value
    ]
    changes.append({"signature-input": good["signature-input"].replace(";alg=", f";expires={NOW + 60};alg=")})
    changes.append({"signature-input": good["signature-input"].replace("answer", "request")})
    changes.append({"signature": good["signature"].replace("carnet=", "other=")})
    for change in changes:
        with pytest.raises(SignatureError):
            verify(good | change)


def test_any_flipped_bit_of_a_signature_is_refused() -> None:
    good = sign()["signature"]
    for place in range(len("carnet=:"), len(good) - 3):
        text = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        with pytest.raises(SignatureError):
            verify(sign() | {"signature": text})


def test_a_request_is_no_answer_and_an_answer_no_request() -> None:
    request = asked.sign()
    with pytest.raises(SignatureError):
        verify(request, public_key=asked.ALICE.public_key, body=asked.BODY)
