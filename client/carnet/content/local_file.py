"""The two ends of sealing and opening on this machine: what is read, and what is written.

Every error of the system leaves here as `LocalFileError`.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, Self

from carnet.content.errors import ContentRefusedError, LocalFileError, RefusalReason, SourceChangedError
from carnet.draft import Draft

_UNSUPPORTED: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Readable(Protocol):
    """What a plaintext is read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Reads up to the length of `buffer` into it, and returns how much."""


class Writable(Protocol):
    """What a result is written to, in any order."""

    def write_at(self, start: int, data: memoryview) -> None:
        """Writes `data` so that its first byte stands at `start`."""


@contextlib.contextmanager
def wrapping_system_errors() -> Iterator[None]:
    """Turns an error of the system into a `LocalFileError`."""
    try:
        yield
    except OSError as error:
        raise LocalFileError(error) from error


class Source:
    """A plaintext of `size` bytes, read once from its front to its end."""

    def __init__(self, file: Readable, size: int) -> None:
        self.size = size
        self._file = file

    def fill(self, buffer: memoryview) -> None:
        """Reads exactly the length of `buffer`. Raises `SourceChangedError` if there is less."""
        while buffer:
            try:
                count = self._file.readinto(buffer)
            except OSError as error:
                raise LocalFileError(error) from error
            if not count:
                raise SourceChangedError
            buffer = buffer[count:]

    def finish(self) -> None:
        """Check that nothing is left. Raises `SourceChangedError`."""
        with wrapping_system_errors():
            if self._file.readinto(memoryview(bytearray(1))):
                raise SourceChangedError


class FileSource(Source):
    """The content of a local file, which must not change while it is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with wrapping_system_errors():
            self._opened = Path(path).open("rb", buffering=0)  # noqa: SIM115  closed on exit
            self._before = self._stamp()
        super().__init__(self._opened, self._before[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._opened.close()

    def finish(self) -> None:
        """Check that the file is as long as before, and was not written to. Raises `SourceChangedError`."""
        super().finish()
        with wrapping_system_errors():
            if self._stamp() != self._before:
                raise SourceChangedError

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self._opened.fileno())
        return status.st_size, status.st_mtime_ns


class CiphertextFile:
    """A ciphertext in a local file, read by position, by several threads at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with wrapping_system_errors():
            self._opened = Path(path).open("rb", buffering=0)  # noqa: SIM115  closed on exit
            self.size = os.fstat(self._opened.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._opened.close()

    def read_at(self, start: int, buffer: memoryview) -> None:
        """Reads exactly the length of `buffer` from `start`. Raises `ContentRefusedError` if there is less."""
        while buffer:
            try:
                count = os.preadv(self._opened.fileno(), [buffer], start)
            except OSError as error:
                raise LocalFileError(error) from error
            if not count:
                raise ContentRefusedError(RefusalReason.SIZE)
            buffer, start = buffer[count:], start + count


class FileTarget:
    """A local file that is written by position, by several threads at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def allocate(self, size: int) -> None:
        """Empties the file and asks the disk for `size` bytes at once: faster, and a full disk says so now.

        Not where files live in memory: there it is slower, because every page would be cleared first.
        """
        with wrapping_system_errors():
            os.ftruncate(self._descriptor, 0)
            is_on_disk = os.major(os.fstat(self._descriptor).st_dev) != 0
            if not (is_on_disk and size and hasattr(os, "posix_fallocate")):
                return
            try:
                os.posix_fallocate(self._descriptor, 0, size)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise

    def write_at(self, start: int, data: memoryview) -> None:
        """Writes `data` so that its first byte stands at `start`."""
        try:
            while data:
                count = os.pwrite(self._descriptor, data, start)
                data, start = data[count:], start + count
        except OSError as error:
            raise LocalFileError(error) from error


class MemoryTarget:
    """A result that is kept in memory."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def write_at(self, start: int, data: memoryview) -> None:
        """Writes `data` so that its first byte stands at `start`."""
        self.data[start : start + len(data)] = data


class Placement:
    """A file that comes to its place, all at once, when it is complete; until then nobody else finds it.

    What stood at the place before is replaced. Left without `place`, it is removed.
    """

    def __init__(self, destination: str | os.PathLike[str]) -> None:
        self._destination = Path(destination)
        with wrapping_system_errors():
            self._draft = Draft(self._destination.parent)
        self.descriptor = self._draft.descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.abandon()

    def place(self, before_placing: Callable[[int], None] | None = None) -> None:
        """Calls `before_placing` with the descriptor, then gives the file its place."""
        with wrapping_system_errors():
            if before_placing is not None:
                before_placing(self.descriptor)
            self._draft.replace(self._destination)
            self._draft.close()

    def abandon(self) -> None:
        """Removes the file unless it was placed."""
        self._draft.close()
