"""Recovery statements in the database. Never commits."""

from sqlalchemy import Connection, bindparam, exists, insert, literal, select

from carnet_keyservice.tables import recoveries
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.statements import Recovery, Signed
from carnet_server.events import LoggedEvent
from carnet_server.people.queries import PersonRow, make_key_look_up
from carnet_server.principals import PrincipalKind
from carnet_server.statements.queries import load_texts
from carnet_server.tables import people

# A root key signs requests for the person of the newest recovery statement that it signed, while that is for their
# newest identity statement. To name a root key in an identity statement is no proof of holding it: by that alone nobody
# is found here, and however many do so, one row is looked at.
_NEWEST_SLOT = (
    select(recoveries.c.hash)
    .where(recoveries.c.root_fingerprint == bindparam("name"))
    .order_by(recoveries.c.event.desc())
    .limit(1)
    .scalar_subquery()
)
_ROOT_KEY = (
    select(people.c.root_key, people.c.identity, literal(PrincipalKind.ROOT.value))
    .join(recoveries, recoveries.c.identity_statement == people.c.current)
    .where(recoveries.c.hash == _NEWEST_SLOT, recoveries.c.identity == people.c.identity)
)
find_key = make_key_look_up(_ROOT_KEY)
"""The key in force that a request names: of a device, an officer, or whoever may recover with their root key."""


def has_recovery(connection: Connection, identity_statement: StatementHash) -> bool:
    """Whether the account key of `identity_statement` can be recovered."""
    return bool(
        connection.execute(select(exists().where(recoveries.c.identity_statement == identity_statement))).scalar()
    )


def insert_recovery(connection: Connection, person: PersonRow, signed: Signed[Recovery], event: LoggedEvent) -> None:
    """Keep the recovery statement `signed`, which `event` accepted from the root key of `person`."""
    body = signed.body
    connection.execute(
        insert(recoveries),
        {
            "hash": signed.hash,
            "identity": body.identity,
            "identity_statement": body.identity_statement,
            "root_fingerprint": person.root_key.fingerprint(),
            "event": event.index,
        },
    )


def load_recoveries(connection: Connection, identity: IdentityHash) -> tuple[str, ...]:
    """Every recovery statement of `identity`, oldest first."""
    return load_texts(connection, recoveries.c.hash, recoveries.c.identity == identity)
