"""Under which lock statements capsules may be made now. Values in, verdict out."""

from functools import lru_cache

from carnet_protocol.ids import Fingerprint, RecordId
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Lock, Signed
from carnet_server.errors import InvalidStatementError, StaleError
from carnet_server.statements.parse import parse_statement
from carnet_vault.locks.queries import LockRow


@lru_cache(maxsize=1024)
def parse_lock(text: str, *, record: RecordId, keyservice: Fingerprint) -> Signed[Lock]:
    """The lock statement for `record` by `keyservice`, not yet verified. Raises `InvalidStatementError`.

    Remembered, for every deposit of a month brings the same one.
    """
    lock: Signed[Lock] = parse_statement(text, [Lock])
    require_own(lock, record=record, keyservice=keyservice)
    return lock


def require_own(lock: Signed[Lock], *, record: RecordId, keyservice: Fingerprint) -> None:
    """Refuse a lock statement of another record or key service. Raises `InvalidStatementError`."""
    if lock.body.record != record or lock.body.keyservice != keyservice:
        raise InvalidStatementError("lock_of_another")


def require_current(lock: Lock, *, highest: int, now: int) -> None:
    """Refuse `lock` unless capsules may be made under it: of the highest version, in its time. Raises `StaleError`."""
    if now < lock.issued_at - CLOCK_SKEW_SECONDS:
        raise StaleError("lock_from_the_future")
    require_good(LockRow(lock.version, lock.expires), highest=highest, now=now)


def require_good(lock: LockRow | None, *, highest: int, now: int) -> None:
    """Refuse a lock statement that is unknown, superseded or expired. Raises `StaleError`."""
    if lock is None:
        raise StaleError("lock_unknown")
    if lock.version < highest:
        raise StaleError("lock_superseded")
    if now >= lock.expires:
        raise StaleError("lock_expired")
