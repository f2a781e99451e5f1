"""Sealed compartment keys in the database. Never commits."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, exists, func, insert, or_, select, update

from carnet_keyservice.tables import OWN_COPY, sealed_keys
from carnet_protocol.api import SealedKey
from carnet_protocol.ids import CompartmentId, RecordId, StatementHash
from carnet_server.prepared import Prepared
from carnet_server.tables import compartments, devices

_UNDER: Final = Prepared(
    select(sealed_keys.c.compartment_statement, sealed_keys.c.reader_statement, sealed_keys.c.sealed).where(
        sealed_keys.c.grant == bindparam("which")
    )
)
_DELETE_OTHERS: Final = delete(sealed_keys).where(
    sealed_keys.c.compartment_statement == bindparam("of"),
    sealed_keys.c.grant == bindparam("which"),
    sealed_keys.c.reader_statement != bindparam("kept_for"),
)
_IS_PUBLISHED = exists().where(compartments.c.hash == sealed_keys.c.compartment_statement)


def format_grant(grant: StatementHash | None) -> bytes:
    """How the table names a grant, or the patient's own copy."""
    return OWN_COPY if grant is None else grant.raw


def find_sealed(connection: Connection, key: SealedKey) -> tuple[RecordId, bytes] | None:
    """The record and the bytes that stand in the place of `key`."""
    row = connection.execute(select(sealed_keys.c.record, sealed_keys.c.sealed).where(*_place(key))).first()
    return None if row is None else (row.record, row.sealed)


def has_copy(
    connection: Connection,
    statement: StatementHash,
    *,
    grant: StatementHash | None,
    reader_statement: StatementHash | None = None,
) -> bool:
    """Whether a key of `statement` is kept under `grant` (None: the patient's own), for that reader if one is given."""
    conditions = [
        sealed_keys.c.compartment_statement == statement,
        sealed_keys.c.grant == format_grant(grant),
    ]
    if reader_statement is not None:
        conditions.append(sealed_keys.c.reader_statement == reader_statement)
    return bool(connection.execute(select(exists().where(*conditions))).scalar())


def find_grants_of(connection: Connection, statement: StatementHash) -> list[StatementHash]:
    """The grants under which a key of `statement` is kept."""
    rows = connection.execute(
        select(sealed_keys.c.grant)
        .where(sealed_keys.c.compartment_statement == statement, sealed_keys.c.grant != OWN_COPY)
        .distinct()
    )
    return [StatementHash(grant) for grant in rows.scalars()]


def insert_sealed(connection: Connection, record: RecordId, key: SealedKey, *, device: StatementHash, now: int) -> None:
    """Keep `key`, which `device` brings."""
    connection.execute(insert(sealed_keys), _values(record, key, device=device, now=now))


def replace_sealed(connection: Connection, key: SealedKey, *, device: StatementHash, now: int) -> None:
    """Put `key`, which `device` brings, in its place."""
    connection.execute(update(sealed_keys).where(*_place(key)).values(sealed=key.sealed, device=device, kept_at=now))


def insert_all(
    connection: Connection, record: RecordId, keys: Sequence[SealedKey], *, device: StatementHash, now: int
) -> None:
    """Keep `keys`, which `device` brings, where none stand."""
    if keys:
        connection.execute(insert(sealed_keys), [_values(record, key, device=device, now=now) for key in keys])


def load_under(connection: Connection, grant: StatementHash) -> dict[tuple[StatementHash, StatementHash], bytes]:
    """The copies under `grant`, by compartment statement and reader's identity statement."""
    rows = _UNDER.rows(connection, which=grant.raw)
    return {(StatementHash(statement), StatementHash(reader)): sealed for statement, reader, sealed in rows}


def delete_other_readers(
    connection: Connection, statement: StatementHash, *, grant: StatementHash, reader_statement: StatementHash
) -> None:
    """Delete the copies of the key of `statement` under `grant` for others than `reader_statement`."""
    connection.execute(_DELETE_OTHERS, {"of": statement, "which": format_grant(grant), "kept_for": reader_statement})


def count_sealed(connection: Connection, record: RecordId) -> int:
    """How many sealed keys the record has."""
    return connection.execute(select(func.count()).where(sealed_keys.c.record == record)).scalar_one()


def count_staged(connection: Connection, record: RecordId) -> int:
    """How many sealed keys of the record wait for their epoch."""
    return connection.execute(select(func.count()).where(sealed_keys.c.record == record, ~_IS_PUBLISHED)).scalar_one()


def forget_staged(connection: Connection, record: RecordId, *, until: int) -> None:
    """Delete what was staged at or before `until` and never published, or by a device that was shut out since."""
    is_shut_out = exists().where(devices.c.hash == sealed_keys.c.device, devices.c.void_from.is_not(None))
    connection.execute(
        delete(sealed_keys).where(
            sealed_keys.c.record == record, ~_IS_PUBLISHED, or_(sealed_keys.c.kept_at <= until, is_shut_out)
        )
    )


def delete_under(connection: Connection, grant: StatementHash) -> None:
    """Delete the copies under `grant`, which has ended. The patient's own copies are under none."""
    connection.execute(delete(sealed_keys).where(sealed_keys.c.grant == grant.raw))


def load_copies(
    connection: Connection, record: RecordId, statement: StatementHash, *, grant: StatementHash | None
) -> tuple[SealedKey, ...]:
    """Every copy of one key under `grant`, of a statement that is published or not."""
    rows = connection.execute(
        select(sealed_keys)
        .where(
            sealed_keys.c.record == record,
            sealed_keys.c.compartment_statement == statement,
            sealed_keys.c.grant == format_grant(grant),
        )
        .order_by(sealed_keys.c.reader_statement)
    )
    return tuple(_sealed_key(row) for row in rows)


def load_open(
    connection: Connection,
    record: RecordId,
    *,
    grant: StatementHash | None,
    scope: Collection[CompartmentId] | None,
) -> tuple[SealedKey, ...]:
    """The keys under `grant` of published epochs that are not closed, in `scope` unless that is None."""
    conditions = [
        sealed_keys.c.record == record,
        sealed_keys.c.grant == format_grant(grant),
        compartments.c.record == record,
        compartments.c.closed.is_(None),
    ]
    if scope is not None:
        conditions.append(compartments.c.compartment.in_(scope))
    rows = connection.execute(
        select(sealed_keys)
        .join(compartments, compartments.c.hash == sealed_keys.c.compartment_statement)
        .where(*conditions)
        .order_by(sealed_keys.c.compartment_statement, sealed_keys.c.reader_statement)
    )
    return tuple(_sealed_key(row) for row in rows)


def _values(record: RecordId, key: SealedKey, *, device: StatementHash, now: int) -> dict[str, Any]:
    return {
        "compartment_statement": key.compartment_statement,
        "grant": format_grant(key.grant),
        "reader_statement": key.reader_statement,
        "record": record,
        "sealed": key.sealed,
        "device": device,
        "kept_at": now,
    }


def _place(key: SealedKey) -> tuple[ColumnElement[bool], ...]:
    return (
        sealed_keys.c.compartment_statement == key.compartment_statement,
        sealed_keys.c.grant == format_grant(key.grant),
        sealed_keys.c.reader_statement == key.reader_statement,
    )


def _sealed_key(row: Row[Any]) -> SealedKey:
    return SealedKey(
        compartment_statement=row.compartment_statement,
        grant=StatementHash(row.grant) if row.grant else None,
        reader_statement=row.reader_statement,
        sealed=row.sealed,
    )
