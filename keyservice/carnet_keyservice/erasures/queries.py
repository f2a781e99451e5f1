"""Every key of a record, deleted. Never commits."""

from typing import Final

from sqlalchemy import Connection, bindparam, delete

from carnet_keyservice.tables import job_skips, lock_seals, lock_statements, record_locks, sealed_keys
from carnet_protocol.ids import RecordId

_KEYS: Final = tuple(
    delete(table).where(table.c.record == bindparam("of"))
    for table in (sealed_keys, lock_statements, lock_seals, record_locks, job_skips)
)
"""In an order in which no row refers to one that is gone."""


def delete_keys(connection: Connection, record: RecordId) -> None:
    """Delete the record's locks with every seal of their seeds, and every sealed compartment key.

    No rotation that read a lock before puts a seal back: it writes one beside another, and a seal refers to its lock.

    Recovery statements stay: what they hold sealed is the person's account key, which opens nothing of the record any
    more, and without which nobody could finish an erasure that one server has not heard of.
    """
    for deletion in _KEYS:
        connection.execute(deletion, {"of": record})
