"""`carnet-keyservice fsck`: what the key service keeps is whole, and opens (see `carnet_server.fsck`)."""

from collections.abc import Iterator

from sqlalchemy import Connection, exists, select

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.locks.keys import open_sealed_lock
from carnet_keyservice.locks.queries import read_sealed
from carnet_keyservice.master_keys import MasterKeyProvider
from carnet_keyservice.master_keys.check import is_right
from carnet_keyservice.sealed_keys.decide import require_form
from carnet_keyservice.tables import (
    OWN_COPY,
    lock_statements,
    master_keys,
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


def check_all(connection: Connection, deployment: Deployment, provider: MasterKeyProvider) -> Iterator[Finding]:
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
    yield from check_master_keys(connection, provider)
    # 4
    yield from check_locks(connection, provider)
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


def check_master_keys(connection: Connection, provider: MasterKeyProvider) -> Iterator[Finding]:
    """Each version in use opens the value that was sealed under it when it came into use."""
    for row in connection.execute(select(master_keys)):
        where = f"master key {row.version}"
        if row.version not in provider.versions():
            yield Finding("master_key_missing", where)
        elif not is_right(provider, row.version, row.check_value):
            yield Finding("master_key_wrong", where)


def check_locks(connection: Connection, provider: MasterKeyProvider) -> Iterator[Finding]:
    """Each lock opens, its statements name its public half, and events say when it was made and retired."""
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
        try:
            open_sealed_lock(provider, read_sealed(row))
        except (SealedError, MasterKeyError):
            yield Finding("lock_does_not_open", where)
        if named.get((str(row.record), row.version)) != {row.lock_key}:
            yield Finding("lock_of_another_statement", where)
        if kinds.get(row.made) != "lock.made":
            yield Finding("lock_not_logged", where)
        if row.retired is not None and kinds.get(row.retired) != "lock.retired":
            yield Finding("retirement_not_logged", where)


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
