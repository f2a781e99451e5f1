"""Accepting statements of the directory, in one transaction: read, decide, log, keep.

Anyone may bring them, for they prove themselves. A statement that was accepted before is answered as before.
"""

from collections.abc import Sequence
from typing import Final

from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Attestation, RevocationList, Signed, Statement, Succession
from carnet_server.deployment import Moment
from carnet_server.directory import decide, queries
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.people.queries import find_owner, find_person
from carnet_server.statements import AnyStatement, find_acceptance, store_statement

KINDS: Final[tuple[type[Statement], ...]] = (Attestation, RevocationList, Succession)


def accept_directory(moment: Moment, statements: Sequence[AnyStatement]) -> list[LoggedEvent]:
    """Accept `statements` in order, all or none; return the event of each.

    Raises `InvalidStatementError` or `ConflictError`.
    """
    return [find_acceptance(moment.connection, signed) or _accept(moment, signed) for signed in statements]


def _accept(moment: Moment, signed: AnyStatement) -> LoggedEvent:
    match signed.body:
        case Attestation():
            return _accept_attestation(moment, signed)
        case RevocationList():
            return _accept_list(moment, signed)
        case Succession():
            return _accept_succession(moment, signed)
        case _:
            raise InvalidStatementError("statement_kind")


def _accept_attestation(moment: Moment, signed: Signed[Attestation]) -> LoggedEvent:
    connection, body = moment.connection, signed.body
    key = decide.decide_attestation(
        signed,
        moment.deployment.registrars,
        subject=find_person(connection, body.subject),
        owner=find_owner(connection, body.subject_statement),
        is_id_taken=queries.find_attestation(connection, body.registrar, body.id) is not None,
        now=moment.now,
    )
    moment.signatures.verify(signed, key)
    event = _log(moment, signed, body.subject)
    queries.insert_attestation(connection, signed)
    return event


def _accept_list(moment: Moment, signed: Signed[RevocationList]) -> LoggedEvent:
    newest = queries.find_list(moment.connection, signed.body.registrar)
    key = decide.decide_list(signed, moment.deployment.registrars, newest=newest, now=moment.now)
    moment.signatures.verify(signed, key)
    event = _log(moment, signed, None)
    queries.store_list(moment.connection, signed, is_first=newest is None)
    return event


def _accept_succession(moment: Moment, signed: Signed[Succession]) -> LoggedEvent:
    connection, body = moment.connection, signed.body
    key = decide.decide_succession(
        signed,
        predecessor=find_person(connection, body.predecessor),
        successor=find_person(connection, body.successor),
        owner=find_owner(connection, body.successor_statement),
        is_succeeded=queries.find_succession(connection, body.predecessor) is not None,
        now=moment.now,
    )
    moment.signatures.verify(signed, key)
    event = _log(moment, signed, body.predecessor)
    queries.insert_succession(connection, signed)
    return event


def _log(moment: Moment, signed: AnyStatement, by: IdentityHash | None) -> LoggedEvent:
    event = moment.log(NewEvent(f"statement.{signed.body.KIND}", by=by, statement=signed.hash))
    store_statement(moment.connection, signed, event=event, now=moment.now)
    return event
