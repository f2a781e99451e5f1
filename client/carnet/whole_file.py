"""Writing a file whole or not at all, durable on return: what was there stays until the new one is.

    replace_file(path, data)      # in the place of what was there
    write_new_file(path, data)    # only where nothing is

A file is its owner's alone unless `mode` says otherwise, whatever the umask.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
        # A link, not a rename: it never takes the place of a file that is there already.
        path.hardlink_to(draft)
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
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A hidden file beside `path` that holds `data`, gone afterwards unless it was given its name."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, so that the mode holds from the start
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
