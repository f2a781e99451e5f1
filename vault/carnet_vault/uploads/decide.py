"""How an upload is cut into parts, and how much one person may have under way. Values in, verdict out."""

from collections.abc import Sequence
from typing import Final

from carnet_protocol.layout import SEALED_LEAF_BYTES
from carnet_protocol.limits import MAX_DOCUMENT_BYTES, PART_LEAVES
from carnet_server.errors import RateLimitedError

MAX_PARTS: Final = 256
"""An answer names the URL of every missing part; a larger object has larger parts."""

MAX_OPEN_UPLOADS: Final = 1_000
"""Uploads that one person may have under way; each is forgotten when its deposit is accepted, or by `gc`."""

MAX_OPEN_BYTES: Final = 2 * MAX_DOCUMENT_BYTES
"""What these may have together: as much as the largest of them, for nobody knows yet whether a deposit will come."""


def part_size(size: int) -> int:
    """Bytes of each part but the last, for an object of `size` bytes: a multiple of 16 leaves."""
    step = PART_LEAVES * SEALED_LEAF_BYTES
    return step * max(1, -(-size // (step * MAX_PARTS)))


def check_open(under_way: int, bytes_under_way: int, *, sizes: Sequence[int]) -> None:
    """Refuse more uploads of `sizes` to one who has `under_way`. Raises `RateLimitedError`."""
    if under_way + len(sizes) > MAX_OPEN_UPLOADS:
        raise RateLimitedError("too_many_uploads")
    if bytes_under_way + sum(sizes) > MAX_OPEN_BYTES:
        raise RateLimitedError("too_many_upload_bytes")
