"""What the key service's own tables say about the capsules on one page. Never commits.

The vault says which capsules there are; whether anybody may still open one is not taken from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from carnet_keyservice.tables import lock_statements, record_locks
from carnet_protocol.api import OldCapsule
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Closing, Signed
from carnet_server.tables import closings, compartments, devices, grant_documents, grants, statements


@dataclass(frozen=True, slots=True)
class LockFact:
    """The lock that a lock statement is of, and whether it was destroyed: what does not open now may open later."""

    record: RecordId
    version: int
    is_destroyed: bool


@dataclass(frozen=True, slots=True)
class EpochFact:
    """The epoch that a compartment statement is of; what a device closed that was shut out since is not closed."""

    record: RecordId
    compartment: CompartmentId
    is_closed: bool


@dataclass(frozen=True, slots=True)
class GrantFact:
    """A grant of single documents that is neither ended nor past."""

    record: RecordId
    grantee: IdentityHash
    documents: frozenset[DocumentId]


@dataclass(frozen=True, slots=True)
class Facts:
    """Of everything that the capsules of a page name, what there is."""

    locks: dict[StatementHash, LockFact]
    epochs: dict[StatementHash, EpochFact]
    grants: dict[StatementHash, GrantFact]

    def is_as_new(self, old: OldCapsule, version: int) -> bool:
        """Whether `old` is under `version` of its record's lock or a newer one: nothing goes back to an older lock."""
        lock = self.locks.get(old.entry.capsule.lock_statement)
        return lock is not None and lock.record == old.record and lock.version >= version


def load_facts(connection: Connection, capsules: Sequence[OldCapsule], *, now: int) -> Facts:
    """What there is of what `capsules` name, at `now`."""
    named = [each.entry.capsule for each in capsules]
    return Facts(
        locks=_load_locks(connection, {capsule.lock_statement for capsule in named}),
        epochs=_load_epochs(
            connection, {each.compartment.compartment_statement for each in named if each.compartment is not None}
        ),
        grants=_load_grants(connection, {each.personal.grant for each in named if each.personal is not None}, now=now),
    )


def _load_locks(connection: Connection, wanted: set[StatementHash]) -> dict[StatementHash, LockFact]:
    rows = connection.execute(
        select(lock_statements.c.hash, lock_statements.c.record, lock_statements.c.version, record_locks.c.destroyed)
        .join(
            record_locks,
            and_(
                record_locks.c.record == lock_statements.c.record, record_locks.c.version == lock_statements.c.version
            ),
        )
        .where(lock_statements.c.hash.in_(wanted))
    )
    return {row.hash: LockFact(row.record, row.version, row.destroyed is not None) for row in rows}


def _load_epochs(connection: Connection, wanted: set[StatementHash]) -> dict[StatementHash, EpochFact]:
    if not wanted:
        return {}
    rows = connection.execute(
        select(compartments.c.hash, compartments.c.record, compartments.c.compartment, compartments.c.closed).where(
            compartments.c.hash.in_(wanted)
        )
    ).all()
    closed = {row.hash for row in rows if row.closed is not None}
    closed -= _closed_by_fallen(connection, closed)
    return {row.hash: EpochFact(row.record, row.compartment, row.hash in closed) for row in rows}


def _closed_by_fallen(connection: Connection, wanted: set[StatementHash]) -> set[StatementHash]:
    """Those of the closed epochs `wanted` whose closing a device made that was shut out since."""
    if not wanted:
        return set()
    closers = {
        row.compartment_statement: Signed.parse(row.jws, Closing).body.device
        for row in connection.execute(
            select(closings.c.compartment_statement, statements.c.jws)
            .join(statements, statements.c.hash == closings.c.hash)
            .where(closings.c.compartment_statement.in_(wanted))
        )
    }
    fallen = set(
        connection.execute(
            select(devices.c.hash).where(devices.c.hash.in_(set(closers.values())), devices.c.void_from.is_not(None))
        ).scalars()
    )
    return {epoch for epoch, device in closers.items() if device in fallen}


def _load_grants(connection: Connection, wanted: set[StatementHash], *, now: int) -> dict[StatementHash, GrantFact]:
    if not wanted:
        return {}
    rows = connection.execute(
        select(grants.c.hash, grants.c.record, grants.c.grantee, grant_documents.c.document)
        .join(grant_documents, grant_documents.c.grant == grants.c.hash)
        .where(grants.c.hash.in_(wanted), grants.c.ended.is_(None), grants.c.expires > now)
    ).all()
    covered: dict[StatementHash, set[DocumentId]] = {}
    for row in rows:
        covered.setdefault(row.hash, set()).add(row.document)
    return {row.hash: GrantFact(row.record, row.grantee, frozenset(covered[row.hash])) for row in rows}
