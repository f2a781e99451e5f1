"""The calls of the operating system on which a filesystem store's promises rest, and what their failures mean.

They are gathered in one value so that a test can put a failing disk in the place of a real one.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carnet_storage.errors import NoSpace, StoreUnavailable

FREE_FLOOR_BYTES: Final = 256 * 2**20
"""What objects leave free on the disk: the databases beside them must still be able to write, a revocation first."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Where the kernel has no such call, or the filesystem does not know it, blocks are simply found when they are written.
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
# On macOS fsync leaves the bytes in the drive's own cache; this asks the drive as well.
_FULL_FSYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


def _sync(descriptor: int) -> None:
    if _FULL_FSYNC is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, _FULL_FSYNC)


def _sync_data(descriptor: int) -> None:
    if _FULL_FSYNC is None:
        os.fdatasync(descriptor)
    else:
        fcntl.fcntl(descriptor, _FULL_FSYNC)


def _reserve(descriptor: int, offset: int, length: int) -> None:
    try:
        os.posix_fallocate(descriptor, offset, length)
    except AttributeError:
        return
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise


def _free_bytes(path: Path) -> int:
    filesystem = os.statvfs(path)
    return filesystem.f_bavail * filesystem.f_frsize


@dataclass(frozen=True, slots=True)
class Disk:
    """The calls as this system has them. Each raises `OSError`."""

    free_bytes: Callable[[Path], int] = _free_bytes
    open: Callable[[Path, int, int], int] = os.open
    mkdir: Callable[[Path, int], None] = os.mkdir
    lock: Callable[[int, int], None] = fcntl.flock
    truncate: Callable[[int, int], None] = os.ftruncate
    reserve: Callable[[int, int, int], None] = _reserve
    pwrite: Callable[[int, memoryview, int], int] = os.pwrite
    pread: Callable[[int, int, int], bytes] = os.pread
    sync_data: Callable[[int], None] = _sync_data
    sync: Callable[[int], None] = _sync
    rename: Callable[[Path, Path], None] = os.rename
    link: Callable[[Path, Path], None] = os.link
    unlink: Callable[[Path], None] = os.unlink
    rmdir: Callable[[Path], None] = os.rmdir


@contextlib.contextmanager
def opened(disk: Disk, path: Path, flags: int) -> Iterator[int]:
    """Opens `path`, for its owner alone if that makes it, and closes it at the end of the `with` block."""
    descriptor = disk.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(disk: Disk, path: Path) -> None:
    """Makes the entries of a folder durable."""
    with opened(disk, path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        disk.sync(descriptor)


@contextlib.contextmanager
def locked(disk: Disk, descriptor: int, kind: int) -> Iterator[None]:
    """Holds an advisory lock (`fcntl.LOCK_SH` or `LOCK_EX`) on an open file; it falls with the process that has it."""
    disk.lock(descriptor, kind)
    try:
        yield
    finally:
        disk.lock(descriptor, fcntl.LOCK_UN)


def check_room(disk: Disk, path: Path, size_bytes: int) -> None:
    """Raises `NoSpace` when `size_bytes` more on the disk of `path` would leave less than the floor free."""
    if size_bytes + FREE_FLOOR_BYTES > disk.free_bytes(path):
        raise NoSpace("The disk of the store is as full as it may be. Free some space and try again.")


@contextlib.contextmanager
def typed_errors() -> Iterator[None]:
    """Turns an `OSError` that means nothing in particular to the caller into `NoSpace` or `StoreUnavailable`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("The disk of the store is full. Free some space and try again.") from error
        name = errno.errorcode.get(error.errno or 0, "unknown")
        raise StoreUnavailable(f"The disk of the store fails ({name}). Look at its logs; then try again.") from error
