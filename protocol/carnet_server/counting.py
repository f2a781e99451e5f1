"""How many rows a table has, for people who want to know roughly how much there is.

PostgreSQL counts by reading: a hundred million rows take it longer than anyone waits. Beyond `EXACT_UNTIL` rows its own
statistics answer, which autovacuum keeps to within some percent. Nothing decides by these numbers.
"""

from typing import Final

from sqlalchemy import Connection, Table, func, select, text

EXACT_UNTIL: Final = 1_000_000

_ESTIMATE: Final = text(
    "SELECT coalesce((SELECT sum(greatest(leaf.reltuples, 0)) FROM pg_partition_tree(whole.oid::regclass) tree"
    " JOIN pg_class leaf ON leaf.oid = tree.relid WHERE tree.isleaf), whole.reltuples)::bigint"
    " FROM pg_class whole WHERE whole.oid = CAST(:name AS regclass)"
)


def count_rows(connection: Connection, table: Table, *, exact_until: int = EXACT_UNTIL) -> int:
    """How many rows `table` has: exactly up to `exact_until`, beyond that as PostgreSQL's statistics have it."""
    if connection.dialect.name == "postgresql":
        estimate: int = connection.execute(_ESTIMATE, {"name": table.name}).scalar_one()
        if estimate > exact_until:
            return estimate
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
