"""Padding, so that a size says little (spec `document.md`, "Padding"): zeros up to a size that many lengths share.

>>> padded_document_size(5), padded_document_size(1_000_000)
(16384, 1015808)
"""

from typing import Final

from carnet.content.errors import DocumentTooLargeError
from carnet_protocol.limits import LEAF_BYTES, MAX_DOCUMENT_BYTES, METADATA_FLOOR_BYTES, PADDING_FLOOR_BYTES

_ZEROS: Final = bytes(LEAF_BYTES)


def padded_document_size(true_size: int) -> int:
    """Bytes of a document of `true_size` bytes with its padding. Raises `DocumentTooLargeError` above 64 GiB."""
    if not 0 <= true_size <= MAX_DOCUMENT_BYTES:
        raise DocumentTooLargeError("a document holds at most 64 GiB: split it")
    return _padme(true_size, floor=PADDING_FLOOR_BYTES)


def padded_metadata_size(size: int) -> int:
    """Bytes of metadata of `size` bytes, length prefix included, with its padding."""
    return _padme(size, floor=METADATA_FLOOR_BYTES)


def is_padding(padding: memoryview) -> bool:
    """Tells whether every byte of `padding`, at most a leaf of it, is zero."""
    return padding.tobytes() == _ZEROS[: len(padding)]


def _padme(length: int, *, floor: int) -> int:
    """Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", section 4."""
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1  # E
    kept_bits = exponent.bit_length()  # S
    mask = (1 << (exponent - kept_bits)) - 1
    return (length + mask) & ~mask
