"""The rows that decisions read are those that the accepted statements make: none is missing, changed or left over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, exists, or_, select

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import AttestationId, Ed25519PublicKey, Fingerprint, IdentityHash, StatementHash
from carnet_protocol.statements import (
    Attestation,
    Closing,
    Compartment,
    Device,
    Erasure,
    Filing,
    Grant,
    Identity,
    Removal,
    Revocation,
    RevocationList,
    Signed,
    Statement,
    Succession,
    Tombstone,
)
from carnet_server.fsck.finding import Finding
from carnet_server.statements.parse import AnyStatement
from carnet_server.tables import (
    attestations,
    closings,
    compartments,
    devices,
    erasures,
    filings,
    grant_compartments,
    grant_documents,
    grants,
    identities,
    people,
    registrars,
    removals,
    revocations,
    revoked_attestations,
    statements,
    successions,
    tombstones,
)

_ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class RowRule:
    """A kind of statement, the table of its rows, and what a row holds of its statement."""

    kind: type[Statement]
    table: Table
    columns: tuple[str, ...]
    derive: Callable[[AnyStatement], tuple[object, ...]] | None = None

    def expected(self, signed: AnyStatement) -> tuple[object, ...]:
        """What the columns hold for `signed`: the members of the same names, unless said otherwise."""
        if self.derive is not None:
            return self.derive(signed)
        return tuple(getattr(signed.body, column) for column in self.columns)


def _identity(signed: AnyStatement) -> tuple[object, ...]:
    return signed.body.founding or IdentityHash(signed.hash.raw), signed.body.serial, signed.body.suite


RULES: Final = (
    RowRule(Identity, identities, ("identity", "serial", "suite"), _identity),
    RowRule(Device, devices, ("identity", "device_key", "enrolled_by")),
    RowRule(Removal, removals, ("identity", "device", "since")),
    RowRule(
        Attestation,
        attestations,
        ("registrar", "id", "subject", "subject_statement", "succeeds", "not_before", "expires"),
    ),
    RowRule(Succession, successions, ("predecessor", "successor")),
    RowRule(Compartment, compartments, ("record", "compartment", "epoch", "suite", "device")),
    RowRule(Closing, closings, ("record", "compartment_statement")),
    RowRule(Erasure, erasures, ("record",)),
    RowRule(Filing, filings, ("record", "document", "serial", "compartment")),
    RowRule(Tombstone, tombstones, ("record", "document", "by")),
    RowRule(
        Grant,
        grants,
        ("record", "id", "grantee", "grantee_statement", "permission", "not_before", "expires", "device"),
    ),
    RowRule(Revocation, revocations, ("record", "grant")),
)


def check_rows(connection: Connection) -> Iterator[Finding]:
    """Every row of the shared nouns, against the statements.

    1. Each statement has its row, each row its statement, and they say the same.
    2. A person's row is that of their newest identity statement.
    3. The scope of each grant is that of its statement.
    4. Epochs are closed, and grants ended, where a statement or a removal says so, and nowhere else.
    5. Devices are void where a removal or a new root key says so, and nowhere else.
    6. Of each registrar the newest list counts, and nothing else.
    """
    # 1
    for rule in RULES:
        yield from check_rule(connection, rule)
    # 2
    yield from _check_people(connection)
    # 3
    yield from _check_scopes(connection)
    # 4
    yield from _check_ends(connection)
    # 5
    yield from _check_void_devices(connection)
    # 6
    yield from _check_lists(connection)


def check_rule(connection: Connection, rule: RowRule) -> Iterator[Finding]:
    """Compare the statements of a kind with the rows of its table."""
    columns = [rule.table.c[name] for name in rule.columns]
    stored = statements.c
    rows = connection.execute(
        select(stored.hash, stored.jws, rule.table.c.hash.label("row"), *columns)
        .outerjoin(rule.table, rule.table.c.hash == stored.hash)
        .where(stored.kind == rule.kind.KIND)
    )
    for name, jws, row, *values in rows.yield_per(_ROWS_AT_ONCE):
        where = f"{rule.kind.KIND} {name}"
        if row is None:
            yield Finding("row_missing", where)
            continue
        try:
            expected = rule.expected(Signed.parse(jws, rule.kind))
        except ProtocolError:
            continue  # reported with the statements
        if tuple(values) != expected:
            yield Finding("row_of_another_statement", where)
    orphans = connection.execute(
        select(rule.table.c.hash).where(
            ~exists().where(stored.hash == rule.table.c.hash, stored.kind == rule.kind.KIND)
        )
    )
    for name in orphans.scalars():
        yield Finding("row_without_statement", f"{rule.kind.KIND} {name}")


def _check_people(connection: Connection) -> Iterator[Finding]:
    newest: dict[IdentityHash, tuple[int, StatementHash | None, str]] = {}
    rows = connection.execute(
        select(identities.c.identity, identities.c.serial, identities.c.hash, statements.c.jws)
        .join(statements, statements.c.hash == identities.c.hash)
        .order_by(identities.c.serial)
    )
    for identity, serial, name, jws in rows:
        newest[identity] = (serial, name, jws)
    for row in connection.execute(select(people)):
        serial, name, jws = newest.pop(row.identity, (-1, None, ""))
        if (row.serial, row.current) != (serial, name):
            yield Finding("person_not_newest", f"person {row.identity}")
            continue
        try:
            body = Signed.parse(jws, Identity).body
        except ProtocolError:
            continue
        if (row.role, row.root_key) != (body.role.value, body.root_key):
            yield Finding("person_with_other_keys", f"person {row.identity}")
    for identity in newest:
        yield Finding("row_missing", f"person {identity}")


def _check_scopes(connection: Connection) -> Iterator[Finding]:
    scopes: dict[StatementHash, tuple[set[Any], set[Any]]] = {}
    for place, (table, column) in enumerate(
        ((grant_compartments, grant_compartments.c.compartment), (grant_documents, grant_documents.c.document))
    ):
        for name, value in connection.execute(select(table.c.grant, column)):
            scopes.setdefault(name, (set(), set()))[place].add(value)
    rows = connection.execute(select(statements.c.hash, statements.c.jws).where(statements.c.kind == Grant.KIND))
    for name, jws in rows:
        covered, documents = scopes.pop(name, (set(), set()))
        try:
            body = Signed.parse(jws, Grant).body
        except ProtocolError:
            continue
        if covered != set(body.compartments) or documents != set(body.documents):
            yield Finding("scope_of_another_grant", f"grant {name}")
    for name in scopes:
        yield Finding("row_without_statement", f"scope of grant {name}")


def _check_ends(connection: Connection) -> Iterator[Finding]:
    is_closed = exists().where(closings.c.compartment_statement == compartments.c.hash)
    for name, closed, should_be in connection.execute(select(compartments.c.hash, compartments.c.closed, is_closed)):
        if (closed is not None) != bool(should_be):
            yield Finding("epoch_closed_otherwise", f"compartment {name}")
    yield from _check_superseded(connection)
    is_revoked = exists().where(revocations.c.grant == grants.c.hash)
    is_voided = exists().where(
        devices.c.hash == grants.c.device,
        devices.c.void_from.is_not(None),
        grants.c.received_at >= devices.c.void_from,
    )
    for name, ended, revoked, voided in connection.execute(
        select(grants.c.hash, grants.c.ended, is_revoked, is_voided)
    ):
        if (ended is not None) != bool(revoked or voided):
            yield Finding("grant_ended_otherwise", f"grant {name}")


def _check_superseded(connection: Connection) -> Iterator[Finding]:
    """An epoch gives way only if its device was shut out and another stands in the place of it, or of one before."""
    other = compartments.alias("other")
    is_replaced = exists().where(
        other.c.record == compartments.c.record,
        other.c.compartment == compartments.c.compartment,
        other.c.epoch <= compartments.c.epoch,
        other.c.hash != compartments.c.hash,
        other.c.superseded.is_(None),
    )
    rows = connection.execute(
        select(compartments.c.hash)
        .outerjoin(devices, devices.c.hash == compartments.c.device)
        .where(compartments.c.superseded.is_not(None), or_(devices.c.void_from.is_(None), ~is_replaced))
    )
    for name in rows.scalars():
        yield Finding("epoch_superseded_otherwise", f"compartment {name}")


def _check_void_devices(connection: Connection) -> Iterator[Finding]:
    void_from = _fallen_with_root_keys(connection)
    rows = list(connection.execute(select(devices).order_by(devices.c.received_at)))
    for device, since in connection.execute(select(removals.c.device, removals.c.since)):
        _spread(device, since, void_from, rows)
    for row in rows:
        if row.void_from != void_from.get(row.hash):
            yield Finding("device_void_otherwise", f"device {row.hash}")


def _fallen_with_root_keys(connection: Connection) -> dict[StatementHash, int]:
    """Devices that were there when the root key of their person was replaced, and from which second they are void."""
    void_from: dict[StatementHash, int] = {}
    by_person: dict[IdentityHash, list[tuple[StatementHash, int]]] = {}
    for name, identity, event in connection.execute(
        select(devices.c.hash, devices.c.identity, statements.c.event).join(
            statements, statements.c.hash == devices.c.hash
        )
    ):
        by_person.setdefault(identity, []).append((name, event))
    before: tuple[IdentityHash, Ed25519PublicKey] | None = None
    for identity, jws, event, received_at in connection.execute(
        select(identities.c.identity, statements.c.jws, statements.c.event, statements.c.received_at)
        .join(statements, statements.c.hash == identities.c.hash)
        .order_by(identities.c.identity, identities.c.serial)
    ):
        try:
            root_key = Signed.parse(jws, Identity).body.root_key
        except ProtocolError:
            continue  # reported where each statement is checked
        if before is not None and before[0] == identity and before[1] != root_key:
            fallen = [name for name, enrolled in by_person.get(identity, []) if enrolled < event]
            void_from |= {name: received_at + 1 for name in fallen if name not in void_from}
        before = identity, root_key
    return void_from


def _spread(device: StatementHash, since: int, void_from: dict[StatementHash, int], rows: list[Row[Any]]) -> None:
    falling = [device]
    while falling:
        fallen = falling.pop()
        void_from[fallen] = min(since, void_from.get(fallen, since))
        falling += [row.hash for row in rows if row.enrolled_by == fallen and row.received_at >= since]


def _check_lists(connection: Connection) -> Iterator[Finding]:
    newest: dict[Fingerprint, tuple[StatementHash, RevocationList]] = {}
    rows = connection.execute(
        select(statements.c.hash, statements.c.jws).where(statements.c.kind == RevocationList.KIND)
    )
    for name, jws in rows:
        try:
            body = Signed.parse(jws, RevocationList).body
        except ProtocolError:
            continue
        if body.registrar not in newest or body.number > newest[body.registrar][1].number:
            newest[body.registrar] = (name, body)
    revoked: dict[Fingerprint, set[AttestationId]] = {}
    for registrar, attestation in connection.execute(
        select(revoked_attestations.c.registrar, revoked_attestations.c.id)
    ):
        revoked.setdefault(registrar, set()).add(attestation)
    for row in connection.execute(select(registrars)):
        found = newest.pop(row.registrar, None)
        if found is None or not _is_list(row, *found, revoked.get(row.registrar, set())):
            yield Finding("list_not_newest", f"registrar {row.registrar}")
    for registrar in newest:
        yield Finding("row_missing", f"registrar {registrar}")


def _is_list(row: Row[Any], name: StatementHash, body: RevocationList, revoked: set[AttestationId]) -> bool:
    expected = (name, body.number, body.issued_at, body.next_update)
    return (row.newest_list, row.number, row.issued_at, row.next_update) == expected and revoked == set(body.revoked)
