"""Small files that people carry from one device to another."""

from pathlib import Path
from typing import Final

from carnet.errors import HomeError

_MOST_BYTES: Final = 16 << 20


def read_file(path: Path) -> bytes:
    """The content of the file at `path`; what is beyond 16 MiB is no file of ours. Raises `HomeError`."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise HomeError(f"{path} cannot be read: {error.strerror}") from error
