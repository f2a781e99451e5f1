"""Enrolling and retiring officers, in one transaction with the event that says so.

A retired key never comes back: it would be in force again for requests that it signed before.
"""

from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.deployment import Moment
from carnet_server.errors import ConflictError, RefusedError
from carnet_server.events import LoggedEvent, NewEvent, find_event
from carnet_server.officers.queries import find_officer, insert_officer, retire_officer


def enrol_officer(moment: Moment, public_key: Ed25519PublicKey, *, by: Fingerprint | None) -> LoggedEvent:
    """Put `public_key` in force; `by` is the officer who does so, None for whoever holds the machine.

    Enrolling once more is answered as before. Raises `ConflictError` for a retired key.
    """
    officer = public_key.fingerprint()
    known = find_officer(moment.connection, officer)
    if known is not None:
        if known.retired is not None:
            raise ConflictError("officer_retired")
        return find_event(moment.connection, known.enrolled)
    event = moment.log(NewEvent("officer.enrolled", by=by, detail={"officer": str(officer)}))
    insert_officer(moment.connection, public_key, event=event.index)
    return event


def expel_officer(moment: Moment, officer: Fingerprint, *, by: Fingerprint | None) -> LoggedEvent:
    """Retire `officer`, for good. Once more is answered as before. Raises `RefusedError` for an unknown one."""
    known = find_officer(moment.connection, officer)
    if known is None:
        raise RefusedError("officer_unknown")
    if known.retired is not None:
        return find_event(moment.connection, known.retired)
    event = moment.log(NewEvent("officer.retired", by=by, detail={"officer": str(officer)}))
    retire_officer(moment.connection, officer, event=event.index)
    return event
