"""Accepting lock statements in the writer's transaction. One that was accepted before is answered as before."""

from carnet_protocol.statements import Lock, Signed
from carnet_server.deployment import Moment
from carnet_server.erasures import require_standing
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.statements import find_acceptance, store_statement
from carnet_vault.locks.decide import require_current
from carnet_vault.locks.queries import find_highest_lock, insert_lock


def accept_lock(moment: Moment, signed: Signed[Lock]) -> LoggedEvent:
    """Keep a lock statement of this record and key service that is good now, and return its event.

    Raises `StaleError` or `InvalidStatementError`, or `RefusedError` for a record that was erased.
    """
    require_standing(moment.connection, signed.body.record)
    accepted = find_acceptance(moment.connection, signed)
    if accepted is not None:
        return accepted
    highest = find_highest_lock(moment.connection, signed.body.record)
    require_current(signed.body, highest=highest, now=moment.now)
    moment.signatures.verify(signed, moment.deployment.card.body.keyservice.key)
    event = moment.log(NewEvent("statement.lock", record=signed.body.record, statement=signed.hash))
    store_statement(moment.connection, signed, event=event, now=moment.now)
    insert_lock(moment.connection, signed)
    return event
