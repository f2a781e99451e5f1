"""HPKE, Cobblestone and XChaCha20 with chosen randomness, so that vectors come out the same on every run.

For the vector generator alone: written from RFC 9180, the drafts of the two KEMs and C2SP chunked-encryption, over
ML-KEM from `kyber-py` (slow, variable time, never for secrets), so that it is also a second opinion on
the libraries that Carnet uses.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

_HPKE_SUITE: Final = {1: b"HPKE" + bytes.fromhex("647a00010002"), 2: b"HPKE" + bytes.fromhex("005100020002")}


class Stream:
    """Bytes that look random and are the same on every run: SHAKE256 of a name, read from the front."""

    def __init__(self, name: str) -> None:
        """Start the stream called `name`."""
        self._name = name.encode()
        self._count = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._count += 1
        return hashlib.shake_256(self._name + b"/" + str(self._count).encode()).digest(size)


def kem_public_key(seed: bytes, suite: int = 1) -> bytes:
    """Public key of a 32-byte seed: 1216 bytes in suite 1 (X-Wing), 1665 in suite 2 (MLKEM1024-P384)."""
    if suite == 1:
        expanded = hashlib.shake_256(seed).digest(96)
        encapsulation_key, _ = ML_KEM_768.key_derive(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        return bytes(encapsulation_key) + x25519.public_key().public_bytes_raw()
    expanded = hashlib.shake_256(seed).digest(112)
    encapsulation_key, _ = ML_KEM_1024.key_derive(expanded[:64])
    return bytes(encapsulation_key) + _point(_scalar(expanded[64:]))


def seal(public_key: bytes, info: bytes, plaintext: bytes, random: Stream, suite: int = 1) -> bytes:
    """HPKE base mode, single shot: enc || ciphertext || tag (16)."""
    shared_secret, enc = _encapsulate(public_key, random.take(64 if suite == 1 else 80), suite)
    key, base_nonce = _schedule(shared_secret, info, suite)
    return enc + AESGCM(key).encrypt(base_nonce, plaintext, None)


def seal_content(key: bytes, context: bytes, padded: bytes, random: Stream) -> bytes:
    """Cobblestone-256: salt (24) || commitment (32) || chunks."""
    salt = random.take(24)
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    derived = HKDFExpand(algorithm=hashes.SHA512(), length=76, info=info).derive(key)
    cipher, base_nonce, commitment = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big"), derived[44:]
    chunks = [
        cipher.encrypt((base_nonce ^ number).to_bytes(12, "big"), padded[number * 16_384 : (number + 1) * 16_384], None)
        for number in range(len(padded) // 16_384 + 1)
    ]
    return salt + commitment + b"".join(chunks)


def seal_secret(key: bytes, plaintext: bytes, associated: bytes, random: Stream) -> bytes:
    """XChaCha20-Poly1305: nonce (24) || ciphertext || tag (16)."""
    nonce = random.take(24)
    return nonce + bytes(crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key))


def derive(secret: bytes, info: bytes, size: int = 32) -> bytes:
    """HKDF-SHA256 with an empty salt."""
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=None, info=info).derive(secret)


def _encapsulate(public_key: bytes, random: bytes, suite: int) -> tuple[bytes, bytes]:
    if suite == 1:
        shared_mlkem, enc_mlkem = ML_KEM_768._encaps_internal(public_key[:1184], random[:32])
        x25519 = X25519PrivateKey.from_private_bytes(random[32:])
        enc_curve = x25519.public_key().public_bytes_raw()
        shared_curve = x25519.exchange(X25519PublicKey.from_public_bytes(public_key[1184:]))
        parts = bytes(shared_mlkem) + shared_curve + enc_curve + public_key[1184:] + b"\\.//^\\"
    else:
        shared_mlkem, enc_mlkem = ML_KEM_1024._encaps_internal(public_key[:1568], random[:32])
        p384 = _scalar(random[32:])
        enc_curve = _point(p384)
        recipient = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), public_key[1568:])
        shared_curve = p384.exchange(ec.ECDH(), recipient)
        parts = bytes(shared_mlkem) + shared_curve + enc_curve + public_key[1568:] + b"MLKEM1024-P384"
    return hashlib.sha3_256(parts).digest(), bytes(enc_mlkem) + enc_curve


def _scalar(data: bytes) -> ec.EllipticCurvePrivateKey:
    """48 bytes as a big-endian number; the draft takes the next 48 if that is no scalar, of which there are none."""
    return ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP384R1())


def _point(private_key: ec.EllipticCurvePrivateKey) -> bytes:
    return private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _schedule(shared_secret: bytes, info: bytes, suite: int) -> tuple[bytes, bytes]:
    """Key and base nonce."""
    context = b"\0" + _extract(b"", b"psk_id_hash", b"", suite) + _extract(b"", b"info_hash", info, suite)
    secret = _extract(shared_secret, b"secret", b"", suite)
    return _expand(secret, b"key", context, 32, suite), _expand(secret, b"base_nonce", context, 12, suite)


def _extract(salt: bytes, label: bytes, ikm: bytes, suite: int) -> bytes:
    digest, size = ("sha256", 32) if suite == 1 else ("sha384", 48)
    return hmac.digest(salt or bytes(size), b"HPKE-v1" + _HPKE_SUITE[suite] + label + ikm, digest)


def _expand(secret: bytes, label: bytes, info: bytes, size: int, suite: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + _HPKE_SUITE[suite] + label + info
    algorithm = hashes.SHA256() if suite == 1 else hashes.SHA384()
    return HKDFExpand(algorithm=algorithm, length=size, info=labelled).derive(secret)
