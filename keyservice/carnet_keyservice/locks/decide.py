"""When a lock is made, issued again, retired. Values in, verdict out."""

from typing import Final

from carnet_keyservice.locks.queries import LockRow, LockStatementRow
from carnet_protocol.limits import MAX_LOCK_STATEMENT_SECONDS
from carnet_server.errors import ConflictError, RefusedError, TooLargeError

REISSUE_SECONDS: Final = 7 * 86_400
"""A lock statement is issued again once it is good for no longer than this."""
MAX_LOCKS: Final = 10_000
"""Versions that one record's lock can ever have."""
STATEMENT_SECONDS: Final = MAX_LOCK_STATEMENT_SECONDS


def is_fresh(statement: LockStatementRow, *, now: int) -> bool:
    """Whether the statement need not be issued again yet."""
    return statement.expires - now > REISSUE_SECONDS


def decide_next_version(newest: LockRow | None) -> int:
    """The version of the next lock. Raises `TooLargeError`."""
    version = 1 if newest is None else newest.lock.version + 1
    if version > MAX_LOCKS:
        raise TooLargeError("locks")
    return version


def decide_retirement(lock: LockRow | None, *, newest: LockRow | None) -> LockRow:
    """The lock to retire: one of the record that is not the newest. Raises `RefusedError` or `ConflictError`."""
    if lock is None or newest is None:
        raise RefusedError("lock_unknown")
    if lock.lock.version >= newest.lock.version:
        raise ConflictError("lock_is_newest")
    return lock
