"""`GET /v1/recovery`: whoever holds the root key gets back what it takes to begin anew."""

from types import NoneType

from sqlalchemy import Connection

from carnet_keyservice.recovery.queries import load_recoveries
from carnet_protocol.api import RecoveryView
from carnet_protocol.errors import ErrorCode
from carnet_server.calls import SignedCall
from carnet_server.people.queries import load_bundle
from carnet_server.routes import ROOTS, Router

router = Router()


@router.signed(
    "GET",
    "/v1/recovery",
    kinds=ROOTS,
    body=NoneType,
    body_limit_bytes=0,
    answer=RecoveryView,
    errors=(ErrorCode.REFUSED,),
)
def read_recovery(call: SignedCall[None]) -> RecoveryView:
    """The person whose root key signed the request, and their recovery statements, oldest first."""

    def work(connection: Connection, now: int) -> RecoveryView:
        del now
        return RecoveryView(
            person=load_bundle(connection, call.principal.person),
            recoveries=load_recoveries(connection, call.principal.person),
        )

    return call.read(work)
