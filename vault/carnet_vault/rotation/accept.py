"""What the key service brings, in the writer's transaction: lock statements of records, and swaps of outer locks.

One record holds up no other: what cannot be done in one is its outcome, and the others are done.
"""

import contextlib

from carnet_protocol.api import LockStanding, RecordSwapped, RecordSwaps, ShownLock, SwapOutcome
from carnet_protocol.ids import Fingerprint
from carnet_protocol.statements import Lock, Signed
from carnet_server.deployment import Moment
from carnet_server.erasures.queries import find_erasure
from carnet_server.errors import StaleError
from carnet_server.events import NewEvent
from carnet_server.people.queries import find_person
from carnet_vault.locks.accept import accept_lock
from carnet_vault.locks.queries import find_highest_lock, load_locks
from carnet_vault.rotation.decide import decide_standing, explain_refused
from carnet_vault.rotation.queries import find_standing, swap_outer_locks


def show_lock(moment: Moment, signed: Signed[Lock]) -> ShownLock:
    """Keep a lock statement as the patient's client would have it kept, if it is good for sealing now.

    Raises `InvalidStatementError` if the key service did not sign it.
    """
    record = signed.body.record
    is_erased = find_erasure(moment.connection, record) is not None
    if is_erased or find_person(moment.connection, record.patient()) is None:
        return ShownLock(record=record, standing=LockStanding.RECORD_UNKNOWN, highest=0)
    with contextlib.suppress(StaleError):  # how it stands is said below
        accept_lock(moment, signed)
    highest = find_highest_lock(moment.connection, record)
    known = load_locks(moment.connection, record, [signed.hash])
    standing = decide_standing(known.get(signed.hash), highest=highest, now=moment.now)
    if signed.body.version < highest:
        standing = LockStanding.SUPERSEDED
    return ShownLock(record=record, standing=standing, highest=highest)


def swap_locks(moment: Moment, asked: RecordSwaps, *, by: Fingerprint) -> RecordSwapped:
    """Make what can be made of the swaps in one record, whose form was checked, with one event that counts them.

    Only to a lock statement that was shown, has not expired and is of the highest version seen. A swap is made where
    what it replaces stands, and changes the outer lock alone.
    """
    record, lock = asked.record, asked.lock_statement
    known = load_locks(moment.connection, record, [lock]).get(lock)
    highest = find_highest_lock(moment.connection, record)
    standing = decide_standing(known, highest=highest, now=moment.now)
    if standing is not LockStanding.CURRENT:
        return RecordSwapped(record=record, standing=standing, outcomes=(), event=None)
    is_made = swap_outer_locks(moment.connection, record, lock, asked.swaps)
    refused = [swap for swap, made in zip(asked.swaps, is_made, strict=True) if not made]
    reasons = iter(explain_refused(refused, find_standing(moment.connection, record, refused)))
    outcomes = tuple(SwapOutcome.SWAPPED if made else next(reasons) for made in is_made)
    event = _log(moment, asked, outcomes.count(SwapOutcome.SWAPPED), version=highest, by=by)
    return RecordSwapped(record=record, standing=standing, outcomes=outcomes, event=event)


def _log(moment: Moment, asked: RecordSwaps, swapped: int, *, version: int, by: Fingerprint) -> int | None:
    if not swapped:
        return None
    event = moment.log(
        NewEvent(
            "capsules.rotated",
            record=asked.record,
            by=by,
            statement=asked.lock_statement,
            detail={"capsules": swapped, "version": version},
        )
    )
    return event.index
