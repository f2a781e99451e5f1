"""The log in the database. Rows are appended, never changed; the writer's transaction makes indices gapless."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select

from carnet_protocol.api import Event, EventsPage
from carnet_protocol.ids import Fingerprint, RecordId, derive_event_commitment
from carnet_protocol.limits import MAX_PAGE
from carnet_server.clock import require_clock
from carnet_server.events.event import SALT_SIZE, LoggedEvent, NewEvent, derive_leaf_hash
from carnet_server.prepared import Prepared, run_together
from carnet_server.tables import event_records, events

_NEWEST = Prepared(select(events.c.position, events.c.time).order_by(events.c.position.desc()).limit(1))
_INSERT = Prepared(insert(events))
_INSERT_RECORD = Prepared(insert(event_records))
_BY_INDEX = select(events.c.position, events.c.time, events.c.leaf_hash).where(events.c.position == bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Newest:
    """Where the log ends."""

    index: int
    time: int


def append_event(
    connection: Connection,
    event: NewEvent,
    *,
    server: Fingerprint,
    now: int,
    newest: Newest | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> LoggedEvent:
    """Append `event` in the writer's transaction, and return where it stands.

    `newest` is what `find_newest` gave in the same transaction, if nothing was logged since; else it is asked here.
    The log's time never goes back: within the tolerance of `clock.py` an event takes the time of the one before it.
    Raises `ClockBehindError` beyond.
    """
    newest = newest or find_newest(connection)
    require_clock(now, last_committed=newest.time)
    index, time = newest.index + 1, max(now, newest.time)
    salt, body = random(SALT_SIZE), event.body()
    commitment = derive_event_commitment(salt, body)
    leaf_hash = derive_leaf_hash(server=server, index=index, time=time, commitment=commitment)
    rows = [
        _INSERT.asking(
            position=index,
            time=time,
            kind=event.kind,
            salt=salt,
            commitment=commitment.raw,
            leaf_hash=leaf_hash.raw,
            body=body,
        )
    ]
    if event.record is not None:
        rows.append(_INSERT_RECORD.asking(record=event.record.raw, position=index))
    run_together(connection, *rows)
    return LoggedEvent(index, time, leaf_hash)


def find_event(connection: Connection, index: int) -> LoggedEvent:
    """The event at `index`, which some row refers to."""
    row = connection.execute(_BY_INDEX, {"wanted": index}).one()
    return LoggedEvent(row.position, row.time, row.leaf_hash)


def find_newest(connection: Connection) -> Newest:
    """The newest event; index -1 and time 0 in an empty log."""
    newest = _NEWEST.first(connection)
    return Newest(-1, 0) if newest is None else Newest(*newest)


def find_newest_time(connection: Connection) -> int:
    """The time of the newest event, 0 in an empty log."""
    return find_newest(connection).time


def load_page(connection: Connection, record: RecordId, *, after: int, limit: int = MAX_PAGE) -> EventsPage:
    """The first `limit` events that concern `record` with an index above `after`."""
    rows = connection.execute(
        select(events)
        .join(event_records, event_records.c.position == events.c.position)
        .where(event_records.c.record == record, event_records.c.position > after)
        .order_by(event_records.c.position)
        .limit(limit + 1)
    ).all()
    page = tuple(
        Event(index=row.position, time=row.time, commitment=row.commitment, salt=row.salt, body=row.body)
        for row in rows[:limit]
    )
    return EventsPage(events=page, next=str(page[-1].index) if len(rows) > limit else None)


def count_events(connection: Connection) -> int:
    """How many events the log has."""
    return find_newest(connection).index + 1
