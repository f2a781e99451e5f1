"""Filings and tombstones in the database. Never commits."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Filing, Signed, Tombstone
from carnet_server.statements.queries import load_texts
from carnet_server.tables import filings, tombstones


@dataclass(frozen=True, slots=True)
class FilingRow:
    """Where a document was filed last."""

    document: DocumentId
    serial: int
    hash: StatementHash
    compartment: CompartmentId


_NEWEST_FILING = (
    select(filings)
    .where(filings.c.record == bindparam("of"), filings.c.document == bindparam("wanted"))
    .order_by(filings.c.serial.desc())
    .limit(1)
)


def find_filing(connection: Connection, record: RecordId, document: DocumentId) -> FilingRow | None:
    """The newest filing of `document`, None if it is where it was deposited."""
    row = connection.execute(_NEWEST_FILING, {"of": record, "wanted": document}).first()
    return None if row is None else FilingRow(row.document, row.serial, row.hash, row.compartment)


def find_filings(
    connection: Connection, record: RecordId, documents: Collection[DocumentId]
) -> dict[DocumentId, FilingRow]:
    """The newest filing of each of `documents` that was ever filed."""
    rows = connection.execute(
        select(filings)
        .where(filings.c.record == record, filings.c.document.in_(documents))
        .order_by(filings.c.document, filings.c.serial)
    )
    return {row.document: FilingRow(row.document, row.serial, row.hash, row.compartment) for row in rows}


def insert_filing(connection: Connection, signed: Signed[Filing]) -> None:
    """Keep the filing `signed`."""
    body = signed.body
    connection.execute(
        insert(filings),
        {
            "record": body.record,
            "document": body.document,
            "serial": body.serial,
            "hash": signed.hash,
            "compartment": body.compartment,
        },
    )


def load_filings(connection: Connection, record: RecordId, documents: Collection[DocumentId]) -> tuple[str, ...]:
    """Every filing of `documents`, in the order of acceptance."""
    return load_texts(connection, filings.c.hash, filings.c.record == record, filings.c.document.in_(documents))


def find_tombstoners(
    connection: Connection, record: RecordId, documents: Collection[DocumentId]
) -> set[tuple[DocumentId, IdentityHash]]:
    """Who made a tombstone of which of `documents`."""
    rows = connection.execute(
        select(tombstones.c.document, tombstones.c.by).where(
            tombstones.c.record == record, tombstones.c.document.in_(documents)
        )
    )
    return {(row.document, row.by) for row in rows}


def count_tombstones(connection: Connection, record: RecordId, by: IdentityHash) -> int:
    """How many tombstones `by` made in `record`."""
    return connection.execute(
        select(func.count()).where(tombstones.c.record == record, tombstones.c.by == by)
    ).scalar_one()


def insert_tombstone(connection: Connection, signed: Signed[Tombstone]) -> None:
    """Keep the tombstone `signed`."""
    body = signed.body
    connection.execute(
        insert(tombstones),
        {"record": body.record, "document": body.document, "by": body.by, "hash": signed.hash},
    )
