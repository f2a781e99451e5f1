"""The table of accepted statements. Never commits."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select

from carnet_protocol.ids import StatementHash
from carnet_server.events.event import LoggedEvent
from carnet_server.statements.parse import AnyStatement
from carnet_server.tables import events, statements

_ACCEPTANCE = (
    select(events.c.position, events.c.time, events.c.leaf_hash)
    .join(events, events.c.position == statements.c.event)
    .where(statements.c.hash == bindparam("wanted"))
)
_ACCEPTANCES = (
    select(statements.c.hash, events.c.position, events.c.time, events.c.leaf_hash)
    .join(events, events.c.position == statements.c.event)
    .where(statements.c.hash.in_(bindparam("wanted", expanding=True)))
)
_TEXT = select(statements.c.jws).where(statements.c.hash == bindparam("wanted"))
_INSERT = insert(statements)


def find_acceptance(connection: Connection, signed: AnyStatement) -> LoggedEvent | None:
    """The event that accepted this very statement before, if one did: what makes sending it again harmless."""
    row = connection.execute(_ACCEPTANCE, {"wanted": signed.hash}).first()
    return None if row is None else LoggedEvent(row.position, row.time, row.leaf_hash)


def find_acceptances(connection: Connection, wanted: Sequence[StatementHash]) -> dict[StatementHash, LoggedEvent]:
    """The event that accepted each of `wanted`, of those that were accepted."""
    rows = connection.execute(_ACCEPTANCES, {"wanted": wanted})
    return {row.hash: LoggedEvent(row.position, row.time, row.leaf_hash) for row in rows}


def store_statement(connection: Connection, signed: AnyStatement, *, event: LoggedEvent, now: int) -> None:
    """Keep `signed` as accepted by `event`."""
    connection.execute(
        _INSERT,
        {
            "hash": signed.hash,
            "kind": signed.body.KIND,
            "jws": signed.text,
            "received_at": now,
            "event": event.index,
        },
    )


def load_texts(
    connection: Connection, hashes: ColumnElement[StatementHash], *conditions: ColumnElement[bool]
) -> tuple[str, ...]:
    """The statements whose hash is the column `hashes` of a noun's table where `conditions` hold, as accepted."""
    rows = connection.execute(
        select(statements.c.jws)
        .join(hashes.table, hashes == statements.c.hash)
        .where(*conditions)
        .order_by(statements.c.event)
    )
    return tuple(rows.scalars())


def load_of_kind(connection: Connection, kind: str) -> list[str]:
    """Every accepted statement of a kind that is rare: it looks at all that there are."""
    return list(connection.execute(select(statements.c.jws).where(statements.c.kind == kind)).scalars())


def load_text(connection: Connection, statement: StatementHash) -> str | None:
    """The accepted statement called `statement`."""
    return connection.execute(_TEXT, {"wanted": statement}).scalar()
