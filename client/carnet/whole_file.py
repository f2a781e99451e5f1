"""Writing a file whole or not at all, durable on return: what was there stays until the new one is.

    replace_file(path, data)      # in the place of what was there
    write_new_file(path, data)    # only where nothing is

A file is its owner's alone unless `mode` says otherwise, whatever the umask.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carnet.draft import Draft
from carnet.errors import HomeError


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put `data` where the file `path` is, or is not yet. Raises `HomeError`."""
    try:
        with _draft(path, data, mode) as draft:
            draft.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise HomeError(f"{path} cannot be written: {error.strerror}") from error


def write_new_file(path: Path, data: bytes) -> None:
    """Put `data` into a new file at `path`. Raises `FileExistsError` or another `OSError`; then there is none of it."""
    with _draft(path, data, 0o600) as draft:
        draft.link(path)
    try:
        sync_folder(path.parent)
    except OSError:
        path.unlink()
        raise


def is_draft(path: Path) -> bool:
    """Whether `path` may be what a cut left of a file that was being written."""
    return path.name.startswith(".")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Draft]:
    """A draft that holds `data`, on disk, in the folder of `path`."""
    with Draft(path.parent, mode=mode) as draft:
        with open(draft.descriptor, "wb", closefd=False) as file:
            os.fchmod(draft.descriptor, mode)  # which the umask may have narrowed
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
