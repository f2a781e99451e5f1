"""Which sealed keys the key service keeps. Values in, verdict out."""

from collections.abc import Collection
from typing import Final

from carnet_protocol.api import SealedKey
from carnet_protocol.errors import MalformedError, UnsupportedSuiteError
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.sealed_box import BoxKind, parse_header
from carnet_protocol.statements import Permission
from carnet_protocol.suites import KEM_SEED_SIZE
from carnet_server.compartments import CompartmentRow
from carnet_server.errors import BadRequestError, RefusedError, StaleError, TooLargeError
from carnet_server.grants import GrantRow

MAX_SEALED_KEYS: Final = 200_000
"""Sealed keys that one record can have."""


MAX_STAGED_KEYS: Final = 2_000
"""Of these, how many can wait for their epoch to be published."""
STAGED_SECONDS: Final = 86_400
"""How long a key waits for its epoch: a client stages, reads back and publishes in one command."""


def require_form(key: SealedKey) -> None:
    """Refuse what is not a sealed compartment key of the exact size. Raises `BadRequestError`."""
    try:
        parse_header(key.sealed, BoxKind.SEALED_COMPARTMENT_KEY, plaintext_size=KEM_SEED_SIZE)
    except (MalformedError, UnsupportedSuiteError) as error:
        raise BadRequestError("sealed_key_malformed") from error


def require_room(known: int, new: int) -> None:
    """Refuse more sealed keys than a record can have. Raises `TooLargeError`."""
    if not has_room(known, new):
        raise TooLargeError("sealed_keys")


def has_room(known: int, new: int) -> bool:
    """Whether a record that has `known` sealed keys can have `new` ones as well."""
    return known + new <= MAX_SEALED_KEYS


def require_staging_room(staged: int) -> None:
    """Refuse more keys than may wait for their epochs. Raises `TooLargeError`."""
    if staged > MAX_STAGED_KEYS:
        raise TooLargeError("staged_keys")


def decide_own_copy(key: SealedKey, *, current: StatementHash) -> None:
    """The patient's own copy is sealed to their newest account key."""
    if key.reader_statement != current:
        raise StaleError("reader_has_newer_keys")


def decide_copy(
    key: SealedKey,
    record: RecordId,
    *,
    grant: GrantRow | None,
    compartment: CompartmentRow | None,
    current: Collection[StatementHash],
    now: int,
) -> bool:
    """Whether a grantee's copy is kept: not under a grant that has ended, which holds up nothing else either.

    A device that does not know yet that a grant ended, or fell with a removed device, seals to its grantee as well.

    1. The grant is a read grant of this record.
    2. The compartment statement, if it is published, is one of this record that is not closed, of a compartment in the
       grant's scope. If it is not published yet, this is checked when it is.
    3. It is sealed to the grantee's keys that the grant names, or to those that the grantee or a successor has now
       (`current`).

    Raises `RefusedError`, `BadRequestError` or `StaleError`.
    """
    # 1
    if grant is None or grant.record != record:
        raise RefusedError("grant_unknown")
    if grant.permission is not Permission.READ:
        raise BadRequestError("deposit_grant_carries_no_key")
    if grant.is_over(now):
        return False
    # 2
    if compartment is not None:
        decide_epoch(compartment, record, grant)
    # 3
    if key.reader_statement not in {grant.grantee_statement, *current}:
        raise StaleError("reader_has_newer_keys")
    return True


def decide_epoch(compartment: CompartmentRow, record: RecordId, grant: GrantRow) -> None:
    """The epoch is one of the record, not closed, of a compartment in the grant's scope."""
    if compartment.record != record or compartment.compartment not in grant.compartments:
        raise BadRequestError("compartment_not_in_scope")
    if compartment.is_closed:
        raise StaleError("epoch_closed")


def may_reseal(
    key: SealedKey,
    *,
    current: StatementHash,
    epochs: Collection[StatementHash],
    sealed_before: Collection[StatementHash],
) -> bool:
    """Whether a reader may bring `key` for themselves.

    1. It is sealed to their newest keys.
    2. Its epoch is one of `epochs`: published, not closed, of a compartment in the grant's scope.
    3. The patient had that key sealed under that grant: nobody gets one of which the patient did not think.
    """
    return (
        key.reader_statement == current
        and key.compartment_statement in epochs
        and key.compartment_statement in sealed_before
    )
