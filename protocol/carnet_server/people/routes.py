"""`/v1/people`: anyone brings statements that prove themselves; who may see a person, `view.py` decides."""

from types import NoneType

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, PeopleUpdate, PersonView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import IdentityHash
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_protocol.statements import Recovery, Statement
from carnet_server.calls import OpenCall, SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.events import LoggedEvent
from carnet_server.grants.voiding import OnVoided
from carnet_server.people.accept import KINDS, accept_people, check_people
from carnet_server.people.case import Recoveries, require_one_person
from carnet_server.people.view import view_person
from carnet_server.routes import DEVICES, Router
from carnet_server.statements import parse_statements


def make_people_router(
    deployment: Deployment, *, recoveries: Recoveries | None = None, on_voided: OnVoided | None = None
) -> Router:
    """The routes of a server that takes recovery statements if `recoveries` says what to do with them.

    `on_voided` hears of each grant that falls with a removed device.
    """
    router = Router()
    kinds: tuple[type[Statement], ...] = KINDS if recoveries is None else (*KINDS, Recovery)

    @router.open(
        "POST",
        "/v1/people",
        body=PeopleUpdate,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=Accepted,
        errors=(ErrorCode.INVALID_STATEMENT, ErrorCode.CONFLICT),
        count_statements=lambda body: len(body.statements),
    )
    def update_people(call: OpenCall[PeopleUpdate]) -> Accepted:
        """Accept statements of one person, in order, all or none. The same statements again are answered as before."""
        statements = parse_statements(call.body.statements, kinds)
        require_one_person(statements)
        signatures = Signatures()

        def check(connection: Connection, now: int) -> None:
            check_people(Moment(connection, now, deployment, signatures), statements, recoveries=recoveries)

        def work(connection: Connection, now: int) -> list[LoggedEvent]:
            moment = Moment(connection, now, deployment, signatures)
            return accept_people(moment, statements, recoveries=recoveries, on_voided=on_voided)

        call.read(check)
        return deployment.accepted(call.run(work))

    @router.signed(
        "GET",
        "/v1/people/{identity}",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=PersonView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_person(call: SignedCall[None], identity: IdentityHash) -> PersonView:
        """A person's statements, for themselves, for anyone if a practitioner, for grantees if a patient."""
        return call.read(
            lambda connection, now: view_person(
                connection, call.principal.person, identity, pinned=deployment.pinned, now=now
            )
        )

    return router
