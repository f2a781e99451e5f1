"""Where documents are put on this machine: only where somebody said, never over something, never elsewhere.

A file name out of a document's metadata was chosen by whoever wrote the document. It is used as a name inside of the
folder that was given, or not at all.
"""

import itertools
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from carnet.documents.metadata import Metadata, safe_file_name
from carnet.errors import HomeError, UsageError

_LONGEST: Final = 200
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
_DEVICES: Final = {"con", "prn", "aux", "nul"} | {f"{name}{digit}" for name in ("com", "lpt") for digit in "0123456789"}


def choose_place(target: Path | None, metadata: Metadata, *, may_overwrite: bool) -> Path:
    """The file to write: `target` itself, or a file in it if it is a folder; in the current folder if it is None.

    Raises `UsageError` where a file is already, unless `may_overwrite`, or where no file can be.
    """
    place = Path() if target is None else target
    if place.is_dir():
        place /= file_name(metadata)
    check_place(place, may_overwrite=may_overwrite)
    return place


def check_place(place: Path, *, may_overwrite: bool) -> None:
    """Check that a document may be written to `place`. Raises `UsageError`."""
    if place.is_symlink() or place.exists():
        if not may_overwrite:
            raise UsageError(f"{place} is there already: name another file, or add --force")
        if place.is_symlink() or not place.is_file():
            raise UsageError(f"{place} is not a plain file: name another one")
    if not place.parent.is_dir():
        raise UsageError(f"there is no folder {place.parent}: make it first")


def file_name(metadata: Metadata) -> str:
    """A name for the document's file: the one in its metadata if that is harmless, else one made of its title."""
    wanted = metadata.file_name
    if wanted is not None and is_harmless(wanted):
        return wanted
    return safe_file_name(metadata.title, metadata.media_type)


def is_harmless(name: str) -> bool:
    """Whether `name` is a plain visible name on every system, that leads nowhere and starts nothing."""
    return (
        0 < len(name.encode()) <= _LONGEST
        and name == unicodedata.normalize("NFC", name)
        and name.isprintable()
        and not _FORBIDDEN & set(name)
        and not name.startswith((".", "-", " "))
        and not name.endswith((".", " "))
        and name.split(".", maxsplit=1)[0].casefold() not in _DEVICES
    )


def free_place(folder: Path, name: str) -> Path:
    """A file in `folder` called `name`, or with a number where that is taken."""
    return next(place for place in _numbered(folder, name) if not (place.is_symlink() or place.exists()))


def taken_places(folder: Path, name: str) -> Iterator[Path]:
    """The plain files in `folder` that `free_place` passes over for `name`."""
    for place in _numbered(folder, name):
        if not (place.is_symlink() or place.exists()):
            return
        if place.is_file() and not place.is_symlink():
            yield place


def _numbered(folder: Path, name: str) -> Iterator[Path]:
    yield folder / name
    for number in itertools.count(2):
        yield folder / f"{Path(name).stem}-{number}{Path(name).suffix}"


def make_folder(folder: Path) -> None:
    """Make `folder`, for its owner alone, unless it is there. Raises `HomeError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"the folder {folder} cannot be made: {error.strerror}") from error
