"""Sealing and opening keys: the one module of the client that imports primitives for them (spec `keys.md`).

HPKE with the suite's hybrid KEM seals to a public key, XChaCha20-Poly1305 under a symmetric one, HKDF-SHA256 derives,
Argon2id stretches a passphrase. Nothing here knows what it seals: `capsules`, `boxes` and `keyring` say that. Content
has its own module, `content`.

    >>> reader = KemPrivateKey.make(Suite.P384_MLKEM1024)
    >>> box = seal_message(b"for one reader", reader.public_key, suite=reader.suite, info=b"example")
    >>> open_message(box, reader, info=b"example")
    b'for one reader'
"""

import hashlib
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import argon2.low_level
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    MLKEM1024P384PrivateKey,
    MLKEM1024P384PublicKey,
)
from cryptography.hazmat.primitives.hpke import Suite as HpkeSuite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from carnet.errors import DecryptionError, UsageError, VerificationError
from carnet_protocol.limits import MIB
from carnet_protocol.sealed_box import HEADER_SIZE, BoxKind, format_header, parse_header
from carnet_protocol.suites import KEM_SEED_SIZE, SIZES, Suite

Random = Callable[[int], bytes]
"""A source of random bytes; production code never passes another one than the system's."""

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 24
TAG_SIZE: Final = 16

_HPKE: Final = {
    Suite.X25519_MLKEM768: HpkeSuite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    Suite.P384_MLKEM1024: HpkeSuite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM),
}
_ML_KEM_768_PUBLIC_KEY_SIZE: Final = 1184
_ML_KEM_1024_PUBLIC_KEY_SIZE: Final = 1568
_ML_KEM_SEED_SIZE: Final = 64
_P384_SCALAR_SIZE: Final = 48
_OpenedKey = MLKEM768X25519PrivateKey | MLKEM1024P384PrivateKey


class KemPrivateKey:
    """A private key of a suite's KEM, kept as its 32-byte seed. Shows nothing of itself; `seed` is the only way out.

    The opened form, which costs more to make than to use, is made once, when it is first needed.
    """

    __slots__ = ("_opened", "_public_key", "_seed", "suite")

    def __init__(self, seed: bytes, suite: Suite) -> None:
        """The key pair of `seed`. Raises `VerificationError` for another length."""
        if len(seed) != KEM_SEED_SIZE:
            raise VerificationError("a private KEM key is kept as a seed of 32 bytes: this one has another length")
        self._seed = bytes(seed)
        self._opened: _OpenedKey | None = None
        self._public_key: bytes | None = None
        self.suite = suite

    @classmethod
    def make(cls, suite: Suite, random: Random = secrets.token_bytes) -> Self:
        """A fresh key pair."""
        return cls(random(KEM_SEED_SIZE), suite)

    def __repr__(self) -> str:
        """No secret."""
        return "KemPrivateKey(****)"

    def __eq__(self, other: object) -> bool:
        """Refuse: private keys are compared by their public keys."""
        raise TypeError("internal: private keys are not compared")

    __hash__ = None  # type: ignore[assignment]  # a secret has no hash

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("internal: a private key is not pickled")

    def seed(self) -> bytes:
        """The 32 secret bytes, to be sealed."""
        return self._seed

    @property
    def public_key(self) -> bytes:
        """The public key, derived; never what somebody says it is."""
        if self._public_key is None:
            self._open()
        if self._public_key is None:
            raise AssertionError("internal: an opened key without its public half")
        return self._public_key

    def _open(self) -> _OpenedKey:
        if self._opened is None:
            self._opened, self._public_key = _expand_seed(self._seed, self.suite)
        return self._opened


def _expand_seed(seed: bytes, suite: Suite) -> tuple[_OpenedKey, bytes]:
    """The key pair of `seed`: SHAKE256 gives 64 bytes for ML-KEM, and the private key on the curve (spec `keys.md`)."""
    match suite:
        case Suite.X25519_MLKEM768:
            # draft-connolly-cfrg-xwing-kem: expandDecapsulationKey
            expanded = hashlib.shake_256(seed).digest(_ML_KEM_SEED_SIZE + KEY_SIZE)
            ml_kem_768 = MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_SIZE])
            x25519 = X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_SIZE:])
            return (
                MLKEM768X25519PrivateKey(ml_kem_768, x25519),
                ml_kem_768.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
            )
        case Suite.P384_MLKEM1024:
            # draft-irtf-cfrg-concrete-hybrid-kems: expandDecapsKeyG, RandomScalar of P-384
            expanded = hashlib.shake_256(seed).digest(_ML_KEM_SEED_SIZE + _P384_SCALAR_SIZE)
            ml_kem_1024 = MLKEM1024PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_SIZE])
            try:
                p384 = ec.derive_private_key(int.from_bytes(expanded[_ML_KEM_SEED_SIZE:], "big"), ec.SECP384R1())
            except ValueError as error:  # zero, or the order and above: one seed in 2^190
                raise VerificationError("a private KEM key has a seed that gives no key pair") from error
            point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return (
                MLKEM1024P384PrivateKey(ml_kem_1024, p384),
                ml_kem_1024.public_key().public_bytes_raw() + point,
            )


@lru_cache(maxsize=1024)
def _import_public_key(public_key: bytes, suite: Suite) -> MLKEM768X25519PublicKey | MLKEM1024P384PublicKey:
    if len(public_key) != SIZES[suite].kem_public_key:
        raise VerificationError("a public KEM key has not the length of its suite: nothing can be sealed to it")
    try:
        match suite:
            case Suite.X25519_MLKEM768:
                return MLKEM768X25519PublicKey(
                    MLKEM768PublicKey.from_public_bytes(public_key[:_ML_KEM_768_PUBLIC_KEY_SIZE]),
                    X25519PublicKey.from_public_bytes(public_key[_ML_KEM_768_PUBLIC_KEY_SIZE:]),
                )
            case Suite.P384_MLKEM1024:
                point = public_key[_ML_KEM_1024_PUBLIC_KEY_SIZE:]
                return MLKEM1024P384PublicKey(
                    MLKEM1024PublicKey.from_public_bytes(public_key[:_ML_KEM_1024_PUBLIC_KEY_SIZE]),
                    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point),
                )
    except ValueError as error:
        raise VerificationError("a public KEM key is not one of its suite: nothing can be sealed to it") from error


def seal_message(plaintext: bytes, public_key: bytes, *, suite: Suite, info: bytes) -> bytes:
    """`enc || ciphertext` of `plaintext` for whoever holds the private half of `public_key`.

    Raises `VerificationError` for a public key to which nothing can be sealed.
    """
    try:
        return _HPKE[suite].encrypt(plaintext, _import_public_key(public_key, suite), info=info)
    except ValueError as error:  # a low-order X25519 point: the shared secret would be known to everyone
        raise VerificationError("a public KEM key is not one of its suite: nothing can be sealed to it") from error


def open_message(sealed: bytes, private_key: KemPrivateKey, *, info: bytes) -> bytes:
    """The plaintext of `sealed`. Raises `DecryptionError`."""
    try:
        return _HPKE[private_key.suite].decrypt(sealed, private_key._open(), info=info)  # noqa: SLF001  the key's own module
    except (InvalidTag, ValueError):
        raise DecryptionError from None


def seal_box(kind: BoxKind, plaintext: bytes, *, suite: Suite, public_key: bytes, info: bytes) -> bytes:
    """A sealed box: header of `kind` and `suite`, then `seal_message`. `info` begins with the same header."""
    header = format_header(kind, suite)
    _check_info(info, header)
    return header + seal_message(plaintext, public_key, suite=suite, info=info)


def open_box(kind: BoxKind, box: bytes, *, plaintext_size: int, private_key: KemPrivateKey, info: bytes) -> bytes:
    """The plaintext of `box`.

    1. Length, magic, kind, version and suite are those of `kind`.
    2. The suite is that of `private_key`, and `info` carries this header.
    3. It opens.

    Raises `MalformedError` or `UnsupportedSuiteError` of the protocol for step 1, `DecryptionError` for the others.
    """
    # 1
    suite = parse_header(box, kind, plaintext_size=plaintext_size)
    # 2
    if suite is not private_key.suite:
        raise DecryptionError
    _check_info(info, format_header(kind, suite))
    # 3
    return open_message(box[HEADER_SIZE:], private_key, info=info)


def _check_info(info: bytes, header: bytes) -> None:
    """The header must be the first field after the label, or it would not be authenticated."""
    start = 2 + int.from_bytes(info[:2], "big") + 4
    if info[start : start + HEADER_SIZE] != header:
        raise AssertionError("internal: the info of a sealed box carries another header than the box")


def seal_secret(key: bytes, plaintext: bytes, *, context: bytes, random: Random = secrets.token_bytes) -> bytes:
    """`nonce (24) || XChaCha20-Poly1305(plaintext)` with `context` as associated data.

    The nonce has 192 random bits: it never repeats, however long `key` lives.
    """
    return bytes(Aead(key).encrypt(plaintext, context, random(NONCE_SIZE)))


def open_secret(key: bytes, sealed: bytes, *, context: bytes) -> bytes:
    """The plaintext of `sealed`. Raises `DecryptionError`."""
    if len(sealed) < NONCE_SIZE + TAG_SIZE:
        raise DecryptionError
    try:
        return Aead(key).decrypt(sealed, context)
    except CryptoError:
        raise DecryptionError from None


def derive_key(secret: bytes, info: bytes, *, size: int = KEY_SIZE) -> bytes:
    """HKDF-SHA256 of `secret` without salt."""
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=None, info=info).derive(secret)


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """Parameters of Argon2id, between the floor (RFC 9106, second profile) and a ceiling that a phone survives.

    Raises `UsageError` outside, before any work is done.
    """

    memory_kib: int = 64 * MIB // 1024
    time_cost: int = 3
    parallelism: int = 4

    def __post_init__(self) -> None:
        """Check floor and ceiling."""
        if not (64 * 1024 <= self.memory_kib <= 1024 * 1024 and 3 <= self.time_cost <= 16):  # noqa: PLR2004  spec `keys.md`, "Keyring file"
            raise UsageError("the passphrase's work factor is outside what is safe: the keyring file was changed")
        if not 1 <= self.parallelism <= 16:  # noqa: PLR2004  as above, spec `keys.md`, "Keyring file"
            raise UsageError("the passphrase's work factor is outside what is safe: the keyring file was changed")


SALT_SIZE: Final = 16


def stretch_passphrase(passphrase: str, *, salt: bytes, cost: PassphraseCost) -> bytes:
    """32 bytes: Argon2id over the NFC form of `passphrase` in UTF-8."""
    return argon2.low_level.hash_secret_raw(
        unicodedata.normalize("NFC", passphrase).encode("utf-8"),
        salt,
        time_cost=cost.time_cost,
        memory_cost=cost.memory_kib,
        parallelism=cost.parallelism,
        hash_len=KEY_SIZE,
        type=argon2.low_level.Type.ID,
    )
