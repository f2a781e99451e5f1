"""`/v1/records/{record}/grants` for the patient, `/v1/inbox` for practitioners."""

from types import NoneType

from sqlalchemy import Connection

from carnet_protocol.api import GrantsView, Inbox, InboxEntry
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment
from carnet_server.directory.queries import Registrars
from carnet_server.grants.access import authorise_patient
from carnet_server.grants.queries import load_grants, load_lasting_grants, load_revocations
from carnet_server.people.queries import load_bundles
from carnet_server.routes import DEVICES, Router

INBOX_PAGE = 50


def make_grants_router(deployment: Deployment) -> Router:
    """The routes."""
    router = Router()

    @router.signed(
        "GET",
        "/v1/records/{record}/grants",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=GrantsView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_grants(call: SignedCall[None], record: RecordId) -> GrantsView:
        """Every grant and revocation of the record, in the order of acceptance, for its patient."""

        def load(connection: Connection, now: int) -> GrantsView:
            del now
            authorise_patient(connection, call.principal, record)
            return GrantsView(grants=load_grants(connection, record), revocations=load_revocations(connection, record))

        return call.read(load)

    @router.signed("GET", "/v1/inbox", kinds=DEVICES, body=NoneType, body_limit_bytes=0, answer=Inbox, errors=())
    def read_inbox(call: SignedCall[None], after: StatementHash | None = None) -> Inbox:
        """Grants to the principal, or to whom they succeed, that have not ended, with their patients."""
        return call.read(
            lambda connection, now: view_inbox(
                connection, call.principal.person, after=after, pinned=deployment.pinned, now=now
            )
        )

    return router


def view_inbox(
    connection: Connection, principal: IdentityHash, *, after: StatementHash | None, pinned: Registrars, now: int
) -> Inbox:
    """A page of the grants that `principal` holds and that have not ended, by grant hash, with each patient once."""
    found = load_lasting_grants(connection, principal, after=after, pinned=pinned, now=now, limit=INBOX_PAGE + 1)
    page = found[:INBOX_PAGE]
    patients = list(dict.fromkeys(record.patient() for _, record, _ in page))
    bundles = load_bundles(connection, patients)
    return Inbox(
        entries=tuple(InboxEntry(grant=jws, patient=patients.index(record.patient())) for _, record, jws in page),
        patients=tuple(bundles[patient] for patient in patients),
        next=str(page[-1][0]) if len(found) > INBOX_PAGE else None,
    )
