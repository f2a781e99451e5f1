"""Officers in the database. Never commits."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from carnet_protocol.api import OfficerEntry
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.tables import events, officers


def find_officer(connection: Connection, officer: Fingerprint) -> OfficerEntry | None:
    """The officer whose key has the fingerprint `officer`, in force or retired."""
    row = connection.execute(select(officers).where(officers.c.fingerprint == officer)).first()
    return None if row is None else _officer(row)


def load_officers(connection: Connection) -> tuple[OfficerEntry, ...]:
    """Every officer, in the order of enrolment."""
    rows = connection.execute(select(officers).order_by(officers.c.enrolled))
    return tuple(_officer(row) for row in rows)


def find_root(connection: Connection, officer: OfficerEntry) -> Fingerprint | None:
    """Who stands behind `officer`: the one enrolled at the machine, by whom it was enrolled, maybe through others.

    Whoever enrols officers may hold their keys: officers of one root are one person, for all that anybody knows here.
    None where the events lead to no machine: somebody has written rows by hand.
    """
    while True:
        body = connection.execute(select(events.c.body).where(events.c.position == officer.enrolled)).scalar()
        if body is None:
            return None
        by = parse_canonical_json(body)["by"]
        if by is None:
            return officer.fingerprint
        found = find_officer(connection, Fingerprint.parse(str(by)))
        if found is None or found.enrolled >= officer.enrolled:
            return None
        officer = found


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
