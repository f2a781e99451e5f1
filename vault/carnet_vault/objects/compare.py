"""Rows and store side by side, name by name, while both go on changing."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, select

from carnet_server.database import reader
from carnet_storage import InvalidName, ObjectName, Store
from carnet_vault.erasures.queries import find_erased
from carnet_vault.tables import objects, uploads


@dataclass(frozen=True, slots=True)
class Pair:
    """What rows and store have under one name.

    `has_upload` says that a deposit may still take the object, `is_erased` that it is to go with its record.
    """

    name: ObjectName
    row_size: int | None
    has_upload: bool
    is_erased: bool
    stored_size: int | None


def compare_objects(engine: Engine, store: Store) -> Iterator[Pair]:
    """Every name that has a row or an object, in order, in bounded memory; of rows with no name of ours, none.

    A page of the store is read before the rows of the same range: so an object without any row is litter, for rows of
    uploads come before their objects. A row without an object may just be newer than the page: ask the store again.
    """
    after: ObjectName | None = None
    while True:
        page = store.list_objects(after=after)
        until = page[-1].name if page else None
        with reader(engine) as connection:
            rows = _range(connection, objects, objects.c.name.name, after, until)
            begun = _range(connection, uploads, uploads.c.object.name, after, until)
            erased = find_erased(connection, [item.name for item in page])
        stored = {item.name.text: item.size_bytes for item in page}
        for name in sorted({*filter(is_object_name, rows), *stored}):
            yield Pair(ObjectName(name), rows.get(name), name in begun, name in erased, stored.get(name))
        if until is None:
            return
        after = until


def is_object_name(text: str) -> bool:
    """Whether a store can have an object of this name."""
    try:
        ObjectName(text)
    except InvalidName:
        return False
    return True


def _range(
    connection: Connection, table: Table, name: str, after: ObjectName | None, until: ObjectName | None
) -> dict[str, int]:
    """Sizes by name, of the rows behind `after` and up to `until`, in the order of the store."""
    column = table.c[name]
    query = select(column, table.c.size)
    if after is not None:
        query = query.where(column > after.text)
    if until is not None:
        query = query.where(column <= until.text)
    return {row[0]: row[1] for row in connection.execute(query)}
