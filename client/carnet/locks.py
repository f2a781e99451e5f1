"""Record locks: the lock statement to seal under (spec `statements.md`, "Records").

A lock statement is good for sealing until it expires; the key service issues it again before that.
"""

from typing import Final

from carnet.access import RecordAccess, verify_lock
from carnet.errors import VerificationError
from carnet.receipts import verify_receipts
from carnet.session import Session
from carnet_protocol.api import Accepted, LockView
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Lock, Signed

_RETIRED: Final = "retired-locks"


def fresh_lock(session: Session, access: RecordAccess) -> Signed[Lock]:
    """The lock of `access` if it is still good for sealing, else the newest one, fetched.

    Raises a `DataError` or a `TransportError`.
    """
    lock = access.lock
    if lock is None or session.clock() + 2 * CLOCK_SKEW_SECONDS >= lock.body.expires:
        lock = fetch_lock(session, access.record)
    session.require_suite(lock.body.suite, "the keys of the record lock")
    return lock


def fetch_lock(session: Session, record: RecordId) -> Signed[Lock]:
    """The newest lock statement of `record`, verified, good for sealing now.

    Raises a `DataError` or a `TransportError`.
    """
    view = session.keyservice.get(f"/v1/records/{record}/lock", LockView)
    return accept_lock(session, view.lock, record)


def accept_lock(session: Session, text: str, record: RecordId) -> Signed[Lock]:
    """The lock statement in `text`: verified, of no lower version than seen before, good now. Raises a `DataError`."""
    lock = verify_lock(session, text, record)
    session.pins.check_lock(lock)
    if not lock.body.issued_at - CLOCK_SKEW_SECONDS <= session.clock() < lock.body.expires:
        raise VerificationError("the key service shows a record lock that is out of date: nothing was sealed under it")
    return lock


def show_lock(session: Session, lock: Signed[Lock]) -> None:
    """Let the vault know of `lock`, verified, before capsules under it are swapped in. Raises a `TransportError`."""
    path = f"/v1/records/{lock.body.record}/locks"
    accepted = session.vault.post(path, LockView(lock=lock.text), Accepted)
    verify_receipts(accepted.receipts, session.vault, count=1)


def make_lock(session: Session, record: RecordId, *, after: int) -> Signed[Lock]:
    """A lock of a higher version than `after`, made unless there is one, and shown to the vault.

    Raises a `DataError` or a `TransportError`.
    """
    lock = fetch_lock(session, record)
    if lock.body.version <= after:
        view = session.keyservice.post_once(f"/v1/records/{record}/locks", None, LockView)
        lock = accept_lock(session, view.lock, record)
        if lock.body.version <= after:
            raise VerificationError("the key service did not make a new record lock: ask its operator")
    session.require_suite(lock.body.suite, "the keys of the record lock")
    show_lock(session, lock)
    return lock


def retire_older_locks(session: Session, lock: Signed[Lock]) -> None:
    """Have nothing more released under any version before that of `lock`. Raises a `TransportError`.

    Remembers how far this client got, so that each version is retired once.
    """
    known = session.state.load(_RETIRED)
    first = int(str(known["before"])) if known is not None else 1
    for version in range(first, lock.body.version):
        path = f"/v1/records/{lock.body.record}/locks/{version}/retirement"
        accepted = session.keyservice.post(path, None, Accepted)
        verify_receipts(accepted.receipts, session.keyservice, count=1)
    session.state.store(_RETIRED, {"format": "carnet.retired-locks.v1", "before": lock.body.version})
