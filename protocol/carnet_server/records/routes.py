"""`/v1/records/{record}/statements`, `/v1/records/{record}/access`, and the same for all patients of a practitioner."""

from types import NoneType

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, AccessesPage, AccessView, RecordUpdate
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import authorise
from carnet_server.grants.queries import load_lasting_grants
from carnet_server.records.accept import KINDS, accept_record, prove_record
from carnet_server.records.effects import Change, Effects
from carnet_server.records.view import MAX_ACCESSES, Extras, view_access, view_accesses
from carnet_server.routes import DEVICES, Router
from carnet_server.statements import parse_statements


def make_records_router(deployment: Deployment, effects: Effects, *, extras: Extras | None = None) -> Router:
    """The routes of a server with `effects` of its own when a record changes, and `extras` of its own to show."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/statements",
        kinds=DEVICES,
        body=RecordUpdate,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=Accepted,
        errors=(ErrorCode.REFUSED, ErrorCode.INVALID_STATEMENT, ErrorCode.CONFLICT, ErrorCode.STALE),
    )
    def update_record(call: SignedCall[RecordUpdate], record: RecordId) -> Accepted:
        """Accept statements about a record, all or none. The same statements again are answered as before."""
        statements = parse_statements(call.body.statements, KINDS)
        signatures = Signatures()
        call.read(lambda connection, now: prove_record(Moment(connection, now, deployment, signatures), statements))

        def work(connection: Connection, now: int) -> list[LoggedEvent]:
            moment = Moment(connection, now, deployment, signatures)
            return accept_record(Change(moment, call.principal, record, call.body), statements, effects)

        return deployment.accepted(call.run(work))

    @router.signed(
        "GET",
        "/v1/records/{record}/access",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=AccessView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_access(call: SignedCall[None], record: RecordId, grant: StatementHash | None = None) -> AccessView:
        """What the principal needs to use the record under `grant`, or as its patient."""

        def work(connection: Connection, now: int) -> AccessView:
            access = authorise(
                connection, call.principal, record, grant, permission=None, pinned=deployment.pinned, now=now
            )
            view = view_access(connection, access)
            return view if extras is None else extras(connection, access, view, now)

        return call.read(work)

    @router.signed(
        "GET", "/v1/inbox/access", kinds=DEVICES, body=NoneType, body_limit_bytes=0, answer=AccessesPage, errors=()
    )
    def read_accesses(call: SignedCall[None], after: StatementHash | None = None) -> AccessesPage:
        """What the principal needs to use every record whose compartments they may read now, or later."""

        def work(connection: Connection, now: int) -> AccessesPage:
            found = load_lasting_grants(
                connection,
                call.principal.person,
                after=after,
                pinned=deployment.pinned,
                now=now,
                limit=MAX_ACCESSES + 1,
            )
            return view_accesses(connection, call.principal.person, found, extras=extras, now=now)

        return call.read(work)

    return router
