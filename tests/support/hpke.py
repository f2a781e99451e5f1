"""Sealed boxes for tests: made and opened straight with the library, sharing no code with client or key service.

Private keys are 32-byte seeds, expanded by SHAKE256 to the ML-KEM seed and the key on the curve.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carnet_protocol.sealed_box import HEADER_SIZE, BoxKind, format_header
from carnet_protocol.suites import WRITE_SUITE, Suite

_HPKE: Final = {
    1: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    2: hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
}
_PrivateKey = hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey
_PublicKey = hpke.MLKEM768X25519PublicKey | hpke.MLKEM1024P384PublicKey


@dataclass(frozen=True, slots=True)
class KemKey:
    """A key pair of a suite, by its seed."""

    seed: bytes
    public_key: bytes
    suite: Suite


@lru_cache(maxsize=4096)
def make_kem_key(seed: bytes, suite: Suite = WRITE_SUITE) -> KemKey:
    """The key pair of `seed`, 32 bytes."""
    return KemKey(seed, _expand(seed, suite)[1], suite)


def seal(public_key: bytes, info: bytes, plaintext: bytes, *, kind: BoxKind, suite: Suite = WRITE_SUITE) -> bytes:
    """A sealed box of `kind` that holds `plaintext`."""
    return format_header(kind, suite) + _HPKE[suite].encrypt(plaintext, _public_key(public_key, suite), info=info)


def open_box(seed: bytes, info: bytes, box: bytes, *, suite: Suite | None = None) -> bytes:
    """The plaintext of `box`, of `suite` or what its header says. Raises `cryptography.exceptions.InvalidTag`."""
    suite = suite or Suite(int.from_bytes(box[6:8], "big"))
    return _HPKE[suite].decrypt(box[HEADER_SIZE:], _expand(seed, suite)[0], info=info)


def _expand(seed: bytes, suite: Suite) -> tuple[_PrivateKey, bytes]:
    if suite == 1:
        expanded = hashlib.shake_256(seed).digest(96)
        small, x25519 = (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
            X25519PrivateKey.from_private_bytes(expanded[64:]),
        )
        public = small.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return hpke.MLKEM768X25519PrivateKey(small, x25519), public
    expanded = hashlib.shake_256(seed).digest(112)
    large = MLKEM1024PrivateKey.from_seed_bytes(expanded[:64])
    p384 = derive_private_key(int.from_bytes(expanded[64:], "big"), SECP384R1())
    point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hpke.MLKEM1024P384PrivateKey(large, p384), large.public_key().public_bytes_raw() + point


@lru_cache(maxsize=1024)
def _public_key(raw: bytes, suite: Suite) -> _PublicKey:
    if suite == 1:
        return hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:1184]), X25519PublicKey.from_public_bytes(raw[1184:])
        )
    return hpke.MLKEM1024P384PublicKey(
        MLKEM1024PublicKey.from_public_bytes(raw[:1568]),
        EllipticCurvePublicKey.from_encoded_point(SECP384R1(), raw[1568:]),
    )
