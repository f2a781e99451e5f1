"""`POST /v1/directory`: anyone brings statements of the directory, which prove themselves."""

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, DirectoryUpdate
from carnet_protocol.errors import ErrorCode
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.calls import OpenCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.directory.accept import KINDS, accept_directory, check_directory
from carnet_server.events import LoggedEvent
from carnet_server.routes import Router
from carnet_server.statements import parse_statements


def make_directory_router(deployment: Deployment) -> Router:
    """The route."""
    router = Router()

    @router.open(
        "POST",
        "/v1/directory",
        body=DirectoryUpdate,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=Accepted,
        errors=(ErrorCode.INVALID_STATEMENT, ErrorCode.CONFLICT),
        count_statements=lambda body: len(body.statements),
    )
    def update_directory(call: OpenCall[DirectoryUpdate]) -> Accepted:
        """Accept attestations, revocation lists and successions, in order, all or none."""
        statements = parse_statements(call.body.statements, KINDS)
        signatures = Signatures()

        def work(connection: Connection, now: int) -> list[LoggedEvent]:
            return accept_directory(Moment(connection, now, deployment, signatures), statements)

        call.read(lambda connection, now: check_directory(Moment(connection, now, deployment, signatures), statements))

        return deployment.accepted(call.run(work))

    return router
