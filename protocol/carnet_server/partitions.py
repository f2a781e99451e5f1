"""Tables that PostgreSQL keeps in partitions by record; on SQLite each is one plain table.

A table is declared with `PARTITION_KEY`, and the revision that makes it makes the partitions too. Which one a
row is in follows from its record alone, so whatever names the record touches one of them. PostgreSQL wants the record
in each unique constraint of such a table: the module of the tables says what keeps the promise.

`find_partition_differences` is the part of the comparison of tables that Alembic knows nothing of.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, MetaData, Table, text

PARTITIONS: Final = 16
"""A power of two, so that one partition at a time can be split into two; `vault/POSTGRESQL.md` says why not more."""

PARTITION_KEY: Final = "HASH (record)"
"""`postgresql_partition_by` of a `Table`."""

_KEYS: Final = text(
    "SELECT relname, pg_get_partkeydef(oid) FROM pg_class"
    " WHERE relkind = 'p' AND relnamespace = current_schema()::regnamespace"
)
_BOUNDS: Final = text(
    "SELECT child.relname, parent.relname, pg_get_expr(child.relpartbound, child.oid), child.relkind::text"
    " FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent"
    " WHERE child.relispartition AND child.relkind NOT IN ('i', 'I')"
    " AND parent.relnamespace = current_schema()::regnamespace"
)
# What somebody gave to one partition by hand: an index that its table has not, or a constraint of its own.
_OWN: Final = text(
    "SELECT child.relname, own.relname FROM pg_class child"
    " JOIN pg_index ON indrelid = child.oid JOIN pg_class own ON own.oid = indexrelid"
    " WHERE child.relispartition AND child.relkind = 'r' AND NOT own.relispartition"
    " AND child.relnamespace = current_schema()::regnamespace"
    " UNION ALL"
    " SELECT child.relname, conname FROM pg_class child JOIN pg_constraint ON conrelid = child.oid"
    " WHERE child.relispartition AND child.relkind = 'r' AND contype IN ('f', 'c', 'x') AND conparentid = 0"
    " AND child.relnamespace = current_schema()::regnamespace"
)
# An index of the whole that lacks one of a partition serves nobody and holds nothing.
_INVALID: Final = text(
    "SELECT own.relname FROM pg_index JOIN pg_class own ON own.oid = indexrelid"
    " WHERE NOT indisvalid AND own.relnamespace = current_schema()::regnamespace"
)


def name_partitions(table: str) -> list[str]:
    """The names of the partitions of `table`, by remainder."""
    return [f"{table}_p{remainder:02}" for remainder in range(PARTITIONS)]


def list_partitions(connection: Connection) -> frozenset[str]:
    """The name of every partition in the database, of whatever table."""
    if connection.dialect.name != "postgresql":
        return frozenset()
    return frozenset(row[0] for row in connection.execute(_BOUNDS))


def find_partition_differences(connection: Connection, metadata: MetaData) -> Iterator[tuple[str, str]]:
    """What is wrong with partitions, each with its name.

    1. Each table is partitioned as it is declared to be, or not at all.
    2. It has each of its partitions, in the bounds that go with the name, and no other.
    3. No partition has an index or a constraint of its own, and no index lacks a partition's.
    """
    if connection.dialect.name != "postgresql":
        return
    # 1
    keys = {row[0]: row[1] for row in connection.execute(_KEYS)}
    wanted = {table.name: key for table in metadata.tables.values() if (key := _declared_key(table)) is not None}
    for name in sorted(keys.keys() | wanted.keys()):
        if keys.get(name) != wanted.get(name):
            yield "partition_key", name
    # 2
    found = {row[0]: tuple(row[1:]) for row in connection.execute(_BOUNDS)}
    expected = {
        partition: (table, f"FOR VALUES WITH {_bound(remainder)}", "r")
        for table in wanted
        for remainder, partition in enumerate(name_partitions(table))
    }
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            yield "partition", name
    # 3
    for partition, own in connection.execute(_OWN):
        yield "partition_of_another_form", f"{partition}.{own}"
    for (index,) in connection.execute(_INVALID):
        yield "index_invalid", index


def is_compared(partitions: frozenset[str], item: Any, name: str | None, kind: str) -> bool:  # noqa: ANN401  Alembic's
    """Whether Alembic compares `item`: partitions are not its business, nor the constraints that refer to them.

    For each partition of a table that is referred to, PostgreSQL keeps a second foreign key beside the one that was
    declared; it makes and removes them itself.
    """
    if kind == "table":
        return name not in partitions
    if kind == "foreign_key_constraint":
        return _referred(item.elements) not in partitions
    return True


def _referred(elements: Sequence[Any]) -> str:
    return str(elements[0].target_fullname).split(".")[-2]


def _declared_key(table: Table) -> str | None:
    key: str | None = table.dialect_options["postgresql"]["partition_by"]
    return key


def _bound(remainder: int) -> str:
    return f"(modulus {PARTITIONS}, remainder {remainder})"
