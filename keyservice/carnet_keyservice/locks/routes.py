"""`/v1/records/{record}/lock`, `/locks` and `/locks/{version}/retirement`."""

from types import NoneType
from typing import Annotated

from fastapi import Path
from sqlalchemy import Connection

from carnet_keyservice.locks import accept, decide, queries
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.locks.queries import LockRow
from carnet_keyservice.master_keys.queries import find_coming_versions, find_sealing_versions
from carnet_protocol.api import Accepted, LockView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.signing import Signer
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import RefusedError
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import authorise_patient
from carnet_server.grants.queries import holds_grant_in_force
from carnet_server.parameters import ONE_SPELLING
from carnet_server.principals import Principal
from carnet_server.routes import DEVICES, Router

Version = Annotated[int, Path(ge=1, le=decide.MAX_LOCKS), ONE_SPELLING]


def make_locks_router(deployment: Deployment, keys: LockKeys, server_key: Signer) -> Router:
    """The routes; lock statements are signed with `server_key`."""
    router = Router()

    @router.signed(
        "GET",
        "/v1/records/{record}/lock",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=LockView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_lock(call: SignedCall[None], record: RecordId) -> LockView:
        """The newest lock statement, for the patient and for whoever has a grant in force."""

        def look(connection: Connection, now: int) -> str | None:
            require_reader(connection, call.principal, record, deployment, now=now)
            last = queries.find_newest_statement(connection, record)
            if last is None:
                raise RefusedError("lock_unknown")
            return last.jws if decide.is_fresh(last, now=now) else None

        def issue(connection: Connection, now: int) -> str:
            require_reader(connection, call.principal, record, deployment, now=now)
            return accept.reissue_statement(Moment(connection, now, deployment), record, server_key)

        return LockView(lock=call.read(look) or call.run(issue))

    @router.signed(
        "POST",
        "/v1/records/{record}/locks",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=LockView,
        errors=(ErrorCode.REFUSED, ErrorCode.CONFLICT),
    )
    def make_lock(call: SignedCall[None], record: RecordId) -> LockView:
        """Make the next version of the record's lock, the first one included."""

        def look(connection: Connection, _: int) -> tuple[LockRow | None, frozenset[int], frozenset[int]]:
            authorise_patient(connection, call.principal, record)
            newest = queries.find_newest_lock(connection, record)
            return newest, find_sealing_versions(connection), find_coming_versions(connection)

        newest, under, coming = call.read(look)
        version = decide.decide_next_version(newest)
        sealed = keys.make(record, version, suite=deployment.write_suite, under=under, coming=coming)

        maker = accept.LockMaker.of(call.principal)

        def work(connection: Connection, now: int) -> str:
            return accept.make_lock(Moment(connection, now, deployment), maker, sealed, server_key)

        return LockView(lock=call.run(work))

    @router.signed(
        "POST",
        "/v1/records/{record}/locks/{version}/retirement",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=Accepted,
        errors=(ErrorCode.REFUSED, ErrorCode.CONFLICT),
    )
    def retire_lock(call: SignedCall[None], record: RecordId, version: Version) -> Accepted:
        """Release nothing more under an older version. It is kept, sealed, for rotation and restore."""

        def work(connection: Connection, now: int) -> LoggedEvent:
            authorise_patient(connection, call.principal, record)
            moment = Moment(connection, now, deployment)
            return accept.retire_lock(moment, accept.LockMaker.of(call.principal), record, version)

        return deployment.accepted([call.run(work)])

    return router


def require_reader(
    connection: Connection, principal: Principal, record: RecordId, deployment: Deployment, *, now: int
) -> None:
    """Refuse anyone but the patient and the holders of grants in force. Raises `RefusedError`."""
    if principal.identity == record.patient():
        authorise_patient(connection, principal, record)
        return
    if not holds_grant_in_force(connection, principal.person, record, pinned=deployment.pinned, now=now):
        raise RefusedError("grant_unknown")
