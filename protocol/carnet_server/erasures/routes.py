"""`POST /v1/records/{record}/erasure`."""

from collections.abc import Callable

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, ErasureUpdate
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_protocol.statements import Erasure, Signed
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.erasures.accept import Forget, accept_erasure, check_erasure
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import require_own_record
from carnet_server.routes import DEVICES, Router
from carnet_server.statements import parse_statements

OnErased = Callable[[RecordId], None]
"""What one server does once the erasure is committed; it may be cut, and whatever it leaves is done later."""


def make_erasures_router(deployment: Deployment, forget: Forget, on_erased: OnErased) -> Router:
    """The route of a server that deletes its own rows of a record by `forget`, and does `on_erased` afterwards."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/erasure",
        kinds=DEVICES,
        body=ErasureUpdate,
        body_limit_bytes=MAX_STATEMENT_BYTES + 256,
        answer=Accepted,
        errors=(ErrorCode.REFUSED, ErrorCode.INVALID_STATEMENT),
    )
    def erase_record(call: SignedCall[ErasureUpdate], record: RecordId) -> Accepted:
        """Erase the whole record, for good. The same erasure again is answered as before."""
        require_own_record(call.principal, record)
        signed: Signed[Erasure] = parse_statements(call.body.statements, (Erasure,))[0]
        signatures = Signatures()
        erased = call.read(
            lambda connection, now: check_erasure(Moment(connection, now, deployment, signatures), record, signed)
        )

        def work(connection: Connection, now: int) -> LoggedEvent:
            moment = Moment(connection, now, deployment, signatures)
            return accept_erasure(moment, call.principal, record, signed, forget)

        event = call.run(work)
        if erased is None:
            on_erased(record)
        return deployment.accepted([event])

    return router
