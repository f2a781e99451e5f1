"""Sealed boxes for tests: made and opened straight with the library, sharing no code with client or key service.

X-Wing keys are 32-byte seeds, expanded by SHAKE256 to the ML-KEM-768 seed and the X25519 scalar.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from carnet_protocol.sealed_box import HEADER_SIZE, BoxKind, format_header
from carnet_protocol.suites import WRITE_SUITE, Suite

_HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_MLKEM_KEY_SIZE = 1184


@dataclass(frozen=True, slots=True)
class KemKey:
    """An X-Wing key pair, by its seed."""

    seed: bytes
    public_key: bytes


@lru_cache(maxsize=4096)
def make_kem_key(seed: bytes) -> KemKey:
    """The key pair of `seed`, 32 bytes."""
    private = _private_key(seed)
    mlkem, x25519 = private
    return KemKey(seed, mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())


def seal(public_key: bytes, info: bytes, plaintext: bytes, *, kind: BoxKind, suite: Suite = WRITE_SUITE) -> bytes:
    """A sealed box of `kind` that holds `plaintext`."""
    return format_header(kind, suite) + _HPKE.encrypt(plaintext, _public_key(public_key), info=info)


def open_box(seed: bytes, info: bytes, box: bytes) -> bytes:
    """The plaintext of `box`, whatever its header says. Raises `cryptography.exceptions.InvalidTag`."""
    mlkem, x25519 = _private_key(seed)
    return _HPKE.decrypt(box[HEADER_SIZE:], hpke.MLKEM768X25519PrivateKey(mlkem, x25519), info=info)


def _private_key(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


@lru_cache(maxsize=1024)
def _public_key(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_KEY_SIZE]),
        X25519PublicKey.from_public_bytes(raw[_MLKEM_KEY_SIZE:]),
    )
