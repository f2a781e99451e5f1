"""Which filings and tombstones a server accepts, and whose statements at all. Values in, verdict out."""

from collections.abc import Sequence
from typing import Final

from carnet_protocol.ids import IdentityHash, RecordId
from carnet_protocol.statements import Filing, Role, Tombstone
from carnet_server.errors import ConflictError, InvalidStatementError, RefusedError, TooLargeError
from carnet_server.people.queries import PersonRow
from carnet_server.records.queries import FilingRow
from carnet_server.statements import AnyStatement

MAX_TOMBSTONES_OF_AN_AUTHOR: Final = 1_000
"""Tombstones that one depositor makes in one record, where nobody knows which documents are theirs."""


def require_patient(person: PersonRow | None) -> None:
    """Refuse a record that is nobody's, or a practitioner's. Raises `RefusedError`."""
    if person is None or person.role is not Role.PATIENT:
        raise RefusedError("not_a_patient")


def require_own(statements: Sequence[AnyStatement], principal: IdentityHash, record: RecordId) -> None:
    """Refuse what is not for the principal to bring: anyone but the patient brings their own tombstones alone."""
    if principal == record.patient():
        return
    if any(not isinstance(signed.body, Tombstone) or signed.body.by != principal for signed in statements):
        raise RefusedError("not_the_patient")


def decide_filing(body: Filing, *, newest: FilingRow | None, is_compartment_known: bool) -> None:
    """A filing counts on from the one before, by compare-and-set, into a compartment of the record."""
    if not is_compartment_known:
        raise InvalidStatementError("compartment_unknown")
    serial, previous = (0, None) if newest is None else (newest.serial, newest.hash)
    if body.serial != serial + 1 or body.previous != previous:
        raise ConflictError("filing_not_next")


def decide_tombstone(*, may_remove: bool, is_gone: bool) -> None:
    """One tombstone of a document by one person, who is the patient or may deposit now.

    Whose document it is, the server's effects decide. Raises `RefusedError` or `ConflictError`.
    """
    if not may_remove:
        raise RefusedError("not_a_depositor")
    if is_gone:
        raise ConflictError("tombstone_stands")


def require_tombstone_room(made: int) -> None:
    """Refuse one more tombstone than an author may make: `made` counts this one. Raises `TooLargeError`."""
    if made > MAX_TOMBSTONES_OF_AN_AUTHOR:
        raise TooLargeError("tombstones_of_an_author")
