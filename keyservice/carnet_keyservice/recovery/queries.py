"""Recovery statements in the database. Never commits."""

from sqlalchemy import Connection, exists, insert, select

from carnet_keyservice.tables import recoveries
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.statements import Recovery, Signed
from carnet_server.statements.queries import load_texts


def has_recovery(connection: Connection, identity_statement: StatementHash) -> bool:
    """Whether the account key of `identity_statement` can be recovered."""
    return bool(
        connection.execute(select(exists().where(recoveries.c.identity_statement == identity_statement))).scalar()
    )


def insert_recovery(connection: Connection, signed: Signed[Recovery]) -> None:
    """Keep the recovery statement `signed`."""
    body = signed.body
    connection.execute(
        insert(recoveries),
        {"hash": signed.hash, "identity": body.identity, "identity_statement": body.identity_statement},
    )


def load_recoveries(connection: Connection, identity: IdentityHash) -> tuple[str, ...]:
    """Every recovery statement of `identity`, oldest first."""
    return load_texts(connection, recoveries.c.hash, recoveries.c.identity == identity)
