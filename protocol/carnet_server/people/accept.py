"""Accepting statements about people, in one transaction: decide, log, keep (spec `statements.md`, "People").

Anyone may bring them, for they prove themselves. A statement that was accepted before is answered as before.
"""

from collections.abc import Collection, Sequence
from typing import Final

from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Device, Identity, Recovery, Removal, Role, Statement
from carnet_server.deployment import Moment
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.grants.voiding import OnVoided, void_grants_of
from carnet_server.people import queries
from carnet_server.people.case import Case, Recoveries, void_since
from carnet_server.people.queries import PersonRow
from carnet_server.statements import AnyStatement, store_statement

KINDS: Final[tuple[type[Statement], ...]] = (Identity, Device, Removal)
"""What both servers take."""


def check_people(moment: Moment, statements: Sequence[AnyStatement], *, recoveries: Recoveries | None = None) -> None:
    """Refuse what `accept_people` would refuse, on a snapshot, so that it costs the one writer nothing.

    Whose signature is good is remembered, and not checked again inside of the transaction. Raises as `accept_people`.
    """
    case = Case.open(moment, statements, recoveries)
    decided = set(case.accepted)
    for signed in statements:
        if signed.hash not in decided:
            case.decide(signed)
            decided.add(signed.hash)


def accept_people(
    moment: Moment,
    statements: Sequence[AnyStatement],
    *,
    recoveries: Recoveries | None = None,
    on_voided: OnVoided | None = None,
) -> list[LoggedEvent]:
    """Accept `statements` of one person, in order, all or none; return the event of each.

    `on_voided` hears of each grant that falls with a removed device.

    Raises `InvalidStatementError`, `ConflictError`, `TooLargeError` or `BadRequestError`.
    """
    case = Case.open(moment, statements, recoveries)
    for signed in statements:
        if signed.hash in case.accepted:
            continue
        fallen = case.decide(signed)
        person = case.person
        event = log_statement(moment, signed, person.identity, person.role)
        case.accepted[signed.hash] = event
        _keep(moment, signed, person, event, recoveries=recoveries)
        if fallen:
            _shut_out(moment, signed, fallen, on_voided)
    return [case.accepted[signed.hash] for signed in statements]


def _keep(
    moment: Moment, signed: AnyStatement, person: PersonRow, event: LoggedEvent, *, recoveries: Recoveries | None
) -> None:
    """Make the rows of `signed`, which left `person` as they are."""
    connection, body = moment.connection, signed.body
    match body:
        case Identity() if body.founding is None:
            queries.insert_person(connection, signed)
        case Identity():
            queries.insert_successor(connection, person.identity, signed)
        case Device():
            queries.insert_device(connection, signed, now=moment.now)
        case Removal():
            queries.insert_removal(connection, signed)
        case Recovery() if recoveries is not None:
            recoveries.keep(connection, person, signed, event)
        case _:
            raise InvalidStatementError("statement_kind")


def _shut_out(
    moment: Moment, signed: AnyStatement, fallen: Collection[StatementHash], on_voided: OnVoided | None
) -> None:
    """Make the devices that fall by `signed` void, with the grants that any of them made since."""
    since = void_since(signed, now=moment.now)
    queries.make_void(moment.connection, fallen, since=since)
    void_grants_of(moment, fallen, since=since, removal=signed.hash, on_voided=on_voided)


def log_statement(moment: Moment, signed: AnyStatement, identity: IdentityHash, role: Role) -> LoggedEvent:
    """Log that a statement of the person `identity` was accepted, and keep it."""
    record = RecordId.of(identity) if role is Role.PATIENT else None
    event = moment.log(NewEvent(f"statement.{signed.body.KIND}", record=record, by=identity, statement=signed.hash))
    store_statement(moment.connection, signed, event=event, now=moment.now)
    return event
