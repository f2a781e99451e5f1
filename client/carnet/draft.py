"""A file in the making: until it has its name nobody finds it, and neither a kill nor a power cut leaves it behind.

    with Draft(folder) as draft:
        ...  # write to draft.descriptor
        draft.replace(folder / "letter.pdf")

Where the system can, the file has no name while it is written, and ends with the process. Elsewhere it is hidden beside
its place, and so it is everywhere for the moment in which it takes the place of another: what a cut leaves there goes
when the next file is written into that folder. Whoever writes holds a lock, so that none is removed that is still
being written.
"""

import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_NAME: Final = re.compile(r"\.carnet-[0-9a-f]{16}\.part")
_DESCRIPTORS: Final = Path("/proc/self/fd")


class Draft:
    """A file of `folder` that is written through `descriptor`, its owner's alone unless `mode` says otherwise.

    Left without a name, it is removed. Raises `OSError`, as everything here does.
    """

    __slots__ = ("_folder", "_hidden", "descriptor")

    def __init__(self, folder: Path, *, mode: int = 0o600) -> None:
        """Make the file, after what earlier cuts left in `folder` was removed."""
        _remove_abandoned(folder)
        self._folder = folder
        self._hidden: Path | None = None
        descriptor = _open_nameless(folder, mode)
        if descriptor is None:
            descriptor, self._hidden = _open_hidden(folder, mode)
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        """The draft itself."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Close."""
        self.close()

    def link(self, path: Path) -> None:
        """Give the file the name `path`. Raises `FileExistsError` where a file has it already."""
        if self._hidden is not None:
            path.hardlink_to(self._hidden)
            return
        # Named with a descriptor, it is the call that goes through the link to the file behind it.
        os.link(_DESCRIPTORS / str(self.descriptor), path, src_dir_fd=self.descriptor)

    def replace(self, path: Path) -> None:
        """Give the file the name `path`, in the place of what was there."""
        if self._hidden is None:
            hidden = _make_hidden_name(self._folder)
            self.link(hidden)
            self._hidden = hidden
        self._hidden.replace(path)

    def close(self) -> None:
        """Remove the file unless it was given a name."""
        if self.descriptor < 0:
            return
        if self._hidden is not None:
            with suppress(OSError):
                self._hidden.unlink()
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)


def _open_nameless(folder: Path, mode: int) -> int | None:
    """A locked file without a name, None where there is no such thing."""
    nameless = getattr(os, "O_TMPFILE", None)  # Linux alone has it
    if nameless is None or not _DESCRIPTORS.is_dir():
        return None
    try:
        descriptor = os.open(folder, os.O_RDWR | nameless | os.O_CLOEXEC, mode)
    except OSError:
        return None  # not on this file system; any other reason is met again by whoever opens a file with a name
    _lock(descriptor)
    return descriptor


def _open_hidden(folder: Path, mode: int) -> tuple[int, Path]:
    """A locked file under a hidden name."""
    while True:
        hidden = _make_hidden_name(folder)
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return descriptor, hidden
        os.close(descriptor)  # another process took it for abandoned before it was locked


def _make_hidden_name(folder: Path) -> Path:
    return folder / f".carnet-{secrets.token_hex(8)}.part"


def _lock(descriptor: int) -> None:
    # Where there are no locks, none can be taken either, and nothing counts as abandoned.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _remove_abandoned(folder: Path) -> None:
    """Remove the hidden files of ours in `folder` that nobody is writing any more."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  a folder may hold many files, and most are of no interest
            if _NAME.fullmatch(name):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(hidden: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(hidden, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                hidden.unlink()
        finally:
            os.close(descriptor)
