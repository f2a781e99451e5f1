"""HPKE, Cobblestone and XChaCha20 with chosen randomness, so that vectors come out the same on every run.

For the vector generator alone: written from RFC 9180, the X-Wing draft and C2SP chunked-encryption, over ML-KEM from
`kyber-py` (slow, variable time, never for secrets), so that it is also a second opinion on
the libraries that Carnet uses.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from kyber_py.ml_kem import ML_KEM_768
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

_HPKE_SUITE: Final = b"HPKE" + bytes.fromhex("647a00010002")


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


def kem_public_key(seed: bytes) -> bytes:
    """X-Wing public key (1216 bytes) of a 32-byte seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    encapsulation_key, _ = ML_KEM_768.key_derive(expanded[:64])
    return bytes(encapsulation_key) + X25519PrivateKey.from_private_bytes(expanded[64:]).public_key().public_bytes_raw()


def seal(public_key: bytes, info: bytes, plaintext: bytes, random: Stream) -> bytes:
    """HPKE base mode, single shot: enc (1120) || ciphertext || tag (16)."""
    shared_secret, enc = _encapsulate(public_key, random.take(64))
    context = b"\0" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(shared_secret, b"secret", b"")
    key = _expand(secret, b"key", context, 32)
    return enc + AESGCM(key).encrypt(_expand(secret, b"base_nonce", context, 12), plaintext, None)


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


def _encapsulate(public_key: bytes, random: bytes) -> tuple[bytes, bytes]:
    shared_mlkem, enc_mlkem = ML_KEM_768._encaps_internal(public_key[:1184], random[:32])
    ephemeral = X25519PrivateKey.from_private_bytes(random[32:])
    enc_x25519 = ephemeral.public_key().public_bytes_raw()
    shared_x25519 = ephemeral.exchange(X25519PublicKey.from_public_bytes(public_key[1184:]))
    parts = bytes(shared_mlkem) + shared_x25519 + enc_x25519 + public_key[1184:] + b"\\.//^\\"
    return hashlib.sha3_256(parts).digest(), bytes(enc_mlkem) + enc_x25519


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + _HPKE_SUITE + label + ikm, "sha256")


def _expand(secret: bytes, label: bytes, info: bytes, size: int) -> bytes:
    labelled = size.to_bytes(2, "big") + b"HPKE-v1" + _HPKE_SUITE + label + info
    return HKDFExpand(algorithm=hashes.SHA256(), length=size, info=labelled).derive(secret)
