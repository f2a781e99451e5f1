"""`GET /v1/records/{record}/sealed-keys?statement=`: the patient reads an own copy back before publishing its epoch."""

from types import NoneType

from sqlalchemy import Connection

from carnet_keyservice.sealed_keys.queries import load_copies
from carnet_protocol.api import SealedKeysView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId, StatementHash
from carnet_server.calls import SignedCall
from carnet_server.grants.access import authorise_patient
from carnet_server.routes import DEVICES, Router

router = Router()


@router.signed(
    "GET",
    "/v1/records/{record}/sealed-keys",
    kinds=DEVICES,
    body=NoneType,
    body_limit_bytes=0,
    answer=SealedKeysView,
    errors=(ErrorCode.REFUSED,),
)
def read_sealed_keys(call: SignedCall[None], record: RecordId, statement: StatementHash) -> SealedKeysView:
    """The patient's own copies of the key of `statement`, published or not."""

    def load(connection: Connection, now: int) -> SealedKeysView:
        del now
        authorise_patient(connection, call.principal, record)
        return SealedKeysView(sealed_keys=load_copies(connection, record, statement, grant=None))

    return call.read(load)
