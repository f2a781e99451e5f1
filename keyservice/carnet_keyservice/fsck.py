"""`carnet-keyservice fsck`: what the key service keeps is whole, and opens (see `carnet_server.fsck`)."""

from collections.abc import Iterator

from sqlalchemy import Connection, and_, exists, select

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.locks.keys import open_seal
from carnet_keyservice.locks.queries import SEALED, SEALED_ORDER, read_sealed
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.master_keys.queries import load_master_keys
from carnet_keyservice.master_keys.ring import is_right
from carnet_keyservice.master_keys.state import OPENING, KeyState
from carnet_keyservice.sealed_keys.decide import require_form
from carnet_keyservice.tables import (
    OWN_COPY,
    lock_seals,
    lock_statements,
    metadata,
    record_locks,
    recoveries,
    sealed_keys,
)
from carnet_protocol.api import SealedKey
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Identity, Lock, Recovery, Signed
from carnet_server.deployment import Deployment
from carnet_server.errors import BadRequestError
from carnet_server.fsck import (
    Finding,
    RowRule,
    Signers,
    check_erased,
    check_log,
    check_rows,
    check_rule,
    check_statements,
)
from carnet_server.tables import compartments, events, grants, statements

_RULES = (
    RowRule(Recovery, recoveries, ("identity", "identity_statement")),
    RowRule(Lock, lock_statements, ("record", "version", "expires")),
)
_ROWS_AT_ONCE = 1000
_DESTRUCTIONS = frozenset({"lock.destroyed"})
_OF_LOCK = and_(lock_seals.c.record == record_locks.c.record, lock_seals.c.version == record_locks.c.version)
_LOCKS_WITHOUT_SEAL = select(record_locks.c.record, record_locks.c.version).where(
    record_locks.c.destroyed.is_(None), ~exists().where(_OF_LOCK)
)
_SEALS_OF_DESTROYED = (
    select(record_locks.c.record, record_locks.c.version)
    .join(lock_seals, _OF_LOCK)
    .where(record_locks.c.destroyed.is_not(None))
)


def check_all(connection: Connection, deployment: Deployment, ring: MasterKeys) -> Iterator[Finding]:
    """Everything.

    1. The log, the statements, and the rows of the shared nouns; nothing else of an erased record.
    2. Rows of recovery and lock statements.
    3. Every master key in use is at hand, and the right one.
    4. Every record lock opens under its master key, and is the one that its statements name.
    5. Every sealed key has its form and its place; every published epoch has a copy for the patient.
    """
    # 1
    yield from check_log(connection, deployment.fingerprint)
    yield from check_statements(connection, Signers.load(connection, deployment))
    yield from check_rows(connection)
    yield from check_erased(connection, metadata)
    # 2
    for rule in _RULES:
        yield from check_rule(connection, rule)
    yield from check_recoveries(connection)
    # 3
    yield from check_master_keys(connection, ring)
    # 4
    yield from check_locks(connection, ring)
    # 5
    yield from check_sealed_keys(connection)


def check_recoveries(connection: Connection) -> Iterator[Finding]:
    """Each recovery is under the root key of its identity statement, and the event that accepted it."""
    identity_statements = statements.alias("identity_statements")
    rows = connection.execute(
        select(recoveries, identity_statements.c.jws, statements.c.event.label("accepted"))
        .join(identity_statements, identity_statements.c.hash == recoveries.c.identity_statement)
        .join(statements, statements.c.hash == recoveries.c.hash)
    )
    for row in rows.yield_per(_ROWS_AT_ONCE):
        try:
            root_key = Signed.parse(row.jws, Identity).body.root_key
        except ProtocolError:
            continue  # reported with the statements
        if (row.root_fingerprint, row.event) != (root_key.fingerprint(), row.accepted):
            yield Finding("recovery_of_another_key", f"recovery {row.hash}")


def check_master_keys(connection: Connection, ring: MasterKeys) -> Iterator[Finding]:
    """One version is active, new locks are sealed under it, and each that opens anything is here and the right one."""
    rows = load_master_keys(connection)
    active = [row for row in rows if row.state is KeyState.ACTIVE]
    if rows and (len(active) != 1 or not active[0].is_sealing):
        yield Finding("master_key_not_active", f"{len(active)} master keys")
    for row in rows:
        if row.state not in OPENING:
            continue
        where = f"master key {row.version}"
        try:
            key = ring.provider(row.provider).load(row.version, row.token)
        except MasterKeyError:
            yield Finding("master_key_missing", where)
            continue
        if is_right(key, row):
            ring.hold(row.version, key)
        else:
            yield Finding("master_key_wrong", where)


def check_locks(connection: Connection, ring: MasterKeys) -> Iterator[Finding]:
    """Each seal of each lock opens, statements name the public half, events say when it was made, retired, destroyed.

    Each lock that is not destroyed is sealed under every master key that new ones are.
    """
    named: dict[tuple[str, int], set[bytes]] = {}
    for jws in connection.execute(select(statements.c.jws).where(statements.c.kind == Lock.KIND)).scalars():
        try:
            body = Signed.parse(jws, Lock).body
        except ProtocolError:
            continue  # reported with the statements
        named.setdefault((str(body.record), body.version), set()).add(body.lock_key)
    kinds = {row.position: row.kind for row in connection.execute(select(events.c.position, events.c.kind))}
    for row in connection.execute(select(record_locks)).yield_per(_ROWS_AT_ONCE):
        where = f"lock {row.version} of record {row.record}"
        if named.get((str(row.record), row.version)) != {row.lock_key}:
            yield Finding("lock_of_another_statement", where)
        if kinds.get(row.made) != "lock.made":
            yield Finding("lock_not_logged", where)
        if row.retired is not None and kinds.get(row.retired) != "lock.retired":
            yield Finding("retirement_not_logged", where)
        if row.destroyed is not None and kinds.get(row.destroyed) not in _DESTRUCTIONS:
            yield Finding("destruction_not_logged", where)
    yield from check_seals(connection, ring)


def check_seals(connection: Connection, ring: MasterKeys) -> Iterator[Finding]:
    """See `check_locks`."""
    # New locks are sealed under a key in pre-activation too while older ones are not yet.
    needed = {row.version for row in load_master_keys(connection) if row.state is KeyState.ACTIVE}
    for row in connection.execute(_LOCKS_WITHOUT_SEAL):
        yield Finding("lock_without_seal", f"lock {row.version} of record {row.record}")
    rows = connection.execute(SEALED.order_by(*SEALED_ORDER))
    for sealed in read_sealed(rows.yield_per(_ROWS_AT_ONCE)):
        where = f"lock {sealed.lock.version} of record {sealed.lock.record}"
        for seal in sealed.seals:
            try:
                open_seal(ring, sealed.lock, seal)
            except (SealedError, MasterKeyError):
                yield Finding("lock_does_not_open", f"{where}, under master key {seal.master_key_version}")
        if not needed <= {seal.master_key_version for seal in sealed.seals}:
            yield Finding("lock_not_under_active_key", where)
    for row in connection.execute(_SEALS_OF_DESTROYED):
        yield Finding("seal_of_destroyed_lock", f"lock {row.version} of record {row.record}")


def check_sealed_keys(connection: Connection) -> Iterator[Finding]:
    """Each sealed key has the form of one, and a grant of the same record; each epoch can be opened by its patient."""
    rows = connection.execute(select(grants.c.hash, grants.c.record, grants.c.ended)).all()
    grants_of = {row.hash: row.record for row in rows}
    ended = {row.hash for row in rows if row.ended is not None}
    epochs = {row.hash: row.record for row in connection.execute(select(compartments.c.hash, compartments.c.record))}
    for row in connection.execute(select(sealed_keys)).yield_per(_ROWS_AT_ONCE):
        where = f"sealed key of {row.compartment_statement} for {row.reader_statement}"
        grant = StatementHash(row.grant) if row.grant else None
        if grant is not None and grants_of.get(grant) != row.record:
            yield Finding("sealed_key_without_grant", where)
        if grant in ended:
            yield Finding("sealed_key_of_ended_grant", where)
        if epochs.get(row.compartment_statement, row.record) != row.record:
            yield Finding("sealed_key_of_another_record", where)
        key = SealedKey(
            compartment_statement=row.compartment_statement,
            grant=grant,
            reader_statement=row.reader_statement,
            sealed=row.sealed,
        )
        try:
            require_form(key)
        except BadRequestError:
            yield Finding("sealed_key_malformed", where)
    has_own = exists().where(
        sealed_keys.c.compartment_statement == compartments.c.hash, sealed_keys.c.grant == OWN_COPY
    )
    for name in connection.execute(select(compartments.c.hash).where(~has_own)).scalars():
        yield Finding("epoch_without_own_copy", f"compartment {name}")
