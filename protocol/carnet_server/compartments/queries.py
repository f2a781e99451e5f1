"""Compartment statements and closings in the database. Never commits."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, update

from carnet_protocol.ids import CompartmentId, RecordId, StatementHash
from carnet_protocol.statements import Closing, Compartment, Signed
from carnet_server.prepared import Prepared
from carnet_server.statements.queries import load_texts
from carnet_server.tables import closings, compartments, devices, statements


@dataclass(frozen=True, slots=True)
class CompartmentRow:
    """One epoch of a compartment that stands. `closed` is the event that closed it."""

    hash: StatementHash
    record: RecordId
    compartment: CompartmentId
    epoch: int
    closed: int | None

    @property
    def is_closed(self) -> bool:
        """Whether nothing is deposited, fetched or released under it any more."""
        return self.closed is not None


_STANDS = compartments.c.superseded.is_(None)
_BY_HASH = select(compartments).where(compartments.c.hash == bindparam("wanted"), _STANDS)
_NEWEST = (
    select(compartments)
    .where(compartments.c.record == bindparam("of"), compartments.c.compartment == bindparam("wanted"), _STANDS)
    .order_by(compartments.c.epoch.desc())
    .limit(1)
)
_OPEN = Prepared(
    select(compartments.c.hash, compartments.c.compartment).where(
        compartments.c.record == bindparam("of"), compartments.c.closed.is_(None), _STANDS
    )
)


def find_compartment(connection: Connection, statement: StatementHash) -> CompartmentRow | None:
    """The epoch that `statement` names, of whatever record."""
    return _compartment(connection.execute(_BY_HASH, {"wanted": statement}).first())


def find_open(connection: Connection, record: RecordId, scope: Collection[CompartmentId]) -> frozenset[StatementHash]:
    """The epochs of the compartments in `scope` of `record` that are not closed."""
    rows = _OPEN.rows(connection, of=record.raw)
    return frozenset(StatementHash(name) for name, compartment in rows if CompartmentId(compartment) in scope)


def find_newest(
    connection: Connection, record: RecordId, compartment: CompartmentId, *, without: Collection[StatementHash] = ()
) -> CompartmentRow | None:
    """The newest epoch of `compartment` in `record` that is not one of `without`."""
    query = _NEWEST.where(compartments.c.hash.not_in(without)) if without else _NEWEST
    return _compartment(connection.execute(query, {"of": record, "wanted": compartment}).first())


def find_rivals(
    connection: Connection, record: RecordId, compartment: CompartmentId, *, epoch: int
) -> Sequence[StatementHash]:
    """The epochs of `compartment` from `epoch` on, if each is of a device that was shut out; else none."""
    rows = connection.execute(
        select(compartments.c.hash, devices.c.void_from)
        .join(devices, devices.c.hash == compartments.c.device)
        .where(
            compartments.c.record == record,
            compartments.c.compartment == compartment,
            compartments.c.epoch >= epoch,
            _STANDS,
        )
    ).all()
    return [row.hash for row in rows] if all(row.void_from is not None for row in rows) else []


def supersede(connection: Connection, epochs: Collection[StatementHash], *, event: int) -> None:
    """Mark `epochs` as superseded by the statement that `event` accepted."""
    if not epochs:
        return
    connection.execute(update(compartments).where(compartments.c.hash.in_(epochs)).values(superseded=event))


def is_superseded(connection: Connection, statement: StatementHash) -> bool:
    """Whether the epoch `statement` was kept here, and gave way to another since."""
    query = select(compartments.c.superseded).where(compartments.c.hash == statement)
    return connection.execute(query).scalar() is not None


def reinstate(connection: Connection, statement: StatementHash) -> None:
    """Let the epoch `statement` stand again: the one that it gave way to was another thief's."""
    connection.execute(update(compartments).where(compartments.c.hash == statement).values(superseded=None))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are in a record; `own` leaves out what a device that was shut out made since."""

    own: int
    all: int


_IS_FIRST = compartments.c.epoch == 1
_IS_OWN = or_(devices.c.void_from.is_(None), statements.c.received_at < devices.c.void_from)
_COUNT = Prepared(
    select(
        func.count().filter(_IS_FIRST, _IS_OWN),
        func.count().filter(_IS_FIRST),
        func.count().filter(_IS_OWN),
        func.count(),
    )
    .select_from(compartments)
    .join(statements, statements.c.hash == compartments.c.hash)
    .join(devices, devices.c.hash == compartments.c.device)
    .where(compartments.c.record == bindparam("of"), _STANDS)
)


def count_epochs(connection: Connection, record: RecordId) -> tuple[Counts, Counts]:
    """How many compartments the record has, and how many epochs together. One query."""
    counted = _COUNT.first(connection, of=record.raw)
    if counted is None:
        raise AssertionError("internal: a count without a row")
    first_own, first, own, every = counted
    return Counts(first_own, first), Counts(own, every)


def count_known(connection: Connection, record: RecordId, wanted: Collection[CompartmentId]) -> int:
    """How many of `wanted` are compartments of `record`."""
    return connection.execute(
        select(func.count()).where(
            compartments.c.record == record, compartments.c.epoch == 1, compartments.c.compartment.in_(wanted), _STANDS
        )
    ).scalar_one()


def insert_compartment(connection: Connection, signed: Signed[Compartment]) -> None:
    """Keep the epoch `signed`."""
    body = signed.body
    connection.execute(
        insert(compartments),
        {
            "hash": signed.hash,
            "record": body.record,
            "compartment": body.compartment,
            "epoch": body.epoch,
            "suite": int(body.suite),
            "device": body.device,
            "closed": None,
            "superseded": None,
        },
    )


def insert_closing(connection: Connection, signed: Signed[Closing], *, event: int) -> None:
    """Keep the closing `signed`, and close its epoch."""
    body = signed.body
    connection.execute(
        insert(closings),
        {"hash": signed.hash, "record": body.record, "compartment_statement": body.compartment_statement},
    )
    connection.execute(
        update(compartments).where(compartments.c.hash == body.compartment_statement).values(closed=event)
    )


def load_compartments(
    connection: Connection, record: RecordId, scope: Collection[CompartmentId] | None
) -> tuple[str, ...]:
    """Every compartment statement of `record`, of the compartments in `scope` unless that is None, oldest first."""
    conditions = [compartments.c.record == record, _STANDS]
    if scope is not None:
        conditions.append(compartments.c.compartment.in_(scope))
    return load_texts(connection, compartments.c.hash, *conditions)


def load_closings(connection: Connection, record: RecordId, scope: Collection[CompartmentId] | None) -> tuple[str, ...]:
    """Every closing of `record`, of the compartments in `scope` unless that is None, oldest first."""
    shown = select(compartments.c.hash).where(compartments.c.record == record, _STANDS)
    if scope is not None:
        shown = shown.where(compartments.c.compartment.in_(scope))
    return load_texts(
        connection, closings.c.hash, closings.c.record == record, closings.c.compartment_statement.in_(shown)
    )


def _compartment(row: Row[Any] | None) -> CompartmentRow | None:
    if row is None:
        return None
    return CompartmentRow(row.hash, row.record, row.compartment, row.epoch, row.closed)
