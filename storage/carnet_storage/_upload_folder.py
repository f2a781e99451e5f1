"""The folder of one upload on disk, and who may write into it when.

    uploads/<name>.<token>/bytes          the object to be, with its full length from the start
    uploads/<name>.<token>/00003.writing  part 3 is being written; the file is empty, its inode stands for its writer
    uploads/<name>.<token>/00003.done     part 3 is on the disk: the writer's file, renamed after the bytes were synced

The lock on `bytes` orders everything. A writer holds it shared while it writes a piece, and looks then whether its own
`.writing` file is still in its place; whoever replaces a writer, finishes or aborts takes it exclusively and removes
that file first. So no byte of a replaced writer lands after its successor's, and none at all in an object that is
finished.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carnet_storage._disk import Disk, check_room, locked, opened, sync_folder
from carnet_storage.errors import UploadNotFound

_WRITING: Final = ".writing"
_DONE: Final = ".done"
_DONE_NAME: Final = re.compile(r"(?P<part>[0-9]{5})\.done", re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadFolder:
    """One upload's folder; the methods raise `OSError`, and `UploadNotFound` where there is none."""

    path: Path
    disk: Disk

    @property
    def bytes_path(self) -> Path:
        """Returns the path of the object to be."""
        return self.path / "bytes"

    def create(self, size_bytes: int) -> None:
        """Makes the folder and a file of the full length that takes no space yet."""
        self.disk.mkdir(self.path, 0o700)
        try:
            with opened(self.disk, self.bytes_path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
                self.disk.truncate(descriptor, size_bytes)
        except OSError:
            self.remove()
            raise

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[int]:
        """Opens `bytes` and holds it alone: no writer writes meanwhile. Raises `UploadNotFound`."""
        # For reading: after a cut finish the file may be read-only already. It can be locked and synced all the same.
        descriptor = self._open_bytes(os.O_RDONLY)
        try:
            with locked(self.disk, descriptor, fcntl.LOCK_EX):
                self._check_in_place()
                yield descriptor
        finally:
            os.close(descriptor)

    def open_for_writer(self) -> int:
        """Returns a descriptor of `bytes` for a writer, who closes it. Raises `UploadNotFound`."""
        return self._open_bytes(os.O_WRONLY)

    def claim(self, descriptor: int, part: int) -> int:
        """Makes the caller, who has `bytes` open as `descriptor`, the writer of `part`; returns what stands for it.

        Whoever wrote this part until now is stopped, and what had arrived of it no longer counts. Raises
        `UploadNotFound`.
        """
        with locked(self.disk, descriptor, fcntl.LOCK_SH):
            self._check_pending(descriptor)
            claim = self._try_to_claim(part)
        return self._take_over(descriptor, part) if claim is None else claim

    def check_room(self, size_bytes: int) -> None:
        """Raises `NoSpace` when there is no room for `size_bytes` more."""
        # The folder above is asked: this one may go meanwhile.
        check_room(self.disk, self.path.parent, size_bytes)

    def check_claim(self, claim: int, part: int) -> None:
        """Raises `UploadNotFound` unless `claim` still stands for the writer of `part`; the caller holds the lock."""
        try:
            current = self._writing(part).lstat()
        except FileNotFoundError as error:
            raise _no_longer_writer() from error
        # An inode that a claim keeps open is not given to another file.
        if not os.path.samestat(current, os.fstat(claim)):
            raise _no_longer_writer()

    def confirm(self, claim: int, part: int) -> None:
        """Says that `part` arrived; the caller holds the lock and synced the bytes. Raises `UploadNotFound`."""
        self.check_claim(claim, part)
        self.disk.rename(self._writing(part), self._done(part))

    def withdraw(self, claim: int, part: int) -> None:
        """Gives up the claim on `part`, if it still stands; the caller holds the lock."""
        with contextlib.suppress(UploadNotFound):
            self.check_claim(claim, part)
            self.disk.unlink(self._writing(part))

    def arrived_parts(self) -> tuple[int, ...]:
        """Returns the numbers of the parts that arrived, in order. Raises `UploadNotFound`."""
        names = [entry.name for entry in self._entries()]
        # Looked at last, for its bytes are what an upload loses first: without them, the rest is only what a cut left.
        if not self.bytes_path.exists():
            raise _not_under_way()
        return tuple(sorted(int(match["part"]) for match in map(_DONE_NAME.fullmatch, names) if match))

    def doubt_parts(self) -> None:
        """Forgets that any part arrived; the caller holds the lock exclusively."""
        for entry in self._entries():
            if entry.suffix == _DONE:
                self._unlink_if_there(entry)

    def remove(self) -> None:
        """Removes the folder and all that is in it, `bytes` first; what is gone already is no matter."""
        self._unlink_if_there(self.bytes_path)
        for entry in self._entries():
            self._unlink_if_there(entry)
        with contextlib.suppress(FileNotFoundError):
            self.disk.rmdir(self.path)

    def _entries(self) -> list[Path]:
        try:
            return list(self.path.iterdir())
        except FileNotFoundError:
            return []

    def _open_bytes(self, mode: int) -> int:
        try:
            return self.disk.open(self.bytes_path, mode | os.O_NOFOLLOW | os.O_CLOEXEC, 0)
        except FileNotFoundError as error:
            raise _not_under_way() from error

    def _check_in_place(self) -> None:
        # Between the opening and the lock the upload may have been finished or aborted.
        if not self.bytes_path.exists():
            raise _not_under_way()

    def _check_pending(self, descriptor: int) -> None:
        self._check_in_place()
        # A second name is the object's: its finish was cut before it could remove this one, and it must not change any
        # more.
        if os.fstat(descriptor).st_nlink != 1:
            raise UploadNotFound("This upload is finished.")

    def _try_to_claim(self, part: int) -> int | None:
        try:
            claim = self._create_claim(part)
        except FileExistsError:
            return None
        # Looked at after the claim stands: from here on nobody else can confirm this part.
        if not self._done(part).exists():
            return claim
        os.close(claim)
        return None

    def _take_over(self, descriptor: int, part: int) -> int:
        with locked(self.disk, descriptor, fcntl.LOCK_EX):
            self._check_pending(descriptor)
            self._unlink_if_there(self._done(part))
            self._unlink_if_there(self._writing(part))
            # A power cut must not bring back the word that this part arrived once its bytes are being replaced.
            sync_folder(self.disk, self.path)
            return self._create_claim(part)

    def _create_claim(self, part: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return self.disk.open(self._writing(part), flags, 0o600)

    def _unlink_if_there(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.disk.unlink(path)

    def _writing(self, part: int) -> Path:
        return self.path / f"{part:05d}{_WRITING}"

    def _done(self, part: int) -> Path:
        return self.path / f"{part:05d}{_DONE}"


def _not_under_way() -> UploadNotFound:
    return UploadNotFound("This upload is not under way. Begin it again.")


def _no_longer_writer() -> UploadNotFound:
    return UploadNotFound("Another writer took over this part, or the upload ended. List its parts.")
