"""The one module of the key service that encrypts and decrypts (spec `keys.md`, "Sealed boxes", "At rest").

Record locks are key pairs of a suite's hybrid KEM: this module makes them, and takes off the outer locks that were put
on with their public halves. What is inside of an outer lock is an inner lock, which nothing here can open. Secrets at
rest are XChaCha20-Poly1305 under a master key, with a random nonce.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from carnet_keyservice.errors import SealedError
from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.sealed_box import HEADER_SIZE, format_header, inner_size, parse_header
from carnet_protocol.suites import KEM_SEED_SIZE, SIZES, Suite
from carnet_protocol.tuples import WrapTuple

MASTER_KEY_SIZE: Final = Aead.KEY_SIZE
_NONCE_SIZE: Final = Aead.NONCE_SIZE
_MLKEM_SEED_SIZE: Final = 64
_MLKEM768_PUBLIC_SIZE: Final = 1184
_MLKEM1024_PUBLIC_SIZE: Final = 1568
_X25519_KEY_SIZE: Final = 32
_P384_SCALAR_SIZE: Final = 48
_HPKE: Final = {
    Suite.X25519_MLKEM768: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    Suite.P384_MLKEM1024: hpke.Suite(hpke.KEM.MLKEM1024_P384, hpke.KDF.HKDF_SHA384, hpke.AEAD.AES_256_GCM),
}
_OpenedKey = hpke.MLKEM768X25519PrivateKey | hpke.MLKEM1024P384PrivateKey


class Secret:
    """Secret bytes that show nothing of themselves; `reveal` is the only way out."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def __repr__(self) -> str:
        return f"{type(self).__name__}(****)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("internal: a secret is not pickled")

    def reveal(self) -> bytes:
        """The bytes."""
        return self._raw

    def is_same_as(self, other: "Secret") -> bool:
        """Compare without telling by time where they differ."""
        return hmac.compare_digest(self._raw, other.reveal())


class LockKey:
    """The private half of a record lock, opened. Made once and kept in memory, since making it costs a release."""

    __slots__ = ("_key", "public_key", "suite")

    def __init__(self, seed: Secret, suite: Suite) -> None:
        """Expand `seed`, 32 bytes. Raises `SealedError`."""
        if len(seed.reveal()) != KEM_SEED_SIZE:
            raise SealedError
        self._key, self.public_key = _expand_seed(seed.reveal(), suite)
        self.suite = suite

    def __repr__(self) -> str:
        return "LockKey(****)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("internal: a private key is not pickled")

    def open_outer_lock(self, wrap: WrapTuple, sealed: bytes) -> bytes:
        """The inner lock inside of `sealed`, the outer lock that `wrap` names.

        1. It is an outer lock of the kind and suites that `wrap` says, of the exact size.
        2. The suite is the one that this key was made for.
        3. It opens with this key under everything that `wrap` binds.

        Raises `SealedError`, whatever the reason.
        """
        try:
            # 1
            suite = parse_header(sealed, wrap.outer_kind(), plaintext_size=inner_size(wrap.inner_suite))
            # 2
            if {suite, wrap.outer_suite, self.suite} != {suite}:
                raise SealedError
            # 3
            return _HPKE[suite].decrypt(memoryview(sealed)[HEADER_SIZE:], self._key, info=wrap.outer_info())
        except (MalformedError, UnsupportedSuiteError, InvalidTag, ValueError) as error:
            raise SealedError from error


class LockPublicKey:
    """The public half of a record lock. Made once for many seals: parsing it costs more than one."""

    __slots__ = ("_key", "suite")

    def __init__(self, raw: bytes, suite: Suite) -> None:
        """Parse the public half of a lock statement. Raises `SealedError` for one of another size."""
        if len(raw) != SIZES[suite].kem_public_key:
            raise SealedError
        try:
            self._key = _parse_public_key(raw, suite)
        except ValueError as error:
            raise SealedError from error
        self.suite = suite

    def seal_outer_lock(self, wrap: WrapTuple, inner: bytes) -> bytes:
        """`inner`, an inner lock, inside of the outer lock that `wrap` names; bound to everything that `wrap` says."""
        header = format_header(wrap.outer_kind(), self.suite)
        return header + _HPKE[self.suite].encrypt(inner, self._key, info=wrap.outer_info())


def _parse_public_key(raw: bytes, suite: Suite) -> hpke.MLKEM768X25519PublicKey | hpke.MLKEM1024P384PublicKey:
    """The two halves of a public key. Raises `ValueError`."""
    match suite:
        case Suite.X25519_MLKEM768:
            return hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM768_PUBLIC_SIZE]),
                X25519PublicKey.from_public_bytes(raw[_MLKEM768_PUBLIC_SIZE:]),
            )
        case Suite.P384_MLKEM1024:
            point = raw[_MLKEM1024_PUBLIC_SIZE:]
            return hpke.MLKEM1024P384PublicKey(
                MLKEM1024PublicKey.from_public_bytes(raw[:_MLKEM1024_PUBLIC_SIZE]),
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point),
            )


def _expand_seed(seed: bytes, suite: Suite) -> tuple[_OpenedKey, bytes]:
    """Private and public key of `seed`: SHAKE256 gives 64 bytes for ML-KEM, and the private key on the curve.

    Raises `SealedError` for the one seed in 2^190 that gives no key on P-384.
    """
    match suite:
        case Suite.X25519_MLKEM768:
            expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_SIZE + _X25519_KEY_SIZE)
            mlkem768 = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE])
            x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_SIZE:])
            return (
                hpke.MLKEM768X25519PrivateKey(mlkem768, x25519),
                mlkem768.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
            )
        case Suite.P384_MLKEM1024:
            expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_SIZE + _P384_SCALAR_SIZE)
            mlkem1024 = MLKEM1024PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE])
            try:
                p384 = ec.derive_private_key(int.from_bytes(expanded[_MLKEM_SEED_SIZE:], "big"), ec.SECP384R1())
            except ValueError as error:
                raise SealedError from error
            point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return hpke.MLKEM1024P384PrivateKey(mlkem1024, p384), mlkem1024.public_key().public_bytes_raw() + point


def make_lock_seed(random: Callable[[int], bytes] = secrets.token_bytes) -> Secret:
    """The private seed of a fresh record lock, the same for every suite."""
    return Secret(random(KEM_SEED_SIZE))


def open_lock_key(seed: Secret, suite: Suite) -> LockKey:
    """The key pair of `seed`. Raises `SealedError`."""
    return LockKey(seed, suite)


def seal_at_rest(
    master_key: Secret, secret: Secret, *, aad: bytes, random: Callable[[int], bytes] = secrets.token_bytes
) -> bytes:
    """Nonce (24) || XChaCha20-Poly1305(master key, secret), bound to `aad`.

    The nonce is random: 192 bits leave no chance of a repetition, whatever the number of records.
    """
    return bytes(Aead(master_key.reveal()).encrypt(secret.reveal(), aad, random(_NONCE_SIZE)))


def open_at_rest(master_key: Secret, sealed: bytes, *, aad: bytes) -> Secret:
    """The secret inside of `sealed`. Raises `SealedError`."""
    try:
        return Secret(Aead(master_key.reveal()).decrypt(sealed, aad))
    except (CryptoError, ValueError) as error:
        raise SealedError from error
