"""The Range header of HTTP (RFC 9110, section 14), as far as a store serves it: one range of bytes.

What is not one well-formed range of bytes is no range: the whole object is served, as the RFC allows and S3 does.
"""

import re
from dataclasses import dataclass
from typing import Final

from carnet_storage.errors import RangeNotSatisfiable

_ONE_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]{0,16})-(?P<last>[0-9]{0,16})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`, all of them in the object."""

    start: int
    length: int

    def content_range(self, size_bytes: int) -> str:
        """Returns the value of the Content-Range header for an object of `size_bytes`."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size_bytes}"


def parse_range(header: str | None, *, size_bytes: int) -> ByteRange | None:
    """Returns the part of an object of `size_bytes` that `header` asks for, or None when it asks for all of it.

    Raises `RangeNotSatisfiable` for a well-formed range that begins behind the end.
    """
    match = _ONE_RANGE.fullmatch(header) if header is not None else None
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        return _suffix(int(match["last"]), size_bytes=size_bytes)
    start = int(match["first"])
    last = min(int(match["last"]), size_bytes - 1) if match["last"] else size_bytes - 1
    if match["last"] and int(match["last"]) < start:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return ByteRange(start=start, length=last - start + 1)


def _suffix(length: int, *, size_bytes: int) -> ByteRange:
    if length == 0:
        raise RangeNotSatisfiable(size_bytes)
    taken = min(length, size_bytes)
    return ByteRange(start=size_bytes - taken, length=taken)
