"""Lock statements in the database. Never commits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Lock, Signed
from carnet_server.prepared import Prepared
from carnet_vault.tables import locks


@dataclass(frozen=True, slots=True)
class LockRow:
    """A lock statement that was accepted here."""

    version: int
    expires: int


_HIGHEST: Final = Prepared(select(func.max(locks.c.version)).where(locks.c.record == bindparam("of")))
_INSERT: Final = insert(locks)


def find_highest_lock(connection: Connection, record: RecordId) -> int:
    """The highest lock version of `record` that was seen here, 0 if none was."""
    found = _HIGHEST.first(connection, of=record.raw)
    return 0 if found is None or found[0] is None else int(found[0])


def load_locks(
    connection: Connection, record: RecordId, wanted: Iterable[StatementHash]
) -> dict[StatementHash, LockRow]:
    """Those of the lock statements `wanted` that were accepted for `record`."""
    rows = connection.execute(
        select(locks.c.hash, locks.c.version, locks.c.expires).where(
            locks.c.record == record, locks.c.hash.in_(set(wanted))
        )
    )
    return {row.hash: LockRow(row.version, row.expires) for row in rows}


def insert_lock(connection: Connection, signed: Signed[Lock]) -> None:
    """Keep the lock statement `signed`."""
    body = signed.body
    connection.execute(
        _INSERT, {"hash": signed.hash, "record": body.record, "version": body.version, "expires": body.expires}
    )
