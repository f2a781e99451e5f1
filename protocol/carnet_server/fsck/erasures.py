"""Erased records: nothing is left of them but the person, the erasure and leaves of the log."""

from collections.abc import Iterator

from sqlalchemy import Connection, MetaData, select

from carnet_server.fsck.finding import Finding
from carnet_server.tables import erasures, event_records


def check_erased(connection: Connection, tables: MetaData) -> Iterator[Finding]:
    """No table of `tables` has a row of an erased record, in a column called `record`.

    What the log and the statements have to say of one is checked there.
    """
    for table in tables.sorted_tables:
        if "record" not in table.c or table.name in {erasures.name, event_records.name}:
            continue
        rows = connection.execute(select(table.c.record).join(erasures, erasures.c.record == table.c.record).distinct())
        for record in rows.scalars():
            yield Finding("row_of_an_erased_record", f"{table.name}, record {record}")
