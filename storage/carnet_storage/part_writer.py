"""Writes one part of an upload into its place, in bounded memory.

    with store.open_part(permit) as writer:
        for chunk in request:
            writer.write(chunk)
        writer.finish()

Leaving the block without `finish` counts as a cut: the part has not arrived. One caller at a time; any number of
writers may write different parts at once.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Final, Protocol, Self

from carnet_storage._disk import locked, typed_errors
from carnet_storage._upload_folder import UploadFolder
from carnet_storage.errors import SizeMismatch, StorageError
from carnet_storage.urls import PutPermit

BUFFER_BYTES: Final = 512 * 1024
# Blocks that are found some MiB at a time lie together and take a quarter less time; a part below the second is written
# in one or two pieces, and finding its blocks beforehand only costs time.
_AHEAD_BYTES: Final = 4 * 2**20
_RESERVE_FROM_BYTES: Final = 2 * 2**20


class SupportsReadInto(Protocol):
    """A binary stream."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fills `buffer` from its start and returns how many bytes came: 0 at the end, None when there are none yet."""
        ...


class PartWriter:
    """Takes the bytes of one part. Raises what the port's contract names; after any error the part counts as cut."""

    def __init__(self, folder: UploadFolder, permit: PutPermit) -> None:
        self._folder: Final = folder
        self._permit: Final = permit
        self._buffer: Final = memoryview(bytearray(min(BUFFER_BYTES, permit.size_bytes)))
        self._buffered = 0
        self._written = 0
        self._room = 0
        self._bytes = self._claim = -1
        with typed_errors():
            self._open()

    @property
    def free_bytes(self) -> int:
        """Returns how much fits into memory: a shorter chunk is only copied, any other waits for the disk."""
        return len(self._buffer) - self._buffered

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes of the part, which the caller may change afterwards.

        Raises `SizeMismatch` for more than was announced, `UploadNotFound` when the upload ended or another writer
        took over this part, `NoSpace` and `StoreUnavailable`.
        """
        with self._cut_on_error(), memoryview(chunk) as view, view.cast("B") as rest:
            if len(rest) > self._missing():
                raise SizeMismatch("More bytes arrived than were announced. Send the part again.")
            self._take(rest)

    def write_from(self, source: SupportsReadInto) -> None:
        """Takes the bytes that the part still misses from `source`, or as many as it has.

        Raises as `write` does; what `source` raises passes through, and cuts the part.
        """
        with self._cut_on_error():
            while self._missing():
                end = self._buffered + min(self.free_bytes, self._missing())
                count = source.readinto(self._buffer[self._buffered : end])
                if not count:
                    return
                self._buffered += count
                if not self.free_bytes:
                    self._flush()

    def finish(self) -> None:
        """Says that all bytes were given; when it returns, they are durable and the part has arrived.

        Raises `SizeMismatch` for fewer than were announced, else as `write`.
        """
        with self._cut_on_error():
            if self._missing():
                raise SizeMismatch("Fewer bytes arrived than were announced. Send the part again.")
            with typed_errors():
                self._flush()
                self._folder.disk.sync_data(self._bytes)
                with locked(self._folder.disk, self._bytes, fcntl.LOCK_SH):
                    self._folder.confirm(self._claim, self._permit.part)
        self._close()

    def abort(self) -> None:
        """Gives the part up; after `finish`, or a second time, does nothing."""
        if self._bytes < 0:
            return
        # What cannot be removed now is replaced by the next writer of this part, or goes with the upload.
        with contextlib.suppress(OSError), locked(self._folder.disk, self._bytes, fcntl.LOCK_SH):
            self._folder.withdraw(self._claim, self._permit.part)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _open(self) -> None:
        permit = self._permit
        self._bytes = self._folder.open_for_writer()
        try:
            if permit.offset + permit.size_bytes > os.fstat(self._bytes).st_size:
                raise SizeMismatch("The part lies outside of the object.")
            self._claim = self._folder.claim(self._bytes, permit.part)
            # Asked, not taken: whoever opens parts and sends nothing would fill the disk.
            self._folder.check_room(permit.size_bytes)
        except (OSError, StorageError):
            self.abort() if self._claim >= 0 else self._close()
            raise

    def _missing(self) -> int:
        if self._bytes < 0:
            raise AssertionError("internal: this part was finished or cut")
        return self._permit.size_bytes - self._written - self._buffered

    def _take(self, rest: memoryview) -> None:
        while rest:
            if not self._buffered and len(rest) >= len(self._buffer):
                whole = len(rest) - len(rest) % len(self._buffer)
                self._write_out(rest[:whole])
                rest = rest[whole:]
                continue
            count = min(self.free_bytes, len(rest))
            self._buffer[self._buffered : self._buffered + count] = rest[:count]
            self._buffered += count
            rest = rest[count:]
            if not self.free_bytes:
                self._flush()

    def _flush(self) -> None:
        self._write_out(self._buffer[: self._buffered])
        self._buffered = 0

    def _write_out(self, piece: memoryview) -> None:
        with typed_errors(), locked(self._folder.disk, self._bytes, fcntl.LOCK_SH):
            self._folder.check_claim(self._claim, self._permit.part)
            self._make_room(self._written + len(piece))
            while piece:
                count = self._folder.disk.pwrite(self._bytes, piece, self._permit.offset + self._written)
                self._written += count
                piece = piece[count:]

    def _make_room(self, end: int) -> None:
        """Finds room for the bytes up to `end`, and ahead of them for at most as many: a cut gives none back."""
        if end <= self._room:
            return
        size = self._permit.size_bytes
        if size >= _RESERVE_FROM_BYTES:
            end = min(size, end + min(end, _AHEAD_BYTES))
        self._folder.check_room(end - self._room)
        if size >= _RESERVE_FROM_BYTES:
            self._folder.disk.reserve(self._bytes, self._permit.offset + self._room, end - self._room)
        self._room = end

    @contextlib.contextmanager
    def _cut_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def _close(self) -> None:
        for descriptor in (self._claim, self._bytes):
            if descriptor >= 0:
                os.close(descriptor)
        self._bytes = self._claim = -1
