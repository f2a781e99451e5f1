"""Every row of a record, deleted, and the list of what is to leave the store. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select

from carnet_protocol.ids import RecordId
from carnet_server.database import TEXT
from carnet_storage import ObjectName
from carnet_vault.tables import (
    capsules,
    documents,
    erased_objects,
    locks,
    objects,
    personal_capsules,
    uploads,
    versions,
)

_OBJECTS: Final = insert(erased_objects).from_select(
    ["name", "token"],
    select(objects.c.name, literal(None, TEXT)).where(objects.c.record == bindparam("of")),
)
_UPLOADS: Final = insert(erased_objects).from_select(
    ["name", "token"], select(uploads.c.object, uploads.c.token).where(uploads.c.record == bindparam("of"))
)
_ROWS: Final = tuple(
    delete(table).where(table.c.record == bindparam("of"))
    for table in (capsules, personal_capsules, versions, objects, uploads, documents, locks)
)
"""In an order in which no row refers to one that is gone."""


@dataclass(frozen=True, slots=True)
class ErasedObject:
    """An object that is to leave the store; with a `token`, an upload under way that may have become one."""

    name: ObjectName
    token: str | None


def delete_documents(connection: Connection, record: RecordId) -> None:
    """Delete every document, capsule, object row and upload of `record`; remember what the store is to lose."""
    for statement in (_OBJECTS, _UPLOADS, *_ROWS):
        connection.execute(statement, {"of": record})


def load_erased(connection: Connection, *, limit: int) -> list[ErasedObject]:
    """Some of what is to leave the store."""
    rows = connection.execute(select(erased_objects).limit(limit))
    return [ErasedObject(ObjectName(row.name), row.token) for row in rows]


def find_erased(connection: Connection, names: Sequence[ObjectName]) -> set[str]:
    """Those of `names` that are to leave the store."""
    query = select(erased_objects.c.name).where(erased_objects.c.name.in_([name.text for name in names]))
    return set(connection.execute(query).scalars())


def forget_erased(connection: Connection, gone: Sequence[ErasedObject]) -> None:
    """Forget what has left the store."""
    connection.execute(delete(erased_objects).where(erased_objects.c.name.in_([each.name.text for each in gone])))


def count_erased(connection: Connection) -> int:
    """How much is to leave the store."""
    return connection.execute(select(func.count()).select_from(erased_objects)).scalar_one()
