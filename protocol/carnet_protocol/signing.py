"""The one module that signs and verifies with Ed25519 (RFC 8032), and the JWS that carries statements (RFC 7515).

A statement travels as a compact JWS. Its header is a constant per kind, `{"alg":"Ed25519","typ":"carnet.KIND.v1"}`
(RFC 9864), compared byte by byte, so that no header is ever interpreted; its payload is canonical JSON; its name is
the SHA-256 of the signing input (spec `statements.md`).
"""

import hashlib
from functools import lru_cache
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from carnet_protocol.encoding import format_base64url, format_canonical_json, parse_base64url
from carnet_protocol.errors import MalformedError, SignatureError
from carnet_protocol.ids import Ed25519PublicKey, StatementHash
from carnet_protocol.limits import MAX_STATEMENT_BYTES

SEED_SIZE: Final = 32
_ALGORITHM: Final = "Ed25519"


class Signer:
    """An Ed25519 private key. Shows nothing of itself; `seed` is the only way out."""

    __slots__ = ("_jwk", "_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        """Make the key pair of `seed`, 32 bytes. Raises `MalformedError` for another length."""
        if len(seed) != SEED_SIZE:
            raise MalformedError("an Ed25519 seed has 32 bytes")
        self._key = SigningKey(seed)
        self.public_key = Ed25519PublicKey(bytes(self._key.verify_key))
        self._jwk = OKPKey.import_key(
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "d": format_base64url(seed),
                "x": str(self.public_key),
            }
        )

    def __repr__(self) -> str:
        """No secret."""
        return f"Signer({self.public_key})"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("internal: a private key is not pickled")

    def seed(self) -> bytes:
        """The 32 secret bytes, to be sealed."""
        return bytes(self._key)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return self._key.sign(message).signature

    def sign_jws(self, typ: str, payload: bytes) -> str:
        """A compact JWS over `payload` with the constant header of `typ`."""
        header = {"alg": _ALGORITHM, "typ": typ}
        return jws.serialize_compact(header, payload, self._jwk, algorithms=[_ALGORITHM])


def verify(public_key: Ed25519PublicKey, message: bytes, signature: bytes) -> None:
    """Check a 64-byte `signature`. Raises `SignatureError`."""
    try:
        VerifyKey(public_key.raw).verify(message, signature)
    except (BadSignatureError, ValueError) as error:
        raise SignatureError("the signature does not verify") from error


@lru_cache(maxsize=64)
def constant_header(typ: str) -> str:
    """First segment of every JWS of `typ`."""
    return format_base64url(format_canonical_json({"alg": _ALGORITHM, "typ": typ}))


def split_jws(text: str, typ: str) -> bytes:
    """The payload of a compact JWS of `typ`, not yet verified.

    Raises `MalformedError` if it is too long, has another header, or is not canonical base64url.
    """
    if len(text) > MAX_STATEMENT_BYTES:
        raise MalformedError("a statement is too long")
    header, _, rest = text.partition(".")
    payload, _, signature = rest.partition(".")
    if header != constant_header(typ):
        raise MalformedError("a statement has another header than its kind's")
    if len(parse_base64url(signature)) != 64:  # noqa: PLR2004  RFC 8032
        raise MalformedError("a statement's signature has 64 bytes")
    return parse_base64url(payload)


def hash_statement(text: str) -> StatementHash:
    """SHA-256 of the signing input of a compact JWS: its name."""
    return StatementHash(hashlib.sha256(text.rpartition(".")[0].encode("ascii")).digest())


def verify_jws(text: str, typ: str, public_key: Ed25519PublicKey) -> None:
    """Check the signature of a compact JWS of `typ`. Raises `MalformedError` or `SignatureError`."""
    split_jws(text, typ)
    try:
        jws.deserialize_compact(text, _import_public_key(public_key), algorithms=[_ALGORITHM])
    except (JoseError, ValueError) as error:
        raise SignatureError("the statement's signature does not verify") from error


@lru_cache(maxsize=4096)
def _import_public_key(public_key: Ed25519PublicKey) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": str(public_key)})
