"""Erased records in the database, and what goes with them. Never commits."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, delete, exists, insert, select, update

from carnet_protocol.ids import RecordId
from carnet_protocol.statements import Device, Erasure, Identity, Recovery, Removal, Signed
from carnet_server.errors import RefusedError
from carnet_server.events.event import LoggedEvent
from carnet_server.prepared import Prepared, Question
from carnet_server.tables import (
    closings,
    compartments,
    erasures,
    event_records,
    events,
    filings,
    grant_compartments,
    grant_documents,
    grants,
    revocations,
    statements,
    tombstones,
)

KINDS_OF_A_PERSON: Final = frozenset(f"statement.{kind.KIND}" for kind in (Identity, Device, Removal, Recovery))
"""Events that stay with the person: what they say is in the statements that stay, too."""

_ERASURE: Final = Prepared(select(erasures.c.hash).where(erasures.c.record == bindparam("of")))
_ACCEPTED: Final = (
    select(events.c.position, events.c.time, events.c.leaf_hash)
    .join(statements, statements.c.event == events.c.position)
    .join(erasures, erasures.c.hash == statements.c.hash)
    .where(erasures.c.record == bindparam("of"))
)
_IN_SCOPE: Final = select(grants.c.hash).where(grants.c.record == bindparam("of"))
_ROWS: Final = (
    delete(grant_compartments).where(grant_compartments.c.grant.in_(_IN_SCOPE)),
    delete(grant_documents).where(grant_documents.c.grant.in_(_IN_SCOPE)),
    *(
        delete(table).where(table.c.record == bindparam("of"))
        for table in (revocations, grants, closings, compartments, filings, tombstones)
    ),
)
"""In an order in which no row refers to one that is gone."""


def ask_erasure(record: RecordId) -> Question:
    """The question whether `record` was erased."""
    return _ERASURE.asking(of=record.raw)


def read_erasure(rows: Sequence[tuple[Any, ...]]) -> None:
    """Refuse a record that the answer to `ask_erasure` calls erased, as one that is unknown. Raises `RefusedError`."""
    if rows:
        raise RefusedError("record_erased")


def require_standing(connection: Connection, record: RecordId) -> None:
    """Refuse a record that was erased, as one that is unknown. Raises `RefusedError`."""
    read_erasure(_ERASURE.rows(connection, of=record.raw))


def find_erasure(connection: Connection, record: RecordId) -> LoggedEvent | None:
    """The event that erased `record`, if one did."""
    row = connection.execute(_ACCEPTED, {"of": record}).first()
    return None if row is None else LoggedEvent(row.position, row.time, row.leaf_hash)


def insert_erasure(connection: Connection, signed: Signed[Erasure]) -> None:
    """Keep that `signed` erased its record."""
    connection.execute(insert(erasures), {"hash": signed.hash, "record": signed.body.record})


def delete_record(connection: Connection, record: RecordId) -> int:
    """Delete what both servers keep of `record`, and return how many events lost their salt and body.

    The person stays: their statements, and the events that accepted these. Of every other event there stay position,
    time, commitment and leaf: salted hashes, which nothing says are this record's.
    """
    for deletion in _ROWS:
        connection.execute(deletion, {"of": record})
    connection.execute(delete(statements).where(statements.c.event.in_(_of_the_record(record))))
    pruned = connection.execute(
        update(events).where(events.c.position.in_(_of_the_record(record))).values(kind=None, salt=None, body=None)
    ).rowcount
    is_pruned = exists().where(events.c.position == event_records.c.position, events.c.kind.is_(None))
    connection.execute(delete(event_records).where(event_records.c.record == record, is_pruned))
    return pruned


def _of_the_record(record: RecordId) -> Select[Any]:
    """The positions of the events of `record` that do not stay with the person."""
    return (
        select(event_records.c.position)
        .join(events, events.c.position == event_records.c.position)
        .where(event_records.c.record == record, events.c.kind.not_in(sorted(KINDS_OF_A_PERSON)))
    )
