"""An upload: one object of a known size, cut into parts that travel on their own.

The limits are those of S3, so that what one store takes the other takes too. Parts are numbered from 1; all have
`part_bytes` but the last, which has the rest. An object that is not longer than one part is an upload of one part.
"""

import re
from dataclasses import dataclass
from typing import Final

from carnet_storage.errors import InvalidUpload
from carnet_storage.names import ObjectName

MIN_PART_BYTES: Final = 5 * 2**20
MAX_PART_BYTES: Final = 5 * 2**30
MAX_PARTS: Final = 10_000
MAX_OBJECT_BYTES: Final = 5 * 2**40

_TOKEN: Final = re.compile(r"[!-~]{1,1024}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as its caller keeps it: four values, of which `token` means something to the store alone.

    Raises `InvalidUpload` for values that no store would take.
    """

    name: ObjectName
    size_bytes: int
    part_bytes: int
    token: str

    def __post_init__(self) -> None:
        check_sizes(size_bytes=self.size_bytes, part_bytes=self.part_bytes)
        check_token(self.token)

    @property
    def part_count(self) -> int:
        """Returns how many parts the object has: at least one."""
        return _part_count(size_bytes=self.size_bytes, part_bytes=self.part_bytes)

    def part_offset(self, part: int) -> int:
        """Returns where in the object `part` begins. Raises `InvalidUpload` when there is no such part."""
        if not 1 <= part <= self.part_count:
            raise InvalidUpload(f"This upload has parts 1 to {self.part_count}.")
        return (part - 1) * self.part_bytes

    def part_size(self, part: int) -> int:
        """Returns how many bytes `part` has. Raises `InvalidUpload` when there is no such part."""
        return min(self.part_bytes, self.size_bytes - self.part_offset(part))


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """An upload as the store itself remembers it: enough to abort it, not enough to finish it."""

    name: ObjectName
    token: str
    touched_at: int


def check_sizes(*, size_bytes: int, part_bytes: int) -> None:
    """Raises `InvalidUpload` when an object of `size_bytes` cannot travel in parts of `part_bytes`."""
    if not 1 <= size_bytes <= MAX_OBJECT_BYTES:
        raise InvalidUpload(f"An object has 1 to {MAX_OBJECT_BYTES} bytes.")
    if not MIN_PART_BYTES <= part_bytes <= MAX_PART_BYTES:
        raise InvalidUpload(f"A part has {MIN_PART_BYTES} to {MAX_PART_BYTES} bytes; only the last may be shorter.")
    if _part_count(size_bytes=size_bytes, part_bytes=part_bytes) > MAX_PARTS:
        raise InvalidUpload(f"An upload has at most {MAX_PARTS} parts; take larger ones.")


def check_token(token: str) -> None:
    """Raises `InvalidUpload` for a text that no store would give as a token."""
    if _TOKEN.fullmatch(token) is None:
        raise InvalidUpload("An upload token is the text that the store gave when the upload began.")


def _part_count(*, size_bytes: int, part_bytes: int) -> int:
    return -(-size_bytes // part_bytes)
