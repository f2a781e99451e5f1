"""Which filings and tombstones a server accepts, and whose statements at all. Values in, verdict out."""

from collections.abc import Sequence

from carnet_protocol.ids import IdentityHash, RecordId
from carnet_protocol.statements import Filing, Role, Tombstone
from carnet_server.errors import ConflictError, InvalidStatementError, RefusedError
from carnet_server.people.queries import PersonRow
from carnet_server.records.queries import FilingRow
from carnet_server.statements import AnyStatement


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


def decide_tombstone(*, is_gone: bool) -> None:
    """One tombstone of a document by one person; whether that person may make it, the server's effects decide."""
    if is_gone:
        raise ConflictError("tombstone_stands")
