"""One signed request for tests, and the ways to look at it again."""

from typing import Final

from carnet_protocol.ids import Nonce
from carnet_protocol.requests import KeyId, SignedRequest, VerifiedRequest, parse_request, sign_request, verify_request
from carnet_protocol.signing import Signer

ALICE: Final = Signer(bytes(range(32)))
SERVER: Final = Signer(bytes(range(2, 34))).public_key.fingerprint()
KEY_ID: Final = KeyId(bytes(range(100, 132)))
NONCE: Final = Nonce(bytes(range(16)))
NOW: Final = 1_800_000_000
TARGET: Final = "https://vault.example:8443/v1/records/AAAA/documents?after=a_b-c&limit=5"
BODY: Final = b'{"kind":"list"}'

Headers = dict[str, str]


def sign(*, method: str = "POST", target: str = TARGET, body: bytes = BODY, created: int = NOW) -> Headers:
    return sign_request(
        method=method,
        target=target,
        body=body,
        server=SERVER,
        key_id=KEY_ID,
        created=created,
        sign=ALICE.sign,
        nonce=NONCE,
    )


def raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def parse(headers: Headers, *, method: str = "POST", target: str = TARGET) -> SignedRequest:
    return parse_request(method=method, target=target, headers=raw(headers))


def sign_anew() -> SignedRequest:
    """The same request with a nonce of its own."""
    headers = sign_request(
        method="POST", target=TARGET, body=BODY, server=SERVER, key_id=KEY_ID, created=NOW, sign=ALICE.sign
    )
    return parse(headers)


def verify(request: SignedRequest, body: bytes = BODY, *, now: int = NOW) -> VerifiedRequest:
    return verify_request(request, body, public_key=ALICE.public_key, server=SERVER, now=now)
