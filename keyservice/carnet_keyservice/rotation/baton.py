"""Who conducts: one process at a time has the baton, and it falls with that process.

On PostgreSQL it is an advisory lock of a connection that is kept for it, the server's own means against two at once;
on SQLite a lock on a file beside the database.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from carnet_server.database import explaining
from carnet_server.errors import UnavailableError

_ADVISORY_KEY: Final = 0x6361726E6574  # "carnet"


@contextlib.contextmanager
def baton(engine: Engine) -> Iterator[bool]:
    """Whether this process conducts; nobody waits for it. Raises `RefusalError` where the means fail."""
    if engine.dialect.name == "postgresql":
        with explaining(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            has_it = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}).scalar_one()
            try:
                yield has_it
            finally:
                if has_it:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})
        return
    descriptor = _open(Path(f"{engine.url.database}-rotation"))
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:  # a full or failing disk, which may be mended while the program runs
        raise UnavailableError("rotation_file_failed") from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UnavailableError("rotation_file_failed") from error
    return True
