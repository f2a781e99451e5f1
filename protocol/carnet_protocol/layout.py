"""Where the bytes of a content ciphertext lie, and the digest over them (spec `document.md`, "Layout" and "Digest").

Pure arithmetic and hashing; nothing here knows a key. A ciphertext is

    header (56) || chunk (16,384 + 16)* || last chunk (0 to 16,383 bytes, + 16)

so that the last chunk is always a short one, if need be an empty one. A leaf is what one digest covers: 64 chunks;
leaf 0 takes the header with it, and the last leaf runs to the end.

    >>> leaf_count(ciphertext_size(1_048_576)), leaf_range(ciphertext_size(1_048_576), 0)
    (1, (0, 1049672))
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from blake3 import blake3

from carnet_protocol.errors import MalformedError
from carnet_protocol.limits import LEAF_BYTES
from carnet_protocol.suites import SIZES, Suite

HEADER_BYTES: Final = 56
CHUNK_BYTES: Final = 16_384
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
CHUNKS_PER_LEAF: Final = LEAF_BYTES // CHUNK_BYTES
SEALED_LEAF_BYTES: Final = CHUNKS_PER_LEAF * SEALED_CHUNK_BYTES

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def ciphertext_size(padded_size: int) -> int:
    """Bytes of the ciphertext of `padded_size` bytes. Raises `MalformedError` for a negative size."""
    if padded_size < 0:
        raise MalformedError("a size is not negative")
    return HEADER_BYTES + padded_size + TAG_BYTES * (padded_size // CHUNK_BYTES + 1)


def padded_size(size: int) -> int:
    """Bytes of the padded plaintext of a ciphertext of `size` bytes. Raises `MalformedError` for an impossible size."""
    full_chunks, last = divmod(size - HEADER_BYTES, SEALED_CHUNK_BYTES)
    if full_chunks < 0 or last < TAG_BYTES:
        raise MalformedError("no ciphertext has this size")
    return full_chunks * CHUNK_BYTES + last - TAG_BYTES


def leaf_count(size: int) -> int:
    """How many leaves a ciphertext of `size` bytes has: one for each begun MiB of padded plaintext, at least one.

    Raises `MalformedError` for a size that no ciphertext has.
    """
    return max(1, -(-padded_size(size) // LEAF_BYTES))


def leaf_range(size: int, leaf: int) -> tuple[int, int]:
    """First byte of `leaf` in a ciphertext of `size` bytes, and the first one after it. Raises `MalformedError`."""
    count = leaf_count(size)
    if not 0 <= leaf < count:
        raise MalformedError("the ciphertext has no such leaf")
    start = 0 if leaf == 0 else HEADER_BYTES + leaf * SEALED_LEAF_BYTES
    end = size if leaf == count - 1 else HEADER_BYTES + (leaf + 1) * SEALED_LEAF_BYTES
    return start, end


def leaf_ranges(size: int) -> Iterator[tuple[int, int]]:
    """The range of every leaf of a ciphertext of `size` bytes, in order. Raises `MalformedError`."""
    return (leaf_range(size, leaf) for leaf in range(leaf_count(size)))


def leaf_digest(suite: Suite, leaf: bytes | bytearray | memoryview) -> bytes:
    """Digest of the bytes of one leaf."""
    return _digest(suite, _LEAF, leaf)


def content_digest(suite: Suite, *, ciphertext_size: int, leaf_digests: bytes) -> bytes:
    """The content digest: over the ciphertext's length and its leaf digests, one after the other.

    Raises `MalformedError` if there are not as many as a ciphertext of that size has leaves.
    """
    if len(leaf_digests) != leaf_count(ciphertext_size) * SIZES[suite].content_digest:
        raise MalformedError("a leaf list has one digest for each leaf")
    return _digest(suite, _NODE + ciphertext_size.to_bytes(8, "big"), leaf_digests)


def _digest(suite: Suite, prefix: bytes, rest: bytes | bytearray | memoryview) -> bytes:
    match suite:
        case Suite.X25519_MLKEM768:
            hasher = blake3(prefix)
            hasher.update(rest)
            return hasher.digest()
        case Suite.P384_MLKEM1024:
            sha384 = hashlib.sha384(prefix)
            sha384.update(rest)
            return sha384.digest()
