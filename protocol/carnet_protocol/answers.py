"""Signed answers of one server to the other: HTTP Message Signatures of responses (RFC 9421, 2.4; spec `api.md`).

Whoever ends TLS between the servers could leave capsules out of an answer, or put some in. So an answer to a server is
signed by the server that gives it, over its status, the digest of its body, and what the request covered: method,
target, digest and server. It repeats the nonce of the request, which nobody else ever used: an answer to another
request, however alike, does not verify.

    headers = sign_answer(request, status=200, body=body, created=now, sign=server_key.sign)
    verify_answer(request, status=200, headers=raw_headers, body=body, public_key=pinned_key, now=now)

There is one spelling, as with requests. The signer has the bytes composed by the `http-message-signatures` library; the
verifier puts them together from values that it knows before it reads the answer, all but the time. Refusals are not
signed, and nothing may be concluded from one.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from http_message_signatures import ContentDigest

from carnet_protocol import signing
from carnet_protocol.errors import SignatureError
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.limits import MAX_TIME, REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import SignedRequest
from carnet_protocol.signature_base import LABEL, compose

COVERED_COMPONENTS: Final = (
    '"@status"',
    '"content-digest"',
    '"@method";req',
    '"@target-uri";req',
    '"content-digest";req',
    '"carnet-server";req',
)
TAG: Final = "carnet-answer-v1"

_HEADERS: Final = (b"content-digest", b"signature-input", b"signature")
_MAX_HEADER_LENGTH: Final = 512
_CREATED: Final = re.compile(r";created=(0|[1-9][0-9]{0,11});")


def sign_answer(
    request: SignedRequest, *, status: int, body: bytes, created: int, sign: Callable[[bytes], bytes]
) -> dict[str, str]:
    """The three headers that make the answer with `status` and `body` to `request` a signed one.

    `sign` returns the Ed25519 signature by the key of the server that `request` is meant for. Raises `MalformedError`
    if no signing input can be made.
    """
    content_digest = ContentDigest.create(body)
    message = _Answer(
        status,
        {"content-digest": content_digest},
        _Request(
            request.method,
            request.target,
            {"content-digest": request.content_digest, "carnet-server": str(request.server)},
        ),
    )
    prepared = compose(
        message,
        key_id=str(request.server),
        created=created,
        nonce=str(request.nonce),
        tag=TAG,
        components=COVERED_COMPONENTS,
        what="answer",
    )
    signature = base64.b64encode(sign(prepared.signature_base)).decode("ascii")
    return {
        "content-digest": content_digest,
        "signature-input": f"{LABEL}={prepared.signature_params}",
        "signature": f"{LABEL}=:{signature}:",
    }


def verify_answer(
    request: SignedRequest,
    *,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    public_key: Ed25519PublicKey,
    now: int,
) -> None:
    """Check that the server with `public_key` gave this answer to `request`, about `now`.

    1. Each of the three headers is there once, in ASCII and no longer than any signer makes it.
    2. The digest is that of `body`.
    3. The answer was signed within 60 seconds of `now`, either way, both ends included.
    4. `Signature-Input` is the one spelling, for this server and the nonce of this request.
    5. `Signature` holds one signature by `public_key` over the signature base of RFC 9421, section 2.5.

    Raises `SignatureError`.
    """
    # 1
    content_digest, signature_input, signature = _single_headers(headers)
    # 2
    if not hmac.compare_digest(content_digest, f"sha-256=:{base64.b64encode(sha256(body).digest()).decode('ascii')}:"):
        raise SignatureError("the body of an answer is not the one that was signed")
    # 3
    created = _CREATED.search(signature_input)
    if created is None or int(created[1]) > MAX_TIME or abs(now - int(created[1])) > REQUEST_WINDOW_SECONDS:
        raise SignatureError("the answer was signed at another time, or the clocks disagree")
    # 4
    parameters = (
        f'({" ".join(COVERED_COMPONENTS)});created={created[1]};keyid="{request.server}";alg="ed25519"'
        f';nonce="{request.nonce}";tag="{TAG}"'
    )
    if signature_input != f"{LABEL}={parameters}":
        raise SignatureError("the answer is signed as the answer to something else")
    # 5
    values = (
        str(status),
        content_digest,
        request.method,
        request.target,
        request.content_digest,
        str(request.server),
        parameters,
    )
    names = (*COVERED_COMPONENTS, '"@signature-params"')
    base = "\n".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
    signing.verify(public_key, base.encode("ascii"), _parse_signature(signature))


@dataclass(frozen=True, slots=True)
class _Request:
    """What the library reads of the request that is answered."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the library reads of an answer."""

    status_code: int
    headers: dict[str, str]
    request: _Request


def _single_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The values of the three headers, in the order of `_HEADERS`; their names may have any case."""
    found: dict[bytes, bytes] = {}
    for given, value in headers:
        name = given.lower()
        if name in _HEADERS:
            if name in found:
                raise SignatureError("a header of the answer's signature comes twice")
            found[name] = value
    texts = []
    for name in _HEADERS:
        text = found.get(name, b"")
        if not 0 < len(text) <= _MAX_HEADER_LENGTH or not text.isascii():
            raise SignatureError("the answer is not signed")
        texts.append(text.decode("ascii"))
    return texts


def _parse_signature(text: str) -> bytes:
    """The signature in its one spelling. Raises `SignatureError`."""
    try:
        signature = base64.b64decode(text.removeprefix(f"{LABEL}=:").removesuffix(":"), validate=True)
    except ValueError as error:
        raise SignatureError("the answer's signature is not base64") from error
    if f"{LABEL}=:{base64.b64encode(signature).decode('ascii')}:" != text:
        raise SignatureError("the answer's signature is not in its one spelling")
    return signature
