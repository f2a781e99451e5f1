"""A finished object of the filesystem store, open for reading."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from carnet_storage._disk import Disk, typed_errors
from carnet_storage.errors import ObjectNotFound, RangeNotSatisfiable, StoreUnavailable

CHUNK_BYTES: Final = 2**20


class ObjectFile:
    """Reads one object, to its end also when it is deleted meanwhile. Any number of threads may read at once."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk: Final = disk
        self._descriptor = -1
        with typed_errors():
            try:
                self._descriptor = disk.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0)
            except FileNotFoundError as error:
                raise ObjectNotFound("There is no object of this name.") from error
            self._size_bytes: Final = os.fstat(self._descriptor).st_size

    @property
    def size_bytes(self) -> int:
        """Returns how many bytes the object has."""
        return self._size_bytes

    def chunks(self, *, start: int, length: int) -> Iterator[bytes]:
        """Yields the bytes of a range, as the port's contract has it."""
        if start < 0 or length < 0 or start + length > self._size_bytes:
            raise RangeNotSatisfiable(self._size_bytes)
        return self._pieces(start, start + length)

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, position: int, end: int) -> Iterator[bytes]:
        while position < end:
            with typed_errors():
                piece = self._disk.pread(self._descriptor, min(CHUNK_BYTES, end - position), position)
            if not piece:
                raise StoreUnavailable("An object is shorter on the disk than when it was opened. Run fsck.")
            position += len(piece)
            yield piece
