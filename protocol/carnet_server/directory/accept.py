"""Accepting statements of the directory, in one transaction: read, decide, log, keep.

Anyone may bring them, for they prove themselves. A statement that was accepted before is answered as before.
"""

from collections.abc import Sequence
from typing import Final

from carnet_protocol.ids import Ed25519PublicKey, IdentityHash
from carnet_protocol.statements import Attestation, RevocationList, Signed, Statement, Succession
from carnet_server.deployment import Moment
from carnet_server.directory import decide, queries
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.people.queries import find_owner, find_person
from carnet_server.statements import AnyStatement, find_acceptance, store_statement

KINDS: Final[tuple[type[Statement], ...]] = (Attestation, RevocationList, Succession)


def check_directory(moment: Moment, statements: Sequence[AnyStatement]) -> None:
    """Refuse what is not rightly signed, on a snapshot, so that it costs the one writer nothing.

    Whose signature is good is remembered, and not checked again inside of the transaction. Raises
    `InvalidStatementError`.
    """
    for signed in statements:
        if find_acceptance(moment.connection, signed) is None:
            _verify(moment, signed)


def accept_directory(moment: Moment, statements: Sequence[AnyStatement]) -> list[LoggedEvent]:
    """Accept `statements` in order, all or none; return the event of each.

    Raises `InvalidStatementError` or `ConflictError`.
    """
    return [find_acceptance(moment.connection, signed) or _accept(moment, signed) for signed in statements]


def _verify(moment: Moment, signed: AnyStatement) -> None:
    """Check that the key that may have signed `signed` did, with as much work where there is none."""
    try:
        key = _find_signer(moment, signed)
    except InvalidStatementError:
        moment.signatures.prove(signed, [moment.deployment.log_key.public_key])
        raise
    moment.signatures.verify(signed, key)


def _find_signer(moment: Moment, signed: AnyStatement) -> Ed25519PublicKey:
    match signed.body:
        case Attestation() | RevocationList() as body:
            return decide.require_registrar(body.registrar, moment.deployment.registrars)
        case Succession() as body:
            return decide.require_predecessor(find_person(moment.connection, body.predecessor))
        case _:
            raise InvalidStatementError("statement_kind")


def _accept(moment: Moment, signed: AnyStatement) -> LoggedEvent:
    _verify(moment, signed)
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
    decide.decide_attestation(
        signed,
        subject=find_person(connection, body.subject),
        owner=find_owner(connection, body.subject_statement),
        is_id_taken=queries.find_attestation(connection, body.registrar, body.id) is not None,
        now=moment.now,
    )
    event = _log(moment, signed, body.subject)
    queries.insert_attestation(connection, signed)
    return event


def _accept_list(moment: Moment, signed: Signed[RevocationList]) -> LoggedEvent:
    newest = queries.find_list(moment.connection, signed.body.registrar)
    decide.decide_list(signed, newest=newest, now=moment.now)
    event = _log(moment, signed, None)
    queries.store_list(moment.connection, signed, is_first=newest is None)
    return event


def _accept_succession(moment: Moment, signed: Signed[Succession]) -> LoggedEvent:
    connection, body = moment.connection, signed.body
    decide.decide_succession(
        signed,
        successor=find_person(connection, body.successor),
        owner=find_owner(connection, body.successor_statement),
        is_succeeded=queries.find_succession(connection, body.predecessor) is not None,
        now=moment.now,
    )
    event = _log(moment, signed, body.predecessor)
    queries.insert_succession(connection, signed)
    return event


def _log(moment: Moment, signed: AnyStatement, by: IdentityHash | None) -> LoggedEvent:
    event = moment.log(NewEvent(f"statement.{signed.body.KIND}", by=by, statement=signed.hash))
    store_statement(moment.connection, signed, event=event, now=moment.now)
    return event
