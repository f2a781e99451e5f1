"""`GET /v1/records/{record}/capsules`: every capsule of the record, for the patient's client to remake them."""

from types import NoneType
from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection

from carnet_protocol.api import CapsulesPage
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import DocumentId, RecordId
from carnet_protocol.limits import MAX_PAGE
from carnet_server.calls import SignedCall
from carnet_server.grants.access import authorise_patient
from carnet_server.routes import DEVICES, Router
from carnet_vault.capsules.page import load_capsules
from carnet_vault.cursors import parse_place

router = Router()


@router.signed(
    "GET",
    "/v1/records/{record}/capsules",
    kinds=DEVICES,
    body=NoneType,
    body_limit_bytes=0,
    answer=CapsulesPage,
    errors=(ErrorCode.REFUSED,),
)
def list_capsules(
    call: SignedCall[None],
    record: RecordId,
    document: DocumentId | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=2 * MAX_PAGE)] = MAX_PAGE,
) -> CapsulesPage:
    """Every capsule, of one document if that is named: those of compartments first, by their places.

    Personal ones whose grant is over are left out.
    """
    start = None if after is None else parse_place(after)

    def load(connection: Connection, now: int) -> CapsulesPage:
        authorise_patient(connection, call.principal, record)
        return load_capsules(connection, record, document=document, after=start, limit=limit, now=now)

    return call.read(load)
