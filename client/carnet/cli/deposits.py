"""From files on this machine to deposits: which files, what is said of each, batches, and where a cut left off.

Small files go in batches, and a batch is there completely or not at all. What was deposited of a command is kept in
the sealed local state until the command is done, so that the same command goes on where it was cut.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from carnet.access import RecordAccess
from carnet.cli.guesses import clean_title, guess
from carnet.cli.kinds import parse_kind
from carnet.cli.terminal import Bar, Terminal
from carnet.cli.whose_record import find_compartment
from carnet.content import CommitmentKey
from carnet.documents.deposit import SMALL_BYTES, NewVersion, deposit_small
from carnet.documents.spool import deposit_large
from carnet.errors import HomeError, UsageError
from carnet.profiles import default_compartment
from carnet.session import Session
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.limits import MIB
from carnet_protocol.statements import Manifest, Signed

_MOST_IN_BATCH: Final = 100
_BATCH_BYTES: Final = 16 * MIB
_PREFIX: Final = "add-"
_FORMAT: Final = "carnet.add.v1"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person said of the files; None where it is to be guessed."""

    title: str | None
    kind: str | None
    care_date: str | None
    comment: str | None


def collect_files(paths: Sequence[Path]) -> list[Path]:
    """The files that `paths` mean: each file, and of each folder every file in it but hidden ones, in order.

    Raises `UsageError` for what is neither, or if there is no file at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _files_in(path)
        elif path.is_file():
            files.append(path)
        elif path.exists():
            raise UsageError(f"{path} is not a plain file: name another one")
        else:
            raise UsageError(f"there is no file {path}")
    if not files:
        raise UsageError("there is no file in there: name files, or a folder with files")
    for file in files:
        if not file.stat().st_size:
            raise UsageError(f"{file} is empty: there is nothing to add")
    return list(dict.fromkeys(file.absolute() for file in files))


def _files_in(folder: Path) -> list[Path]:
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            path
            for name in sorted(names)
            if not name.startswith(".") and (path := Path(parent, name)).is_file() and not path.is_symlink()
        ]
    return found


def plan_deposit(
    source: Path,
    wish: Wish,
    access: RecordAccess,
    *,
    part: CompartmentId | None,
    author_name: str,
    previous: Signed[Manifest] | None,
) -> NewVersion:
    """What is to be deposited of the file at `source`. Raises `UsageError`, `HomeError` or `NotFoundError`."""
    try:
        guessed = guess(source)
        size = source.stat().st_size
    except OSError as error:
        raise HomeError(f"{source} cannot be read: {error.strerror}") from error
    kind = guessed.kind if wish.kind is None else parse_kind(wish.kind)
    version = NewVersion(
        source=source,
        compartment=part or find_compartment(access, default_compartment(kind.code)),
        title=clean_title(guessed.title if wish.title is None else wish.title),
        kind=kind,
        media_type=guessed.media_type,
        author_name=clean_title(author_name),
        care_date=guessed.care_date if wish.care_date is None else _check_date(wish.care_date),
        file_name=source.name if source.name.isprintable() and "\\" not in source.name else None,
        comment=wish.comment or None,
        previous=previous,
    )
    try:
        version.metadata(size=size, commitment_key=CommitmentKey.make())
    except ValidationError as error:
        fields = ", ".join(sorted({str(fault["loc"][0]).replace("_", " ") for fault in error.errors()}))
        raise UsageError(
            f"this cannot be said of a document: {fields}; shorten it, or take special characters out"
        ) from None
    return version


def deposit_all(
    terminal: Terminal, session: Session, access: RecordAccess, versions: Sequence[NewVersion]
) -> list[DocumentId]:
    """Deposit `versions`; returns their documents, in order. Run again after a cut, it does what is left."""
    total = sum(version.source.stat().st_size for version in versions)
    journal = _Journal(session, access, versions)
    with terminal.progress("Adding", total) as bar:
        done = 0
        for batch in _batches([version for version in versions if journal.find(version) is None]):
            bar.name(batch[0].title if len(batch) == 1 else f"{len(batch)} files")
            journal.note(batch, _deposit(session, access, batch, bar, done))
            done += sum(version.source.stat().st_size for version in batch)
            bar.move(done)
    return journal.finish()


def _deposit(
    session: Session, access: RecordAccess, batch: Sequence[NewVersion], bar: Bar, done: int
) -> list[DocumentId]:
    if batch[0].source.stat().st_size <= SMALL_BYTES:
        return deposit_small(session, access, batch)
    return [deposit_large(session, access, batch[0], on_progress=lambda sent: bar.move(done + sent))]


def _batches(versions: Sequence[NewVersion]) -> Iterator[list[NewVersion]]:
    """Small files together, at most a hundred and 16 MiB; a large one alone."""
    batch: list[NewVersion] = []
    room = 0
    for version in versions:
        size = version.source.stat().st_size
        if size > SMALL_BYTES:
            yield [version]
            continue
        if batch and (size > room or len(batch) == _MOST_IN_BATCH):
            yield batch
            batch, room = [], _BATCH_BYTES
        room = room if batch else _BATCH_BYTES
        batch.append(version)
        room -= size
    if batch:
        yield batch


class _Journal:
    """Which files of one command are deposited already, by path, size and time of change."""

    def __init__(self, session: Session, access: RecordAccess, versions: Sequence[NewVersion]) -> None:
        self._session = session
        self._versions = versions
        wanted = [str(access.record), str(access.grant_hash), *map(_key, versions)]
        self._name = _PREFIX + hashlib.sha256("\0".join(wanted).encode()).hexdigest()[:32]
        self._documents: dict[str, str] = {}
        held = session.state.load(self._name)
        if held is not None and held.get("format") == _FORMAT and isinstance(held.get("documents"), dict):
            self._documents = {str(key): str(value) for key, value in dict(held["documents"]).items()}  # type: ignore[call-overload]  # checked in the line above

    def find(self, version: NewVersion) -> DocumentId | None:
        text = self._documents.get(_key(version))
        return None if text is None else DocumentId.parse(text)

    def note(self, versions: Sequence[NewVersion], documents: Sequence[DocumentId]) -> None:
        pairs = zip(versions, documents, strict=True)
        self._documents |= {_key(version): str(document) for version, document in pairs}
        if len(self._documents) < len(self._versions):
            self._session.state.store(self._name, {"format": _FORMAT, "documents": dict(self._documents)})

    def finish(self) -> list[DocumentId]:
        self._session.state.remove(self._name)
        return [DocumentId.parse(self._documents[_key(version)]) for version in self._versions]


def _key(version: NewVersion) -> str:
    """A name for the file as it is now and the place where it goes."""
    status = version.source.stat()
    previous = "" if version.previous is None else str(version.previous.hash)
    described = f"{version.source}\0{status.st_size}\0{status.st_mtime_ns}\0{version.compartment}\0{previous}"
    return hashlib.sha256(described.encode(errors="surrogateescape")).hexdigest()


def _check_date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UsageError("a day of care is written YYYY-MM-DD, as in 2026-09-15") from error
