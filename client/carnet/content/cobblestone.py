"""The cipher of content and metadata: Cobblestone-256 (C2SP chunked-encryption), here and nowhere else in the client.

salt (24) || commitment (32) || chunks of 16 KiB and their tags; key, base nonce and commitment come from
HKDF-Expand-SHA-512 over the input key, a fresh random salt, and the context, so that no nonce ever repeats under a key.
Opening checks the commitment before the first chunk.

In order, both ways, the library's own encryptor and decryptor are used. `ChunkOpener` opens single chunks for ranged
reads, as the same text specifies it.
"""

import hmac
from typing import Final, Self

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import AlreadyFinalized, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from carnet.content.errors import ContentRefusedError, RefusalReason
from carnet.secrets import ContentKey, MetadataKey
from carnet_protocol.layout import HEADER_BYTES

_LABEL: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
_SALT_BYTES: Final = 24
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_DERIVED_BYTES: Final = _KEY_BYTES + _NONCE_BYTES + HEADER_BYTES - _SALT_BYTES
_MOST_CHUNKS: Final = 1 << 38


class MessageSealer:
    """Seals one message, in order."""

    def __init__(self, key: ContentKey | MetadataKey, *, context: bytes) -> None:
        self._encryptor = Cobblestone256Encryptor(key.reveal(), context)

    def seal(self, plaintext: memoryview, into: memoryview) -> int:
        """Writes to `into` the ciphertext of every chunk that `plaintext` fills, and returns its length."""
        return self._encryptor.update_into(plaintext, into)

    def finalize(self) -> bytes:
        """The last chunk. Without it no ciphertext opens."""
        return self._encryptor.finalize()


class MessageOpener:
    """Opens one message, in order. What `open` wrote is authentic; only `finalize` proves that it was all."""

    def __init__(self, key: ContentKey | MetadataKey, *, context: bytes) -> None:
        self._decryptor = Cobblestone256Decryptor(key.reveal(), context)

    def open(self, ciphertext: bytes | memoryview, into: memoryview) -> int:
        """Writes to `into` the plaintext of every whole chunk, and returns its length. Raises `ContentRefusedError`.

        After a refusal `into` may hold bytes that nobody vouches for.
        """
        try:
            return self._decryptor.update_into(ciphertext, into)
        except (InvalidTag, AlreadyFinalized):
            raise ContentRefusedError(RefusalReason.CIPHER) from None

    def finalize(self) -> bytes:
        """The plaintext of the last chunk. Raises `ContentRefusedError` if the message was cut or changed."""
        try:
            return self._decryptor.finalize()
        except (InvalidTag, AlreadyFinalized):
            raise ContentRefusedError(RefusalReason.CIPHER) from None


class ChunkOpener:
    """Opens any chunk of one message. Proves of each that it stands at its number, and nothing of the others."""

    def __init__(self, message_key: bytes, base_nonce: bytes) -> None:
        """With what `of_message` derives."""
        self._cipher = AESGCM(message_key)
        self._base_nonce = int.from_bytes(base_nonce, "big")

    @classmethod
    def of_message(cls, key: ContentKey | MetadataKey, *, context: bytes, header: bytes) -> Self:
        """The opener of the message that begins with `header`. Raises `ContentRefusedError` for another key or place.

        key (32) || base nonce (12) || commitment (32) = HKDF-Expand(input key, label || salt || context)
        """
        if len(header) != HEADER_BYTES:
            raise AssertionError("internal: the header of a ciphertext has one length")
        salt, commitment = header[:_SALT_BYTES], header[_SALT_BYTES:]
        derivation = HKDFExpand(SHA512(), _DERIVED_BYTES, _LABEL + salt + context)
        derived = derivation.derive(key.reveal())
        if not hmac.compare_digest(derived[_KEY_BYTES + _NONCE_BYTES :], commitment):
            raise ContentRefusedError(RefusalReason.CIPHER)
        return cls(derived[:_KEY_BYTES], derived[_KEY_BYTES : _KEY_BYTES + _NONCE_BYTES])

    def open_chunk(self, number: int, sealed_chunk: memoryview) -> bytes:
        """The plaintext of chunk `number`. Raises `ContentRefusedError`."""
        if not 0 <= number < _MOST_CHUNKS:
            raise AssertionError("internal: no message has a chunk of this number")
        nonce = (self._base_nonce ^ number).to_bytes(_NONCE_BYTES, "big")
        try:
            return self._cipher.decrypt(nonce, sealed_chunk, None)
        except InvalidTag:
            raise ContentRefusedError(RefusalReason.CIPHER) from None
