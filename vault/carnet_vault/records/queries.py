"""Documents that statements about a record move or remove. Never commits."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from carnet_protocol.ids import CompartmentId, DocumentId, RecordId
from carnet_vault.tables import documents, objects, versions

_THIS: Final = (documents.c.record == bindparam("of"), documents.c.document == bindparam("which"))
_FILE: Final = update(documents).where(*_THIS).values(compartment=bindparam("to"))
_LIST: Final = update(documents).where(*_THIS).values(listed=bindparam("shown"))
_REMOVE: Final = update(documents).where(*_THIS).values(tombstoned_at=bindparam("at"))
_RETIRE: Final = (
    update(objects)
    .where(
        objects.c.retired_at.is_(None),
        objects.c.name.in_(
            select(versions.c.object).where(
                versions.c.record == bindparam("of"), versions.c.document == bindparam("which")
            )
        ),
    )
    .values(retired_at=bindparam("at"))
)


def file_document(connection: Connection, record: RecordId, document: DocumentId, to: CompartmentId) -> None:
    """Note that `document` is filed in `to`."""
    connection.execute(_FILE, {"of": record, "which": document, "to": to})


def list_versions(
    connection: Connection, record: RecordId, touched: Collection[DocumentId], listed: Mapping[DocumentId, int]
) -> None:
    """Note which version of each document in `touched` its readers see: none unless `listed` says."""
    if touched:
        connection.execute(
            _LIST, [{"of": record, "which": document, "shown": listed.get(document)} for document in touched]
        )


def remove_document(connection: Connection, record: RecordId, document: DocumentId, *, now: int) -> None:
    """Take `document` out of every list at once; its objects are retired and go after their grace."""
    connection.execute(_REMOVE, {"of": record, "which": document, "at": now})
    connection.execute(_RETIRE, {"of": record, "which": document, "at": now})
