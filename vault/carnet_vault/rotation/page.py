"""A page of the capsules that are not under the newest lock of their record, of several records. Never commits."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection

from carnet_protocol.api import OldCapsule, OldCapsulesPage
from carnet_protocol.ids import RecordId
from carnet_vault.capsules.decide import Place
from carnet_vault.rotation.cursor import Cursor
from carnet_vault.rotation.queries import UsedLock, count_used_locks, load_under

_RECORDS_AT_ONCE: Final = 16


def load_old(
    connection: Connection, records: Sequence[RecordId], *, after: Cursor | None, limit: int
) -> OldCapsulesPage:
    """At most `limit` capsules of `records`, which ascend, from behind `after`.

    In the order of records, of lock statements within, of places within those; personal ones behind the others.
    """
    found: list[OldCapsule] = []
    for record, lock in _find_old_locks(connection, records, after):
        start = after.place if after is not None and _is_at(after, record, lock) else None
        found += load_under(connection, record, lock, after=start, limit=limit + 1 - len(found))
        if len(found) > limit:
            break
    page = tuple(found[:limit])
    is_last = len(found) <= limit
    return OldCapsulesPage.model_construct(capsules=page, next=None if is_last else str(_cursor(page[-1])))


def _find_old_locks(
    connection: Connection, records: Sequence[RecordId], after: Cursor | None
) -> Iterator[tuple[RecordId, UsedLock]]:
    """What is used and not the newest of its record, in order, from where `after` is on."""
    left = [record for record in records if after is None or not record < after.record]
    for start in range(0, len(left), _RECORDS_AT_ONCE):
        some = left[start : start + _RECORDS_AT_ONCE]
        for record, (highest, used) in zip(some, count_used_locks(connection, some), strict=True):
            for lock in sorted(used, key=_order):
                is_behind = after is None or record != after.record or _order(lock) >= _order_of(after)
                if lock.version < highest and is_behind:
                    yield record, lock


def _order(lock: UsedLock) -> tuple[bytes, bool]:
    return lock.statement.raw, lock.is_personal


def _order_of(cursor: Cursor) -> tuple[bytes, bool]:
    return cursor.lock.raw, cursor.place.grant is not None


def _is_at(cursor: Cursor, record: RecordId, lock: UsedLock) -> bool:
    return (cursor.record, *_order_of(cursor)) == (record, *_order(lock))


def _cursor(last: OldCapsule) -> Cursor:
    return Cursor(last.record, last.entry.capsule.lock_statement, Place.of(last.entry.capsule))
