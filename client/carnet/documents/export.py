"""Exporting a whole record to a plain folder that opens without any server (spec `document.md`, "Export").

The folder is as secret as the documents. It appears under its name only when it is complete.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from carnet.access import RecordAccess, open_access
from carnet.content import LocalFileError
from carnet.documents.listing import Document, list_all_versions
from carnet.documents.metadata import safe_file_name
from carnet.documents.reading import OpenedDocument, open_document
from carnet.errors import DataError, HomeError, RefusedError, UsageError
from carnet.session import Session
from carnet_protocol.api import AccessView, GrantsView, PersonView
from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.statements import Grant, Signed

_BUFFER: Final = 1 << 20

OnExported = Callable[[Document, int, int], None]
"""Is told which version is done, its place in the count, and the count."""


@dataclass(frozen=True, slots=True)
class Export:
    """What an export holds: how many versions, and what could not be taken along and why."""

    versions: int
    problems: tuple[str, ...]


def export_record(session: Session, destination: Path, *, on_exported: OnExported | None = None) -> Export:
    """Write every version of every document of this patient's record to the new folder `destination`.

    What does not verify is left out and named. Raises `UsageError` if `destination` exists, `HomeError` if it cannot be
    written, a `TransportError` or a `DataError`; then there is nothing of it.
    """
    with _writing(destination):
        if destination.exists():
            raise UsageError(f"{destination} exists already: name a new folder")
    access = open_access(session, session.record)
    listing = list_all_versions(session, access)
    problems = [f"{problem.document}: {problem.reason}" for problem in listing.problems]
    building = destination.with_name(f".{destination.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    try:
        with _writing(destination):
            building.mkdir(mode=0o700, parents=True)
            folder = _Folder(session, access, building)
        for place, version in enumerate(listing.documents, start=1):
            try:
                with _writing(destination):
                    folder.add(version)
            except (DataError, RefusedError, LocalFileError) as error:
                problems.append(f"{version.id}.{version.version.number}: {error}")
                shutil.rmtree(building / "sealed" / f"{version.id}.{version.version.number}", ignore_errors=True)
            if on_exported is not None:
                on_exported(version, place, len(listing.documents))
        with _writing(destination):
            folder.finish()
            os.rename(building, destination)  # noqa: PTH104  fails where something was put there meanwhile
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return Export(folder.count, tuple(problems))


@contextmanager
def _writing(destination: Path) -> Iterator[None]:
    """Turns an error of the system into a `HomeError` that names `destination`."""
    try:
        yield
    except OSError as error:
        raise HomeError(f"{destination} cannot be written: {error.strerror or type(error).__name__}") from error


class _Folder:
    """An export in the making."""

    def __init__(self, session: Session, access: RecordAccess, path: Path) -> None:
        self._session = session
        self._access = access
        self._path = path
        self._entries: list[dict[str, object]] = []
        self._keys: dict[str, object] = {}
        self._authors: set[IdentityHash] = {access.patient.identity}
        self._relied_on: set[StatementHash] = set()
        self._names: set[str] = set()
        for name in ("documents", "sealed"):
            (path / name).mkdir(mode=0o700)

    def add(self, document: Document) -> None:
        """Write one version: plaintext, ciphertext, metadata, statements."""
        opened = open_document(self._session, self._access, document.id, version=document.version.number)
        version, metadata = opened.version, opened.metadata
        label = f"{document.id}.{version.number}"
        sealed = self._path / "sealed" / label
        sealed.mkdir(mode=0o700)
        self._write(sealed / "content", opened.ciphertext())
        self._write(sealed / "leaves", iter([opened.sealed.leaf_digests]))
        self._write(sealed / "metadata", iter([version.metadata]))
        self._write(sealed / "manifest.jws", iter([version.manifest.text.encode()]))
        if version.reseal is not None:
            self._write(sealed / "reseal.jws", iter([version.reseal.text.encode()]))
        name = self._free_name(safe_file_name(metadata.title, metadata.media_type))
        path = self._path / "documents" / name
        opened.save(path)
        self._authors.add(version.manifest.body.author)
        if version.manifest.body.grant is not None:
            self._relied_on.add(version.manifest.body.grant)
        self._keys[label] = {
            "content_key": format_base64url(opened.content_key.reveal()),
            "metadata_key": format_base64url(opened.metadata_key.reveal()),
        }
        self._entries.append(self._entry(document, opened, path))

    @property
    def count(self) -> int:
        """How many versions are written."""
        return len(self._entries)

    def finish(self) -> None:
        """Write the index, the statements and the keys."""
        record = self._access.record
        view = self._session.keyservice.get(f"/v1/records/{record}/access", AccessView)
        grants = self._session.keyservice.get(f"/v1/records/{record}/grants", GrantsView)
        # Whoever was let in, and handed over to an author, proves that author's right.
        grantees = {
            grant.body.grantee
            for grant in (Signed.parse(text, Grant) for text in grants.grants)
            if grant.hash in self._relied_on
        }
        people = {
            person: self._session.keyservice.get(f"/v1/people/{person}", PersonView)
            for person in sorted(self._authors | grantees)
        }
        statements: dict[str, object] = {
            "format": "carnet.export-statements.v1",
            "people": {
                str(author): {
                    "identities": list(person.person.identities),
                    "devices": list(person.person.devices),
                    "removals": list(person.person.removals),
                }
                for author, person in people.items()
            },
            "attestations": sorted({text for person in people.values() for text in person.attestations}),
            "revocation_lists": sorted({text for person in people.values() for text in person.revocation_lists}),
            "successions": sorted({person.succession for person in people.values() if person.succession is not None}),
            "compartments": list(view.compartments),
            "grants": list(grants.grants),
            "revocations": list(grants.revocations),
        }
        index: dict[str, object] = {
            "format": "carnet.export.v1",
            "record": str(record),
            "exported_at": self._session.clock(),
            "documents": list(self._entries),
        }
        keys: dict[str, object] = {"format": "carnet.export-keys.v1", "documents": self._keys}
        for name, value in (("statements.json", statements), ("keys.json", keys), ("index.json", index)):
            self._write(self._path / name, iter([format_canonical_json(value)]))

    def _entry(self, document: Document, opened: OpenedDocument, path: Path) -> dict[str, object]:
        metadata, version = opened.metadata, opened.version
        return {
            "document": str(document.id),
            "version": version.number,
            "compartment": None if document.compartment is None else str(document.compartment),
            "compartment_name": self._name_of(document),
            "path": path.relative_to(self._path).as_posix(),
            "sealed": f"sealed/{document.id}.{version.number}",
            "sha256": _sha256(path),
            "size": metadata.size,
            "title": metadata.title,
            "kind": metadata.kind.model_dump(mode="json"),
            "care_date": metadata.care_date,
            "author": str(version.manifest.body.author),
            "author_name": metadata.author_name,
            "media_type": metadata.media_type,
            "created_at": version.manifest.body.created_at,
        }

    def _name_of(self, document: Document) -> str | None:
        held = self._access.compartments.get(document.compartment) if document.compartment is not None else None
        return None if held is None else held.name

    def _free_name(self, name: str) -> str:
        """`name`, or with a number where it is taken; names are compared as a careless file system would."""
        stem, dot, ending = name.rpartition(".")
        if not stem:
            stem, dot, ending = name, "", ""
        candidate, number = name, 1
        while candidate.casefold() in self._names:
            number += 1
            candidate = f"{stem}-{number}{dot}{ending}"
        self._names.add(candidate.casefold())
        return candidate

    @staticmethod
    def _write(path: Path, pieces: Iterator[bytes]) -> None:
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_BUFFER):
            digest.update(piece)
    return format_base64url(digest.digest())
