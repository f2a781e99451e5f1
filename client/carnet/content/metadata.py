"""Sealing and opening of metadata (spec `document.md`, "Metadata"): a second, small ciphertext under a key of its own.

u32 length || canonical JSON || zeros, so that no size tells how long a title is. What the JSON says is read elsewhere.
"""

from carnet.content.cobblestone import MessageOpener, MessageSealer
from carnet.content.errors import ContentRefusedError, DocumentTooLargeError, RefusalReason
from carnet.content.padding import is_padding, padded_metadata_size
from carnet.secrets import MetadataKey
from carnet_protocol import layout
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Sha256Digest
from carnet_protocol.limits import MAX_METADATA_BYTES

_LENGTH_BYTES = 4


def seal_metadata(metadata: bytes, *, metadata_key: MetadataKey, context: bytes) -> tuple[bytes, Sha256Digest]:
    """The ciphertext of `metadata`, canonical JSON, and its digest. `metadata_key` is fresh.

    Raises `DocumentTooLargeError` if the ciphertext would be longer than 64 KiB.
    """
    padded_size = padded_metadata_size(_LENGTH_BYTES + len(metadata))
    ciphertext_size = layout.ciphertext_size(padded_size)
    if ciphertext_size > MAX_METADATA_BYTES:
        raise DocumentTooLargeError("title, comment and file name are too long together: shorten them")
    padded = (len(metadata).to_bytes(_LENGTH_BYTES, "big") + metadata).ljust(padded_size, b"\x00")
    sealer = MessageSealer(metadata_key, context=context)
    buffer = bytearray(ciphertext_size)
    written = sealer.seal(memoryview(padded), memoryview(buffer))
    ciphertext = bytes(buffer[:written]) + sealer.finalize()
    return ciphertext, Sha256Digest.of(ciphertext)


def open_metadata(ciphertext: bytes, *, digest: Sha256Digest, metadata_key: MetadataKey, context: bytes) -> bytes:
    """The canonical JSON in `ciphertext`.

    1. It is no longer than metadata may be, and has a length that a ciphertext can have.
    2. It has the digest that the author signed.
    3. It decrypts, and is complete.
    4. The length fits, the padded size is that of the length, and the padding is zeros.

    Raises `ContentRefusedError`.
    """
    # 1
    if len(ciphertext) > MAX_METADATA_BYTES:
        raise ContentRefusedError(RefusalReason.SIZE)
    try:
        padded_size = layout.padded_size(len(ciphertext))
    except MalformedError:
        raise ContentRefusedError(RefusalReason.SIZE) from None
    # 2
    if Sha256Digest.of(ciphertext) != digest:
        raise ContentRefusedError(RefusalReason.METADATA_DIGEST)
    # 3
    opener = MessageOpener(metadata_key, context=context)
    buffer = bytearray(padded_size)
    written = opener.open(ciphertext, memoryview(buffer))
    padded = bytes(buffer[:written]) + opener.finalize()
    # 4
    end = _LENGTH_BYTES + int.from_bytes(padded[:_LENGTH_BYTES], "big")
    if end > len(padded) or padded_metadata_size(end) != len(padded):
        raise ContentRefusedError(RefusalReason.PADDING)
    if not is_padding(memoryview(padded)[end:]):
        raise ContentRefusedError(RefusalReason.PADDING)
    return padded[_LENGTH_BYTES:end]
