"""Accepting statements about people, in one transaction: read, decide, log, keep (spec `statements.md`, "People").

Anyone may bring them, for they prove themselves. A statement that was accepted before is answered as before.
"""

from collections.abc import Callable, Sequence
from typing import Final

from carnet_protocol.ids import Ed25519PublicKey, IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Device, Identity, Recovery, Removal, Role, Signed, Statement
from carnet_server.deployment import Moment
from carnet_server.errors import BadRequestError, InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.grants.voiding import OnVoided, void_grants_of
from carnet_server.people import decide, queries
from carnet_server.people.queries import PersonRow
from carnet_server.statements import AnyStatement, find_acceptance, store_statement

KINDS: Final[tuple[type[Statement], ...]] = (Identity, Device, Removal)
"""What both servers take."""

OnRecovery = Callable[[Moment, PersonRow, Signed[Recovery], LoggedEvent], None]
"""Decides about a recovery statement and keeps it; its signature is checked already."""


def accept_people(
    moment: Moment,
    statements: Sequence[AnyStatement],
    *,
    on_recovery: OnRecovery | None = None,
    on_voided: OnVoided | None = None,
) -> list[LoggedEvent]:
    """Accept `statements` of one person, in order, all or none; return the event of each.

    `on_voided` hears of each grant that falls with a removed device.

    Raises `InvalidStatementError`, `ConflictError`, `TooLargeError` or `BadRequestError`.
    """
    if len({_subject(signed) for signed in statements}) != 1:
        raise BadRequestError("several_people")
    return [_accept(moment, signed, on_recovery, on_voided) for signed in statements]


def prove_people(moment: Moment, statements: Sequence[AnyStatement]) -> None:
    """Check signatures on a snapshot, before the transaction: what is good is not checked again there."""
    roots: list[Ed25519PublicKey] = []
    keys: dict[StatementHash, Ed25519PublicKey] = {}
    for signed in statements:
        body = signed.body
        if isinstance(body, Identity):
            roots.append(body.root_key)
        elif isinstance(body, Device):
            keys[signed.hash] = body.device_key
    person = queries.find_person(moment.connection, _subject(statements[0]))
    if person is not None:
        roots.append(person.root_key)
    for signed in statements:
        by = signed.body.enrolled_by if isinstance(signed.body, Device) else None
        if by is None:
            moment.signatures.prove(signed, roots)
        elif by in keys:
            moment.signatures.prove(signed, [keys[by]])
        elif (enroller := queries.find_device(moment.connection, by)) is not None:
            moment.signatures.prove(signed, [enroller.device_key])


def _accept(
    moment: Moment, signed: AnyStatement, on_recovery: OnRecovery | None, on_voided: OnVoided | None
) -> LoggedEvent:
    accepted = find_acceptance(moment.connection, signed)
    if accepted is not None:
        return accepted
    identity = _subject(signed)
    person = queries.find_person(moment.connection, identity)
    match signed.body:
        case Identity():
            return _accept_identity(moment, signed, person)
        case _ if person is None:
            raise InvalidStatementError("person_unknown")
        case Device():
            return _accept_device(moment, signed, person)
        case Removal():
            return _accept_removal(moment, signed, person, on_voided)
        case Recovery() if on_recovery is not None:
            moment.signatures.verify(signed, person.root_key)
            event = log_statement(moment, signed, person.identity, person.role)
            on_recovery(moment, person, signed, event)
            return event
        case _:
            raise InvalidStatementError("statement_kind")


def _accept_identity(moment: Moment, signed: Signed[Identity], person: PersonRow | None) -> LoggedEvent:
    same_root = queries.find_person_by_root(moment.connection, signed.body.root_key.fingerprint())
    if signed.body.founding is None:
        key = decide.decide_founding(signed, same_root=same_root, now=moment.now)
        moment.signatures.verify(signed, key)
        event = log_statement(moment, signed, IdentityHash(signed.hash.raw), signed.body.role)
        queries.insert_person(moment.connection, signed)
        return event
    if person is None:
        raise InvalidStatementError("person_unknown")
    key = decide.decide_successor(signed, person, same_root=same_root, now=moment.now)
    moment.signatures.verify(signed, key)
    event = log_statement(moment, signed, person.identity, person.role)
    queries.insert_successor(moment.connection, person, signed)
    return event


def _accept_device(moment: Moment, signed: Signed[Device], person: PersonRow) -> LoggedEvent:
    by = signed.body.enrolled_by
    enroller = None if by is None else queries.find_device(moment.connection, by)
    known_devices = queries.count_devices(moment.connection, person.identity)
    key = decide.decide_device(signed, person, enroller=enroller, known_devices=known_devices, now=moment.now)
    moment.signatures.verify(signed, key)
    event = log_statement(moment, signed, person.identity, person.role)
    queries.insert_device(moment.connection, signed, now=moment.now)
    return event


def _accept_removal(
    moment: Moment, signed: Signed[Removal], person: PersonRow, on_voided: OnVoided | None
) -> LoggedEvent:
    device = queries.find_device(moment.connection, signed.body.device)
    known_removals = queries.count_removals(moment.connection, person.identity)
    key = decide.decide_removal(signed, person, device=device, known_removals=known_removals, now=moment.now)
    moment.signatures.verify(signed, key)
    event = log_statement(moment, signed, person.identity, person.role)
    queries.insert_removal(moment.connection, signed)
    _shut_out(moment, signed, on_voided)
    return event


def _shut_out(moment: Moment, removal: Signed[Removal], on_voided: OnVoided | None) -> None:
    """Make the device void, with what it enrolled since, and so on; void the grants that any of them made since."""
    since = removal.body.since
    falling = [removal.body.device]
    while falling:
        device = falling.pop()
        queries.make_void(moment.connection, device, since=since)
        void_grants_of(moment, device, since=since, removal=removal.hash, on_voided=on_voided)
        falling += queries.find_enrolled_by(moment.connection, device, since=since)


def log_statement(moment: Moment, signed: AnyStatement, identity: IdentityHash, role: Role) -> LoggedEvent:
    """Log that a statement of the person `identity` was accepted, and keep it."""
    record = RecordId.of(identity) if role is Role.PATIENT else None
    event = moment.log(NewEvent(f"statement.{signed.body.KIND}", record=record, by=identity, statement=signed.hash))
    store_statement(moment.connection, signed, event=event, now=moment.now)
    return event


def _subject(signed: AnyStatement) -> IdentityHash:
    """Whom the statement is about."""
    if isinstance(signed.body, Identity):
        return signed.body.founding or IdentityHash(signed.hash.raw)
    subject: IdentityHash = signed.body.identity
    return subject
