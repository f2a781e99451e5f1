"""The log: gapless, in order of time, each row what its commitment and its leaf say (spec `log.md`)."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Fingerprint, derive_event_commitment
from carnet_server.events.event import derive_leaf_hash
from carnet_server.fsck.finding import Finding
from carnet_server.tables import event_records, events

_ROWS_AT_ONCE = 1000


def check_log(connection: Connection, server: Fingerprint) -> Iterator[Finding]:
    """Every event of the log of `server`.

    1. Indices count from 0 without gaps, and time does not go back.
    2. The commitment is that of salt and body, the leaf hash that of index, time and commitment.
    3. The body is canonical JSON and of the kind of its row.
    4. The event is listed under the record that its body names, and under no other.
    """
    listed: dict[int, set[str]] = {}
    for row in connection.execute(select(event_records)).yield_per(_ROWS_AT_ONCE):
        listed.setdefault(row.position, set()).add(str(row.record))
    next_position, last_time = 0, 0
    for row in connection.execute(select(events).order_by(events.c.position)).yield_per(_ROWS_AT_ONCE):
        where = f"event {row.position}"
        # 1
        if row.position != next_position:
            yield Finding("log_has_a_gap", f"before {where}")
        if row.time < last_time:
            yield Finding("log_goes_back_in_time", where)
        next_position, last_time = row.position + 1, row.time
        # 2
        commitment = derive_event_commitment(row.salt, row.body)
        if row.commitment != commitment:
            yield Finding("commitment_of_another_body", where)
        if row.leaf_hash != derive_leaf_hash(
            server=server, index=row.position, time=row.time, commitment=row.commitment
        ):
            yield Finding("leaf_of_another_event", where)
        # 3
        try:
            body = parse_canonical_json(row.body)
        except MalformedError:
            yield Finding("body_not_canonical", where)
            continue
        if body.get("kind") != row.kind:
            yield Finding("body_of_another_kind", where)
        # 4
        record = body.get("record")
        if listed.pop(row.position, set()) != (set() if record is None else {record}):
            yield Finding("event_listed_elsewhere", where)
    for position in sorted(listed):
        yield Finding("listed_event_missing", f"event {position}")
