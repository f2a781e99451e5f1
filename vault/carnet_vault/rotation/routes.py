"""`/v1/rotation/…`: the key service rotates outer locks, with no patient present. Its requests alone are let in.

Every answer is signed by the vault (`carnet_protocol.answers`).
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from carnet_protocol.api import (
    LockCount,
    LockCountsAnswer,
    LockCountsQuery,
    LocksShown,
    LocksUpdate,
    OldCapsulesPage,
    OldCapsulesQuery,
    RecordLocks,
    RecordSwapped,
    ShownLock,
    SwapsAnswer,
    SwapsUpdate,
)
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Fingerprint, RecordId
from carnet_protocol.limits import KIB, MAX_BODY_BYTES
from carnet_protocol.statements import Lock, Server, Signed
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.errors import BadRequestError
from carnet_server.routes import SERVERS, Router
from carnet_server.statements.parse import parse_statement
from carnet_vault.locks.decide import require_own
from carnet_vault.rotation.accept import show_lock, swap_locks
from carnet_vault.rotation.cursor import Cursor
from carnet_vault.rotation.decide import require_swaps
from carnet_vault.rotation.page import load_old
from carnet_vault.rotation.queries import UsedLock, count_used_locks

_QUERY_BYTES = 16 * KIB


def make_rotation_router(deployment: Deployment) -> Router:
    """The routes."""
    router = Router()
    keyservice = deployment.card.body.keyservice

    @router.signed(
        "POST",
        "/v1/rotation/locks",
        kinds=SERVERS,
        body=LocksUpdate,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=LocksShown,
        errors=(ErrorCode.REFUSED, ErrorCode.INVALID_STATEMENT),
    )
    def show_locks(call: SignedCall[LocksUpdate]) -> LocksShown:
        """Keep lock statements, one for each of several records: from then on deposits are made under them."""
        signatures = Signatures()
        locks = parse_locks(call.body.locks, keyservice, signatures)

        def accept(connection: Connection, now: int) -> tuple[ShownLock, ...]:
            moment = Moment(connection, now, deployment, signatures)
            return tuple(show_lock(moment, lock) for lock in locks)

        return LocksShown(locks=call.run(accept))

    @router.signed(
        "POST",
        "/v1/rotation/capsules",
        kinds=SERVERS,
        body=OldCapsulesQuery,
        body_limit_bytes=_QUERY_BYTES,
        answer=OldCapsulesPage,
        errors=(ErrorCode.REFUSED,),
    )
    def list_old_capsules(call: SignedCall[OldCapsulesQuery]) -> OldCapsulesPage:
        """Capsules of several records that are under a lock below the highest version seen."""
        query = call.body
        after = None if query.after is None else Cursor.parse(query.after)

        return call.read(lambda connection, _: load_old(connection, query.records, after=after, limit=query.limit))

    @router.signed(
        "POST",
        "/v1/rotation/swaps",
        kinds=SERVERS,
        body=SwapsUpdate,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=SwapsAnswer,
        errors=(ErrorCode.REFUSED,),
    )
    def swap_outer_locks(call: SignedCall[SwapsUpdate]) -> SwapsAnswer:
        """Put other outer locks in the place of those that stand, each where what it replaces stands."""
        for asked in call.body.records:
            require_swaps(asked.swaps)
        by = Fingerprint(call.principal.key_id.raw)

        def accept(connection: Connection, now: int) -> tuple[RecordSwapped, ...]:
            moment = Moment(connection, now, deployment)
            return tuple(swap_locks(moment, asked, by=by) for asked in call.body.records)

        return SwapsAnswer(records=call.run(accept))

    @router.signed(
        "POST",
        "/v1/rotation/counts",
        kinds=SERVERS,
        body=LockCountsQuery,
        body_limit_bytes=_QUERY_BYTES,
        answer=LockCountsAnswer,
        errors=(ErrorCode.REFUSED,),
    )
    def count_locks(call: SignedCall[LockCountsQuery]) -> LockCountsAnswer:
        """How many capsules of several records are under which version of their lock."""
        records = call.body.records

        counted = call.read(lambda connection, _: count_used_locks(connection, records))
        return LockCountsAnswer(records=tuple(_view(*each) for each in zip(records, counted, strict=True)))

    return router


def parse_locks(texts: Sequence[str], keyservice: Server, signatures: Signatures) -> list[Signed[Lock]]:
    """The lock statements by `keyservice` in `texts`, each of another record, their signatures checked.

    Raises `InvalidStatementError` or `BadRequestError`.
    """
    locks: list[Signed[Lock]] = [parse_statement(text, [Lock]) for text in texts]
    fingerprint = keyservice.fingerprint()
    for lock in locks:
        require_own(lock, record=lock.body.record, keyservice=fingerprint)
    if len({lock.body.record for lock in locks}) != len(locks):
        raise BadRequestError("record_twice")
    for lock in locks:
        signatures.verify(lock, keyservice.key)
    return locks


def _view(record: RecordId, counted: tuple[int, list[UsedLock]]) -> RecordLocks:
    highest, used = counted
    by_version: dict[int, list[int]] = {}
    for lock in used:
        by_version.setdefault(lock.version, [0, 0])[lock.is_personal] += lock.count
    counts = tuple(
        LockCount(version=version, capsules=shared, personal_capsules=personal)
        for version, (shared, personal) in sorted(by_version.items())
    )
    return RecordLocks(record=record, highest=highest, locks=counts)
