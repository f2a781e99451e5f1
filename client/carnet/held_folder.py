"""A folder that one program at a time works in; the hold ends with the program, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carnet.errors import HomeBusyError, HomeError


@contextmanager
def hold_folder(path: Path, *, busy: str) -> Iterator[None]:
    """Keep every other program that holds it out of the folder `path`, which exists.

    Raises `HomeBusyError`, saying `busy`, if one is there, and `HomeError` if that cannot be known.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HomeError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _lock(descriptor, path, busy)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, busy: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HomeBusyError(busy) from error
    except OSError as error:
        raise HomeError(f"{path} cannot be locked: {error.strerror}") from error
