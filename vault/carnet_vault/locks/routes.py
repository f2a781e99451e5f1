"""`POST /v1/records/{record}/locks`: the patient shows the vault a lock statement, before swapping capsules under it.

Deposits and reseals bring theirs along.
"""

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, LockView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import authorise_patient
from carnet_server.routes import DEVICES, Router
from carnet_vault.locks.accept import accept_lock
from carnet_vault.locks.decide import parse_lock


def make_locks_router(deployment: Deployment) -> Router:
    """The route."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/locks",
        kinds=DEVICES,
        body=LockView,
        body_limit_bytes=MAX_STATEMENT_BYTES + 256,
        answer=Accepted,
        errors=(ErrorCode.REFUSED, ErrorCode.INVALID_STATEMENT, ErrorCode.STALE),
    )
    def mirror_lock(call: SignedCall[LockView], record: RecordId) -> Accepted:
        """Keep a lock statement of the key service, if it is good for sealing now."""
        call.read(lambda connection, _: authorise_patient(connection, call.principal, record))
        lock = parse_lock(call.body.lock, record=record, keyservice=deployment.card.body.keyservice.fingerprint())

        def accept(connection: Connection, now: int) -> LoggedEvent:
            authorise_patient(connection, call.principal, record)
            return accept_lock(Moment(connection, now, deployment), lock)

        return deployment.accepted([call.run(accept)])

    return router
