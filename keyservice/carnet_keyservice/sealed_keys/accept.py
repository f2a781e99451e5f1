"""Keeping sealed keys, in the transaction of the request that brings them.

The patient stages keys of an epoch that is not published yet, reads the own copy back, and publishes. What a grantee,
or who succeeds them, seals anew comes another way: see `reseal`.
"""

from collections.abc import Collection

from carnet_keyservice.sealed_keys import decide, queries
from carnet_protocol.api import SealedKey
from carnet_protocol.ids import StatementHash
from carnet_server.compartments import find_compartment
from carnet_server.errors import ConflictError, RefusedError, StaleError
from carnet_server.grants import find_grant
from carnet_server.grants.readers import find_reader_statements
from carnet_server.people.queries import PersonRow, find_person
from carnet_server.records.effects import Change


def keep_own_copies(change: Change) -> None:
    """Keep the patient's own copies that the request brings."""
    own = [key for key in change.update.sealed_keys if key.grant is None]
    if not own:
        return
    current = _patient(change).current
    for key in own:
        decide.decide_own_copy(key, current=current)
        is_published = find_compartment(change.moment.connection, key.compartment_statement) is not None
        _keep(change, key, may_replace=not is_published)


def keep_copies(change: Change) -> None:
    """Keep the copies for grantees that the patient brings."""
    for key in change.update.sealed_keys:
        if key.grant is not None and _is_wanted(change, key, key.grant):
            _keep(change, key, may_replace=True)


def require_published(change: Change, statement: StatementHash) -> None:
    """Check what is kept for an epoch that is being published.

    1. The patient's own copy, sealed to their newest account key, is there: no epoch has a key that only readers hold.
    2. Copies that were staged for grantees are of grants that cover the compartment.

    Raises `StaleError` or `BadRequestError`.
    """
    connection = change.moment.connection
    # 1
    current = _patient(change).current
    if not queries.has_copy(connection, statement, grant=None, reader_statement=current):
        raise StaleError("own_sealed_key_missing")
    # 2
    compartment = find_compartment(connection, statement)
    for name in queries.find_grants_of(connection, statement):
        grant = find_grant(connection, name)
        if grant is not None and compartment is not None:
            decide.decide_epoch(compartment, change.record, grant)


def _is_wanted(change: Change, key: SealedKey, name: StatementHash) -> bool:
    moment, connection = change.moment, change.moment.connection
    grant = find_grant(connection, name)
    current: Collection[StatementHash] = ()
    if grant is not None:
        current = find_reader_statements(connection, grant.grantee, pinned=moment.deployment.pinned, now=moment.now)
    return decide.decide_copy(
        key,
        change.record,
        grant=grant,
        compartment=find_compartment(connection, key.compartment_statement),
        current=current,
        now=moment.now,
    )


def _keep(change: Change, key: SealedKey, *, may_replace: bool) -> None:
    """Insert `key`, or find it there, or replace what is there. Raises `ConflictError`."""
    connection = change.moment.connection
    device, now = StatementHash(change.principal.key_id.raw), change.moment.now
    found = queries.find_sealed(connection, key)
    if found is None:
        queries.insert_sealed(connection, change.record, key, device=device, now=now)
        return
    record, sealed = found
    if sealed == key.sealed and record == change.record:
        return
    if record != change.record or not may_replace:
        raise ConflictError("sealed_key_stands")
    queries.replace_sealed(connection, key, device=device, now=now)


def _patient(change: Change) -> PersonRow:
    patient = find_person(change.moment.connection, change.record.patient())
    if patient is None:
        raise RefusedError("person_unknown")
    return patient
