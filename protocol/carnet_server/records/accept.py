"""Accepting statements about a record, in one transaction: read, decide, log, keep, and the server's own effects.

A statement that was accepted before is answered as before. All of a request is accepted, or none.
"""

from collections.abc import Sequence
from typing import Any, Final

from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.statements import (
    Closing,
    Compartment,
    Filing,
    Grant,
    Revocation,
    Signed,
    Statement,
    Tombstone,
)
from carnet_server.compartments import decide as compartment_rules
from carnet_server.compartments import queries as compartments
from carnet_server.deployment import Moment
from carnet_server.directory.queries import is_attested_by
from carnet_server.erasures import require_standing
from carnet_server.errors import (
    BadRequestError,
    ConflictError,
    InvalidStatementError,
    RefusedError,
    StaleError,
    TooLargeError,
)
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.grants import decide as grant_rules
from carnet_server.grants import queries as grants
from carnet_server.grants.decide import GrantFacts
from carnet_server.people.decide import require_device, require_fresh, require_past, require_recent
from carnet_server.people.queries import find_device, find_owner, find_person
from carnet_server.records import decide as record_rules
from carnet_server.records import queries as records
from carnet_server.records.effects import Change, Effects
from carnet_server.statements import AnyStatement, find_acceptance, store_statement

KINDS: Final[tuple[type[Statement], ...]] = (Compartment, Closing, Filing, Grant, Revocation, Tombstone)

_TELLING: Final = (BadRequestError, InvalidStatementError, ConflictError, StaleError, TooLargeError)
"""Refusals that would tell an outsider that something is there."""


def accept_record(change: Change, statements: Sequence[AnyStatement], effects: Effects) -> list[LoggedEvent]:
    """Accept `statements`, parsed from the update of `change`, in order; return the event of each.

    1. The record is a patient's and was not erased, and each statement is about it.
    2. The principal may bring them.
    3. Each was accepted before, or is signed by a device in force, is recent, and keeps the rules of its kind.
    4. The server's effects have no objection.

    Raises a `RefusalError`; then nothing of the request is kept. To anyone but the patient it is `RefusedError`, so
    that nobody learns from it whether the record, or a document in it, exists.
    """
    if change.is_by_patient:
        return _accept_all(change, statements, effects)
    try:
        return _accept_all(change, statements, effects)
    except _TELLING as error:
        raise RefusedError(error.reason) from error


def _accept_all(change: Change, statements: Sequence[AnyStatement], effects: Effects) -> list[LoggedEvent]:
    # 1
    require_standing(change.moment.connection, change.record)
    if not (change.update.statements or change.update.sealed_keys or change.update.capsules):
        raise BadRequestError("empty_update")
    record_rules.require_patient(find_person(change.moment.connection, change.record.patient()))
    if any(signed.body.record != change.record for signed in statements):
        raise InvalidStatementError("other_record")
    # 2
    record_rules.require_own(statements, change.principal.person, change.record)
    # 3, 4
    effects.begin(change)
    revoked = {signed.body.grant for signed in statements if isinstance(signed.body, Revocation)}
    events = [
        _find_standing(change, each) or (_accept_revoked if each.hash in revoked else _accept)(change, each, effects)
        for each in statements
    ]
    effects.finish(change)
    return events


def _find_standing(change: Change, signed: AnyStatement) -> LoggedEvent | None:
    """The event that accepted `signed` before, unless it gave way to another since: then it is decided again."""
    if isinstance(signed.body, Compartment) and compartments.is_superseded(change.moment.connection, signed.hash):
        return None
    return find_acceptance(change.moment.connection, signed)


def prove_record(moment: Moment, statements: Sequence[AnyStatement]) -> None:
    """Check signatures on a snapshot, before the transaction: what is good is not checked again there."""
    for signed in statements:
        device = find_device(moment.connection, signed.body.device)
        if device is not None:
            moment.signatures.prove(signed, [device.device_key])


def _accept(change: Change, signed: AnyStatement, effects: Effects) -> LoggedEvent:
    _require_signed(change, signed, effects)
    match signed.body:
        case Compartment():
            return _accept_compartment(change, signed, effects)
        case Closing():
            return _accept_closing(change, signed, effects)
        case Filing():
            return _accept_filing(change, signed, effects)
        case Tombstone():
            return _accept_tombstone(change, signed, effects)
        case Grant():
            return _accept_grant(change, signed, effects)
        case Revocation():
            return _accept_revocation(change, signed, effects)
        case _:
            raise InvalidStatementError("statement_kind")


def _accept_revoked(change: Change, signed: Signed[Grant], effects: Effects) -> LoggedEvent:
    """A grant that its own revocation follows in the same request, where this server lacks both.

    It lets nobody in, so it may be old, over, or signed by a device that was shut out since: what one server has must
    not be kept from being revoked at the other.
    """
    moment, body = change.moment, signed.body
    _require_enrolled(change, signed)
    facts = _grant_facts(moment, body)
    is_named = find_owner(moment.connection, body.grantee_statement) == body.grantee
    grant_rules.decide_revoked_grant(body, moment.deployment.card.body, facts, is_grantee_named=is_named)
    return _keep_grant(change, signed, effects)


def _require_signed(change: Change, signed: AnyStatement, effects: Effects) -> None:
    """A device of the patient, or of the maker of a tombstone, signed this not long ago.

    What the other server decided about is only mirrored here: any device of the patient brings it, at any time.
    """
    body = signed.body
    if effects.is_mirrored(body):
        _require_enrolled(change, signed)
        return
    moment = change.moment
    signer = body.by if isinstance(body, Tombstone) else change.record.patient()
    person = find_person(moment.connection, signer)
    if person is None:
        raise InvalidStatementError("person_unknown")
    key = require_device(find_device(moment.connection, body.device), person)
    (require_fresh if isinstance(body, Grant) else require_recent)(body.issued_at, now=moment.now)
    moment.signatures.verify(signed, key)


def _require_enrolled(change: Change, signed: AnyStatement) -> None:
    """A device that the patient ever enrolled signed this, whenever that was and whatever became of it."""
    moment = change.moment
    device = find_device(moment.connection, signed.body.device)
    if device is None or device.identity != change.record.patient():
        raise InvalidStatementError("device_unknown")
    require_past(signed.body.issued_at, now=moment.now)
    moment.signatures.verify(signed, device.device_key)


def _accept_compartment(change: Change, signed: Signed[Compartment], effects: Effects) -> LoggedEvent:
    connection, body = change.moment.connection, signed.body
    rivals = effects.find_rivals(change, body)
    known_compartments, known_epochs = compartments.count_epochs(connection, body.record)
    compartment_rules.decide_compartment(
        body,
        change.moment.deployment.card.body,
        newest=compartments.find_newest(connection, body.record, body.compartment, without=rivals),
        known_compartments=known_compartments,
        known_epochs=known_epochs,
    )
    if compartments.is_superseded(connection, signed.hash):
        event = change.moment.log(_event(change, signed))
        compartments.supersede(connection, rivals, event=event.index)
        compartments.reinstate(connection, signed.hash)
    else:
        event = _log(change, signed)
        compartments.supersede(connection, rivals, event=event.index)
        compartments.insert_compartment(connection, signed)
    effects.on_compartment(change, signed, event)
    return event


def _accept_closing(change: Change, signed: Signed[Closing], effects: Effects) -> LoggedEvent:
    connection, body = change.moment.connection, signed.body
    compartment_rules.decide_closing(
        body,
        named=compartments.find_compartment(connection, body.compartment_statement),
        newest=compartments.find_newest(connection, body.record, body.compartment),
    )
    event = _log(change, signed)
    compartments.insert_closing(connection, signed, event=event.index)
    effects.on_closing(change, signed, event)
    return event


def _accept_filing(change: Change, signed: Signed[Filing], effects: Effects) -> LoggedEvent:
    connection, body = change.moment.connection, signed.body
    newest = compartments.find_newest(connection, body.record, body.compartment)
    record_rules.decide_filing(
        body,
        newest=records.find_filing(connection, body.record, body.document),
        is_compartment_known=newest is not None,
    )
    event = _log(change, signed)
    records.insert_filing(connection, signed)
    effects.on_filing(change, signed, event)
    return event


def _accept_tombstone(change: Change, signed: Signed[Tombstone], effects: Effects) -> LoggedEvent:
    connection, body = change.moment.connection, signed.body
    gone = records.find_tombstoners(connection, body.record, [body.document])
    record_rules.decide_tombstone(
        may_remove=body.by == change.record.patient() or _may_deposit(change, body.by),
        is_gone=(body.document, body.by) in gone,
    )
    event = _log(change, signed)
    records.insert_tombstone(connection, signed)
    effects.on_tombstone(change, signed, event)
    return event


def _may_deposit(change: Change, author: IdentityHash) -> bool:
    """Whether a deposit grant of the record lets `author` in now: what a former depositor left is the patient's."""
    moment = change.moment
    return grants.holds_deposit_grant(
        moment.connection, author, change.record, pinned=moment.deployment.pinned, now=moment.now
    )


def _accept_grant(change: Change, signed: Signed[Grant], effects: Effects) -> LoggedEvent:
    moment, body = change.moment, signed.body
    grant_rules.decide_grant(body, moment.deployment.card.body, _grant_facts(moment, body), now=moment.now)
    return _keep_grant(change, signed, effects)


def _grant_facts(moment: Moment, body: Grant) -> GrantFacts:
    connection = moment.connection
    return GrantFacts(
        grantee=find_person(connection, body.grantee),
        is_attested=is_attested_by(
            connection, body.attestation, subject=body.grantee, pinned=moment.deployment.pinned, now=moment.now
        ),
        known_compartments=compartments.count_known(connection, body.record, body.compartments),
        same_id=grants.find_grant_by_id(connection, body.record, body.id),
        lasting_grants=grants.count_lasting_grants(connection, body.record, now=moment.now),
        lasting_grants_to_grantee=grants.count_lasting_grants_to(connection, body.record, body.grantee, now=moment.now),
        grants_of_the_day=grants.count_new_grants(
            connection, body.record, since=moment.now - grant_rules.GRANT_DAY_SECONDS
        ),
    )


def _keep_grant(change: Change, signed: Signed[Grant], effects: Effects) -> LoggedEvent:
    event = _log(change, signed, grant=signed.hash)
    grants.insert_grant(change.moment.connection, signed, now=change.moment.now)
    effects.on_grant(change, signed, event)
    return event


def _accept_revocation(change: Change, signed: Signed[Revocation], effects: Effects) -> LoggedEvent:
    connection, body = change.moment.connection, signed.body
    grant_rules.decide_revocation(body, grant=grants.find_grant(connection, body.grant))
    event = _log(change, signed, grant=body.grant)
    grants.insert_revocation(connection, signed)
    grants.end_grant(connection, body.grant, event=event.index)
    effects.on_revocation(change, signed, event)
    return event


def _log(change: Change, signed: Signed[Any], *, grant: StatementHash | None = None) -> LoggedEvent:
    event = change.moment.log(_event(change, signed, grant=grant))
    store_statement(change.moment.connection, signed, event=event, now=change.moment.now)
    return event


def _event(change: Change, signed: Signed[Any], *, grant: StatementHash | None = None) -> NewEvent:
    return NewEvent(
        f"statement.{signed.body.KIND}",
        record=change.record,
        by=change.principal.person,
        device=StatementHash(change.principal.key_id.raw),
        grant=grant,
        statement=signed.hash,
    )
