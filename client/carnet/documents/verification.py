"""Verifying a whole record: every statement, digest, byte, padding and commitment of every version."""

from collections.abc import Callable
from dataclasses import dataclass

from carnet.access import RecordAccess
from carnet.documents.listing import Document, list_all_versions
from carnet.documents.reading import open_document
from carnet.errors import CarnetError, DataError, RefusedError
from carnet.session import Session

OnVerified = Callable[[Document, int, int], None]
"""Is told which version was checked, its place in the count, and the count."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How many versions proved themselves to the last byte, and what did not and why."""

    versions: int
    size: int
    problems: tuple[str, ...]


def verify_record(session: Session, access: RecordAccess, *, on_verified: OnVerified | None = None) -> Verification:
    """Fetch and check everything that `access` covers; write nothing. Raises a `TransportError`."""
    listing = list_all_versions(session, access)
    problems = [f"{problem.document}: {problem.reason}" for problem in listing.problems]
    count = size = 0
    for place, document in enumerate(listing.documents, start=1):
        failure = _verify_content(session, access, document)
        if failure is None:
            count += 1
            size += document.metadata.size
        else:
            problems.append(f"{document.id}.{document.version.number}: {failure}")
        if on_verified is not None:
            on_verified(document, place, len(listing.documents))
    return Verification(count, size, tuple(problems))


def _verify_content(session: Session, access: RecordAccess, document: Document) -> CarnetError | None:
    try:
        opened = open_document(session, access, document.id, version=document.version.number)
        opened.check()
    except (DataError, RefusedError) as error:
        return error
    return None
