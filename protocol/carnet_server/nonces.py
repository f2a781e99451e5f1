"""Nonces of requests that write: each is a unique row of the very transaction that its request authorises.

The row stays even where the request is then refused, and longer than the request could be sent again; it alone decides.
The newest row also says how late the database believes it is (`clock.py`): were the clock set back, the window would
admit requests whose rows are gone.

Requests that only read leave no row; see `replays.py`.
"""

from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from carnet_protocol.ids import Nonce
from carnet_protocol.limits import REQUEST_WINDOW_SECONDS
from carnet_protocol.requests import KeyId, VerifiedRequest
from carnet_server.clock import CLOCK_TOLERANCE_SECONDS
from carnet_server.database import INTEGER, Identifier
from carnet_server.errors import UnauthenticatedError
from carnet_server.prepared import Prepared

# A request made 60 s ahead of this clock can be sent until 120 s after it was first seen; the rest is margin.
NONCE_KEEP_SECONDS: Final = 2 * REQUEST_WINDOW_SECONDS + CLOCK_TOLERANCE_SECONDS + 120


def make_nonces_table(metadata: MetaData) -> Table:
    """The table `nonces` of a server."""
    return Table(
        "nonces",
        metadata,
        Column("key_id", Identifier(KeyId), primary_key=True),
        Column("nonce", Identifier(Nonce), primary_key=True),
        Column("seen_at", INTEGER, nullable=False, index=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


class Nonces:
    """The table's rules. One per program; `spend` is called by the writer's thread alone."""

    def __init__(self, table: Table) -> None:
        self._insert = {
            "postgresql": Prepared(postgresql.insert(table).on_conflict_do_nothing().returning(table.c.seen_at)),
            "sqlite": Prepared(sqlite.insert(table).on_conflict_do_nothing().returning(table.c.seen_at)),
        }
        self._newest = select(func.max(table.c.seen_at))
        self._prune = delete(table)
        self._seen_at = table.c.seen_at
        self._pruned_at = -1

    def newest(self, connection: Connection) -> int | None:
        """When the newest nonce was spent."""
        return connection.execute(self._newest).scalar()

    def spend(self, connection: Connection, request: VerifiedRequest, now: int) -> None:
        """Make the nonce of `request` unusable from this transaction on; drop old rows when a new second begins.

        Raises `UnauthenticatedError` for a nonce that was spent before.
        """
        if now != self._pruned_at:
            connection.execute(self._prune.where(self._seen_at < now - NONCE_KEEP_SECONDS))
            self._pruned_at = now
        # Asked for a row: the count of rows is not kept for every driver.
        insert = self._insert[connection.dialect.name]
        if insert.first(connection, key_id=request.key_id.raw, nonce=request.nonce.raw, seen_at=now) is None:
            raise UnauthenticatedError("nonce_spent")
