"""Accepting a recovery statement: one for each identity statement, made while that is the newest."""

from carnet_keyservice.recovery.queries import has_recovery, insert_recovery
from carnet_protocol.statements import Recovery, Signed
from carnet_server.deployment import Moment
from carnet_server.errors import ConflictError, InvalidStatementError
from carnet_server.events import LoggedEvent
from carnet_server.people.decide import require_past
from carnet_server.people.queries import PersonRow


def accept_recovery(moment: Moment, person: PersonRow, signed: Signed[Recovery], event: LoggedEvent) -> None:
    """Keep `signed`, whose signature by the newest root key was checked, for the newest identity statement.

    Raises `InvalidStatementError` or `ConflictError`.
    """
    del event
    decide_recovery(signed.body, person, now=moment.now)
    if has_recovery(moment.connection, signed.body.identity_statement):
        raise ConflictError("recovery_stands")
    insert_recovery(moment.connection, signed)


def decide_recovery(body: Recovery, person: PersonRow, *, now: int) -> None:
    """It is for the newest identity statement, and holds the account key before it unless that is the first."""
    require_past(body.issued_at, now=now)
    if body.identity_statement != person.current:
        raise ConflictError("identity_not_newest")
    if (body.sealed_previous is None) != (person.serial == 0):
        raise InvalidStatementError("recovery_chain")
