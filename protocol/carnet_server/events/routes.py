"""`GET /v1/records/{record}/events`: the patient sees every event that concerns the record, with its opening."""

from types import NoneType
from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection

from carnet_protocol.api import EventsPage
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_JSON_INTEGER
from carnet_server.calls import SignedCall
from carnet_server.events.queries import load_page
from carnet_server.grants.access import authorise_patient
from carnet_server.parameters import ONE_SPELLING
from carnet_server.routes import DEVICES, Router

router = Router()
Index = Annotated[int | None, Query(ge=0, le=MAX_JSON_INTEGER), ONE_SPELLING]


@router.signed(
    "GET",
    "/v1/records/{record}/events",
    kinds=DEVICES,
    body=NoneType,
    body_limit_bytes=0,
    answer=EventsPage,
    errors=(ErrorCode.REFUSED,),
)
def read_events(call: SignedCall[None], record: RecordId, after: Index = None) -> EventsPage:
    """Events of the record with an index above `after`, a page at a time."""

    def load(connection: Connection, now: int) -> EventsPage:
        del now
        authorise_patient(connection, call.principal, record)
        return load_page(connection, record, after=-1 if after is None else after)

    return call.read(load)
