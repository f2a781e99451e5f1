"""Documents: each is what its versions, its filings and its tombstones make it."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, select

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, RecordId, StatementHash
from carnet_protocol.statements import Manifest, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.fsck import Finding
from carnet_server.tables import filings, statements, tombstones
from carnet_vault.tables import capsules, documents, versions

_ROWS_AT_ONCE: Final = 200


def check_documents(connection: Connection) -> Iterator[Finding]:
    """Every document.

    1. Its versions count from 1 to the head, each manifest names the one before, and all have the one author.
    2. It has a tombstone if and only if it is marked so.
    3. It is filed where its newest filing says, or else where its first version's capsules are.
    4. What its readers see is the newest version whose capsules are both there.
    """
    is_buried = exists().where(tombstones.c.record == documents.c.record, tombstones.c.document == documents.c.document)
    rows = connection.execute(select(documents, is_buried.label("is_buried"))).yield_per(_ROWS_AT_ONCE)
    for row in rows:
        where = f"document {row.document}"
        # 1
        if not _is_chain(connection, row):
            yield Finding("versions_do_not_chain", where)
        # 2
        if (row.tombstoned_at is not None) != bool(row.is_buried):
            yield Finding("tombstone_marked_otherwise", where)
        if row.tombstoned_at is not None:
            continue
        # 3
        places = _places(connection, row.record, row.document)
        filed = _newest_filing(connection, row.record, row.document) or places.get((1, KeyRole.CONTENT.value))
        if row.compartment != filed:
            yield Finding("document_filed_otherwise", where)
        # 4
        shown = [
            number
            for number in range(1, row.head + 1)
            if all(places.get((number, role.value)) == row.compartment for role in KeyRole)
        ]
        if row.listed != (shown[-1] if shown else None):
            yield Finding("document_listed_otherwise", where)


def _is_chain(connection: Connection, row: Row[Any]) -> bool:
    found = connection.execute(
        select(versions.c.version, versions.c.manifest, statements.c.jws)
        .join(statements, statements.c.hash == versions.c.manifest)
        .where(versions.c.record == row.record, versions.c.document == row.document)
        .order_by(versions.c.version)
    ).all()
    previous: StatementHash | None = None
    for number, (version, name, jws) in enumerate(found, start=1):
        try:
            body = Signed.parse(jws, Manifest).body
        except ProtocolError:
            return True  # reported with the statements
        if version != number or body.previous != previous or body.author != row.author:
            return False
        previous = name
    return (row.head, row.head_manifest) == (len(found), previous)


def _places(connection: Connection, record: RecordId, document: DocumentId) -> dict[tuple[int, str], CompartmentId]:
    rows = connection.execute(
        select(capsules.c.version, capsules.c.role, capsules.c.compartment).where(
            capsules.c.record == record, capsules.c.document == document
        )
    )
    return {(row.version, row.role): row.compartment for row in rows}


def _newest_filing(connection: Connection, record: RecordId, document: DocumentId) -> CompartmentId | None:
    found: CompartmentId | None = connection.execute(
        select(filings.c.compartment)
        .where(filings.c.record == record, filings.c.document == document)
        .order_by(filings.c.serial.desc())
        .limit(1)
    ).scalar()
    return found
