"""Signed requests to both servers: HTTP Message Signatures in one spelling (RFC 9421, RFC 9530; spec `api.md`).

Every request covers its method, its target under the configured origin, the digest of its body and the fingerprint of
the server that it is meant for, and names its key, its second and its nonce. Nothing is negotiated: other components,
another order, another label or one parameter more are refused before anything is looked up.

A server checks in three steps, each cheaper than what it protects: `parse_request` needs no key and gives the key id;
`verify_request_head` proves that the head was signed, before a byte of the body is read; `verify_request_body` proves
the body and gives the `VerifiedRequest`, the only value that may be acted upon.

    headers = sign_request(
        method="GET", target=target, body=b"", server=fingerprint, key_id=key_id, created=now, sign=device.sign
    )
    request = parse_request(method="GET", target=target, headers=raw_headers)
    head = verify_request_head(request, public_key=look_up(request.key_id), server=fingerprint, now=now)
    verified = verify_request_body(head, body)

A signer has the bytes that are signed composed by the `http-message-signatures` library. A server puts them together
from the values that came in, each of which `parse_request` has found in its one spelling: five lines, with nothing left
to serialise. So every request of the client checks one against the other. This module reads no clock: `now` and
`created` are passed in. Whether a nonce was seen before is not decided here: the caller makes it a unique row of the
transaction that it authorises.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from http_message_signatures import ContentDigest, PreparedSignature

from carnet_protocol import signing
from carnet_protocol.errors import MalformedError, SignatureError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, FixedBytes, Nonce
from carnet_protocol.limits import MAX_TIME, MAX_URL_BYTES, REQUEST_WINDOW_SECONDS
from carnet_protocol.signature_base import LABEL, compose

COVERED_COMPONENTS: Final = ("@method", "@target-uri", "content-digest", "carnet-server")
TAG: Final = "carnet-request-v1"
METHODS: Final = frozenset({"DELETE", "GET", "POST", "PUT"})

_HEADERS: Final = (b"carnet-server", b"content-digest", b"signature-input", b"signature")
_MAX_HEADER_LENGTH: Final = 512
_ORIGIN: Final = r"https?://[a-z0-9.:\[\]-]+"
_PATH: Final = r"(?:/[A-Za-z0-9._~:-]*)+"
_QUERY: Final = r"[A-Za-z0-9._~:=&,-]+"
_TARGET: Final = re.compile(rf"{_ORIGIN}{_PATH}(?:\?{_QUERY})?")
_HASH: Final = r"[A-Za-z0-9_-]{43}"
_SIGNATURE_INPUT: Final = re.compile(
    LABEL
    + r'=(\("@method" "@target-uri" "content-digest" "carnet-server"\)'
    + rf';created=(0|[1-9][0-9]{{0,11}});keyid="({_HASH})";alg="ed25519";nonce="([A-Za-z0-9_-]{{22}})";tag="{TAG}")'
)
_SIGNATURE: Final = re.compile(rf"{LABEL}=:([A-Za-z0-9+/]{{86}}==):")
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


class KeyId(FixedBytes):
    """The 32 bytes by which a request names its key: a device statement's hash, or a key's fingerprint."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The head of a request as it came in: well-formed, proven in nothing."""

    method: str
    target: str
    server: Fingerprint
    content_digest: str
    key_id: KeyId
    created: int
    nonce: Nonce
    signature_params: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedHead:
    """The head of a request, signed by the key that `request.key_id` names; its body is not known yet."""

    request: SignedRequest


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """Who signed a request, when, and the nonce that must be spent with it."""

    key_id: KeyId
    created: int
    nonce: Nonce


def format_target(*, origin: str, raw_path: bytes, raw_query: bytes) -> str:
    """The target that a signature covers: the configured `origin`, then path and query as they came in, undecoded.

    Raises `MalformedError` if this is not a canonical target.
    """
    try:
        target = origin + raw_path.decode("ascii") + ("?" + raw_query.decode("ascii") if raw_query else "")
    except UnicodeDecodeError as error:
        raise MalformedError("a target is ASCII") from error
    _check_target(target)
    return target


def sign_request(
    *,
    method: str,
    target: str,
    body: bytes,
    server: Fingerprint,
    key_id: KeyId,
    created: int,
    sign: Callable[[bytes], bytes],
    nonce: Nonce | None = None,
) -> dict[str, str]:
    """The four headers that make a request to `target` at `server` a signed one.

    `sign` returns the Ed25519 signature of the bytes it is given. `nonce` is fresh unless given, which only vectors do.
    Raises `MalformedError` if no server would parse the result.
    """
    _check_method(method)
    _check_target(target)
    content_digest = ContentDigest.create(body)
    prepared = _prepare(
        method=method,
        target=target,
        server=server,
        content_digest=content_digest,
        key_id=key_id,
        created=created,
        nonce=nonce or Nonce.make(),
    )
    signature = base64.b64encode(sign(prepared.signature_base)).decode("ascii")
    return {
        "carnet-server": str(server),
        "content-digest": content_digest,
        "signature-input": f"{LABEL}={prepared.signature_params}",
        "signature": f"{LABEL}=:{signature}:",
    }


def parse_request(*, method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> SignedRequest:
    """The signed request that `headers` describe, in wire order and with lower-case names. Needs no key.

    1. `method` is one that the servers know; `target` is canonical (see `format_target`).
    2. Each of the four headers is there once, on one line, in visible ASCII and no longer than any signer makes it.
    3. `Signature-Input` is the one spelling: label, components in order, parameters in order, algorithm and tag.
    4. `created` is a time; key id and nonce are canonical base64url of 32 and 16 bytes.
    5. `Signature` holds one member of this label: canonical base64 of 64 bytes.
    6. `Content-Digest` holds one member, `sha-256`: canonical base64 of 32 bytes.
    7. `Carnet-Server` is canonical base64url of 32 bytes.

    Raises `MalformedError`.
    """
    # 1
    _check_method(method)
    _check_target(target)
    # 2
    server, content_digest, signature_input, signature = _single_headers(headers)
    # 3
    claims = _SIGNATURE_INPUT.fullmatch(signature_input)
    if claims is None:
        raise MalformedError("Signature-Input is not the one of this protocol")
    # 4
    created = int(claims[2])
    if created > MAX_TIME:
        raise MalformedError("a request's time is after the year 9999")
    key_id, nonce = KeyId.parse(claims[3]), Nonce.parse(claims[4])
    # 5
    signature_bytes = _parse_byte_sequence(_SIGNATURE, signature)
    # 6
    _parse_byte_sequence(_CONTENT_DIGEST, content_digest)
    # 7
    fingerprint = Fingerprint.parse(server)
    return SignedRequest(
        method=method,
        target=target,
        server=fingerprint,
        content_digest=content_digest,
        key_id=key_id,
        created=created,
        nonce=nonce,
        signature_params=claims[1],
        signature=signature_bytes,
    )


def verify_request_head(
    request: SignedRequest, *, public_key: Ed25519PublicKey, server: Fingerprint, now: int
) -> VerifiedHead:
    """Check everything but the body of `request`, as the server with fingerprint `server` at time `now`.

    1. It is meant for this server.
    2. It was made within 60 seconds of `now`, either way, both ends included.
    3. The parameters that came in are those that its key id, time and nonce give.
    4. Its signature is one by `public_key` over the signature base of RFC 9421, section 2.5.

    Raises `SignatureError`.
    """
    # 1
    if request.server != server:
        raise SignatureError("the request is meant for another server")
    # 2
    if abs(now - request.created) > REQUEST_WINDOW_SECONDS:
        raise SignatureError("the request was made too long ago, or the clocks disagree")
    # 3
    parameters = (
        '("@method" "@target-uri" "content-digest" "carnet-server")'
        f';created={request.created};keyid="{request.key_id}";alg="ed25519";nonce="{request.nonce}";tag="{TAG}"'
    )
    if parameters != request.signature_params:
        raise SignatureError("the signature does not cover the parameters that came in")
    # 4
    base = (
        f'"@method": {request.method}\n'
        f'"@target-uri": {request.target}\n'
        f'"content-digest": {request.content_digest}\n'
        f'"carnet-server": {request.server}\n'
        f'"@signature-params": {parameters}'
    )
    signing.verify(public_key, base.encode("ascii"), request.signature)
    return VerifiedHead(request)


def verify_request_body(head: VerifiedHead, body: bytes) -> VerifiedRequest:
    """Check that `body` is the one that was signed. Raises `SignatureError`."""
    request = head.request
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")
    if not hmac.compare_digest(f"sha-256=:{digest}:", request.content_digest):
        raise SignatureError("the body is not the one that was signed")
    return VerifiedRequest(request.key_id, request.created, request.nonce)


def verify_request(
    request: SignedRequest, body: bytes, *, public_key: Ed25519PublicKey, server: Fingerprint, now: int
) -> VerifiedRequest:
    """Check head and body in one call, for callers that hold the body already. Raises `SignatureError`."""
    return verify_request_body(verify_request_head(request, public_key=public_key, server=server, now=now), body)


@dataclass(frozen=True, slots=True)
class _Message:
    """What the library reads of a request."""

    method: str
    url: str
    headers: dict[str, str]


def _prepare(
    *,
    method: str,
    target: str,
    server: Fingerprint,
    content_digest: str,
    key_id: KeyId,
    created: int,
    nonce: Nonce,
) -> PreparedSignature:
    """What is signed; the library chooses no component, no order and no time."""
    if not 0 <= created <= MAX_TIME:
        raise MalformedError("a request's time lies between 1970 and 9999")
    message = _Message(method, target, {"content-digest": content_digest, "carnet-server": str(server)})
    return compose(
        message,
        key_id=str(key_id),
        created=created,
        nonce=str(nonce),
        tag=TAG,
        components=COVERED_COMPONENTS,
        what="request",
    )


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise MalformedError("no request of this protocol has this method")


def _check_target(target: str) -> None:
    """Refuse what could be spelled in two ways: user info, fragments, percent escapes, an empty query."""
    if len(target) > MAX_URL_BYTES or _TARGET.fullmatch(target) is None:
        raise MalformedError("the target of a request is not canonical")


def _single_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The values of the four headers, in the order of `_HEADERS`."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _HEADERS:
            if name in found:
                raise MalformedError("a header of the signature comes twice")
            found[name] = value
    texts = []
    for name in _HEADERS:
        text = found.get(name, b"")
        if not 0 < len(text) <= _MAX_HEADER_LENGTH or not text.isascii():
            raise MalformedError("a header of the signature is missing, too long or not ASCII")
        texts.append(text.decode("ascii"))
    return texts


def _parse_byte_sequence(pattern: re.Pattern[str], text: str) -> bytes:
    """The bytes of the single member of a dictionary field in its one spelling."""
    match = pattern.fullmatch(text)
    if match is None:
        raise MalformedError("a header of the signature has another form than this protocol's")
    data = base64.b64decode(match[1], validate=True)
    if base64.b64encode(data).decode("ascii") != match[1]:
        raise MalformedError("a header of the signature is not canonical base64")
    return data
