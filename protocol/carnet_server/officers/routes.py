"""`/v1/admin`: what officers see and do. Each request is signed with an officer's key; each act is an event."""

from collections.abc import Callable
from types import NoneType

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, OfficerUpdate, ServerStatus
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.events import LoggedEvent, NewEvent
from carnet_server.events.queries import count_events
from carnet_server.officers.accept import enrol_officer, expel_officer
from carnet_server.officers.queries import load_officers
from carnet_server.routes import OFFICERS, Router

MAX_OFFICER_BODY_BYTES = 1024
Counts = Callable[[Connection, int], dict[str, int]]
"""A server's own numbers, at a time."""


def make_officers_router(deployment: Deployment, counts: Counts) -> Router:
    """The routes of a server whose status has `counts`."""
    router = Router()

    @router.signed(
        "GET",
        "/v1/admin/status",
        kinds=OFFICERS,
        body=NoneType,
        body_limit_bytes=0,
        answer=ServerStatus,
        errors=(ErrorCode.REFUSED,),
    )
    def read_status(call: SignedCall[None]) -> ServerStatus:
        """The state of the server in numbers, and its officers. Looking is logged as well."""

        def work(connection: Connection, now: int) -> ServerStatus:
            moment = Moment(connection, now, deployment)
            moment.log(NewEvent("admin.status", by=_officer(call)))
            return view_status(moment, counts)

        return call.run(work)

    @router.signed(
        "POST",
        "/v1/admin/officers",
        kinds=OFFICERS,
        body=OfficerUpdate,
        body_limit_bytes=MAX_OFFICER_BODY_BYTES,
        answer=Accepted,
        errors=(ErrorCode.REFUSED, ErrorCode.CONFLICT),
    )
    def add_officer(call: SignedCall[OfficerUpdate]) -> Accepted:
        """Put another officer's key in force."""
        public_key = Ed25519PublicKey(call.body.public_key.raw)

        def work(connection: Connection, now: int) -> LoggedEvent:
            return enrol_officer(Moment(connection, now, deployment), public_key, by=_officer(call))

        return deployment.accepted([call.run(work)])

    @router.signed(
        "DELETE",
        "/v1/admin/officers/{officer}",
        kinds=OFFICERS,
        body=NoneType,
        body_limit_bytes=0,
        answer=Accepted,
        errors=(ErrorCode.REFUSED,),
    )
    def remove_officer(call: SignedCall[None], officer: Fingerprint) -> Accepted:
        """Retire an officer's key, for good."""

        def work(connection: Connection, now: int) -> LoggedEvent:
            return expel_officer(Moment(connection, now, deployment), officer, by=_officer(call))

        return deployment.accepted([call.run(work)])

    return router


def view_status(moment: Moment, counts: Counts) -> ServerStatus:
    """The state of the server at this moment."""
    return ServerStatus(
        server=moment.deployment.fingerprint,
        time=moment.now,
        events=count_events(moment.connection),
        officers=load_officers(moment.connection),
        counts=counts(moment.connection, moment.now),
    )


def _officer(call: SignedCall[None] | SignedCall[OfficerUpdate]) -> Fingerprint:
    return Fingerprint(call.principal.key_id.raw)
