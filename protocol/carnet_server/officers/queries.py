"""Officers in the database. Never commits."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from carnet_protocol.api import OfficerEntry
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.tables import officers


def find_officer(connection: Connection, officer: Fingerprint) -> OfficerEntry | None:
    """The officer whose key has the fingerprint `officer`, in force or retired."""
    row = connection.execute(select(officers).where(officers.c.fingerprint == officer)).first()
    return None if row is None else _officer(row)


def load_officers(connection: Connection) -> tuple[OfficerEntry, ...]:
    """Every officer, in the order of enrolment."""
    rows = connection.execute(select(officers).order_by(officers.c.enrolled))
    return tuple(_officer(row) for row in rows)


def insert_officer(connection: Connection, public_key: Ed25519PublicKey, *, event: int) -> None:
    """Keep an officer who is in force from `event` on."""
    connection.execute(
        insert(officers),
        {
            "fingerprint": public_key.fingerprint(),
            "public_key": Ed25519PublicKey(public_key.raw),
            "enrolled": event,
            "retired": None,
        },
    )


def retire_officer(connection: Connection, officer: Fingerprint, *, event: int) -> None:
    """Mark the officer as retired by `event`."""
    connection.execute(update(officers).where(officers.c.fingerprint == officer).values(retired=event))


def _officer(row: Row[Any]) -> OfficerEntry:
    return OfficerEntry(
        fingerprint=row.fingerprint, public_key=row.public_key, enrolled=row.enrolled, retired=row.retired
    )
