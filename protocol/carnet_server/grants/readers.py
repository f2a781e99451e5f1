"""To whose keys something may be sealed under a grant: the grantee's, and those of who took over from the grantee."""

from sqlalchemy import Connection

from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_server.directory.queries import Registrars, find_successor
from carnet_server.people.queries import find_person


def find_reader_statements(
    connection: Connection, grantee: IdentityHash, *, pinned: Registrars, now: int
) -> frozenset[StatementHash]:
    """The newest identity statements of `grantee`, and of the successor while a succession is in effect."""
    readers = (grantee, find_successor(connection, grantee, pinned=pinned, now=now))
    people = [find_person(connection, reader) for reader in readers if reader is not None]
    return frozenset(person.current for person in people if person is not None)
