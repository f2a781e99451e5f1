"""The log: gapless, in order of time, each row what its commitment and its leaf say (spec `log.md`).

Of an erased record's events there are leaves alone. `_Pruned` counts them against what the erasures say that they took,
so that no other event loses its body unnoticed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import Fingerprint, derive_event_commitment
from carnet_protocol.statements import Erasure
from carnet_server.erasures.queries import KINDS_OF_A_PERSON
from carnet_server.events.event import derive_leaf_hash
from carnet_server.fsck.finding import Finding
from carnet_server.tables import erasures, event_records, events

_ROWS_AT_ONCE: Final = 1000
_ERASED: Final = f"statement.{Erasure.KIND}"


def check_log(connection: Connection, server: Fingerprint) -> Iterator[Finding]:
    """Every event of the log of `server`.

    1. Indices count from 0 without gaps, and time does not go back.
    2. The leaf hash is that of index, time and commitment.
    3. The event has kind, salt and body, or none of them, and then an erasure took them.
    4. The commitment is that of salt and body.
    5. The body is canonical JSON and of the kind of its row.
    6. The event is listed under the record that its body names, and under no other.
    7. Of an erased record there are events of the person, and the erasure.
    """
    listed: dict[int, set[str]] = {}
    for row in connection.execute(select(event_records)).yield_per(_ROWS_AT_ONCE):
        listed.setdefault(row.position, set()).add(str(row.record))
    pruned = _Pruned.load(connection)
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
        if row.leaf_hash != derive_leaf_hash(
            server=server, index=row.position, time=row.time, commitment=row.commitment
        ):
            yield Finding("leaf_of_another_event", where)
        # 3
        if None in (row.kind, row.salt, row.body):
            yield from pruned.check(row, where)
            continue
        # 4, 5
        found, body = _read(row, where)
        yield from found
        if body is None:
            continue
        # 6
        record = body.get("record")
        if listed.pop(row.position, set()) != (set() if record is None else {record}):
            yield Finding("event_listed_elsewhere", where)
        # 7
        yield from pruned.check_named(row.kind, body, where)
    for position in sorted(listed):
        yield Finding("listed_event_missing", f"event {position}")
    yield from pruned.conclude()


def _read(row: Row[Any], where: str) -> tuple[list[Finding], dict[str, Any] | None]:
    """What is wrong with salt and body of an event, and the body."""
    found: list[Finding] = []
    if row.commitment != derive_event_commitment(row.salt, row.body):
        found.append(Finding("commitment_of_another_body", where))
    try:
        body = parse_canonical_json(row.body)
    except MalformedError:
        return [*found, Finding("body_not_canonical", where)], None
    if body.get("kind") != row.kind:
        found.append(Finding("body_of_another_kind", where))
    return found, body


@dataclass(slots=True)
class _Pruned:
    """Events without salt and body: how many there were so far, and how many the erasures so far took."""

    records: dict[str, str]
    """Erased records by the erasure that erased them."""
    seen: int = 0
    taken: int = 0
    erased: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, connection: Connection) -> "_Pruned":
        """With the erasures in the database."""
        rows = connection.execute(select(erasures.c.hash, erasures.c.record))
        return cls({str(name): str(record) for name, record in rows})

    def check(self, row: Row[Any], where: str) -> Iterator[Finding]:
        """An event that lacks something lacks all of it."""
        self.seen += 1
        if (row.kind, row.salt, row.body) != (None, None, None):
            yield Finding("event_half_pruned", where)

    def check_named(self, kind: str, body: dict[str, Any], where: str) -> Iterator[Finding]:
        """What an event that is whole says of erasures and erased records."""
        if kind == _ERASED:
            yield from self._count(body, where)
        elif body.get("record") in self.records.values() and kind not in KINDS_OF_A_PERSON:
            yield Finding("event_of_an_erased_record", where)

    def conclude(self) -> Iterator[Finding]:
        """Every event without a body was taken by an erasure, and every erasure was logged."""
        if self.seen != self.taken:
            yield Finding("pruned_otherwise", f"{self.seen} events have no body, erasures took {self.taken}")
        for name in sorted(self.records.keys() - self.erased):
            yield Finding("erasure_not_logged", f"erasure {name}")

    def _count(self, body: dict[str, Any], where: str) -> Iterator[Finding]:
        """What an erasure took lies before it."""
        name = body.get("statement")
        if not isinstance(name, str) or self.records.get(name) != body.get("record") or name in self.erased:
            yield Finding("erasure_of_another_record", where)
            return
        self.erased.add(name)
        detail = body.get("detail")
        self.taken += detail.get("pruned", 0) if isinstance(detail, dict) else 0
        if self.taken > self.seen:
            yield Finding("erased_event_with_a_body", f"before {where}")
