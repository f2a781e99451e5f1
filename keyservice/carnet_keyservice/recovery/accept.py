"""Accepting a recovery statement: one for each identity statement, made while that is the newest."""

from typing import Final

from carnet_keyservice.recovery.queries import has_recovery, insert_recovery
from carnet_protocol.statements import Recovery
from carnet_server.errors import ConflictError, InvalidStatementError
from carnet_server.people.case import Recoveries
from carnet_server.people.decide import require_past
from carnet_server.people.queries import PersonRow


def decide_recovery(body: Recovery, person: PersonRow, now: int) -> None:
    """It is for the newest identity statement, and holds the account key before it unless that is the first.

    Raises `InvalidStatementError` or `ConflictError`.
    """
    require_past(body.issued_at, now=now)
    if body.identity_statement != person.current:
        raise ConflictError("identity_not_newest")
    if (body.sealed_previous is None) != (person.serial == 0):
        raise InvalidStatementError("recovery_chain")


RECOVERIES: Final = Recoveries(stands=has_recovery, decide=decide_recovery, keep=insert_recovery)
