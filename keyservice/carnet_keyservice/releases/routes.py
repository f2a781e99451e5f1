"""`POST /v1/records/{record}/releases`."""

from sqlalchemy import Connection

from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.releases.release import (
    Candidate,
    find_candidates,
    find_lock_keys,
    log_release,
    open_candidates,
)
from carnet_keyservice.sealing import LockKey
from carnet_protocol.api import ReleaseAnswer, ReleaseRequest
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.events import LoggedEvent
from carnet_server.routes import DEVICES, Router
from carnet_server.threads import run_short


def make_releases_router(deployment: Deployment, keys: LockKeys) -> Router:
    """The route, which opens outer locks with `keys`."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/releases",
        kinds=DEVICES,
        body=ReleaseRequest,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=ReleaseAnswer,
        errors=(ErrorCode.REFUSED,),
    )
    async def release(call: SignedCall[ReleaseRequest], record: RecordId) -> ReleaseAnswer:
        """Take off the outer locks that the grant lets come off; null in the place of the others."""
        request = call.body

        def look(connection: Connection, now: int) -> tuple[list[Candidate], dict[int, LockKey]]:
            everything = range(len(request.items))
            pinned = deployment.pinned
            candidates = find_candidates(
                connection, call.principal, record, request, everything, pinned=pinned, now=now
            )
            return candidates, find_lock_keys(connection, record, candidates, keys)

        opened = await run_short(lambda: open_candidates(record, *call.read(look)))

        def work(connection: Connection, now: int) -> tuple[frozenset[int], LoggedEvent]:
            return log_release(Moment(connection, now, deployment), call.principal, record, request, list(opened))

        released, event = await call.submit(work)
        inner = tuple(opened[position] if position in released else None for position in range(len(request.items)))
        return ReleaseAnswer(inner=inner, receipt=deployment.receipt(event))

    return router
