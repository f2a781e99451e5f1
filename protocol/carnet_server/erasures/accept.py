"""Accepting an erasure, in one transaction: everything of the record goes, and the event says so.

What one server alone keeps of a record it deletes itself, first: `Forget`. Nothing of the record can be written
afterwards, for whatever writes about a record asks in its own transaction whether it stands.
"""

from collections.abc import Callable

from sqlalchemy import Connection

from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Erasure, Signed
from carnet_server.deployment import Moment
from carnet_server.erasures.decide import decide_erasure
from carnet_server.erasures.queries import delete_record, find_erasure, insert_erasure
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.people.queries import PersonRow, find_person
from carnet_server.principals import Principal
from carnet_server.records.decide import require_patient
from carnet_server.statements import find_acceptance, store_statement

Forget = Callable[[Connection, RecordId], None]
"""Deletes what one server alone keeps of a record, in the transaction of its erasure."""


def check_erasure(moment: Moment, record: RecordId, signed: Signed[Erasure]) -> LoggedEvent | None:
    """Refuse what `accept_erasure` would refuse; return the event that erased the record before, if one did.

    1. It is about this record, which is a patient's.
    2. This very statement was accepted before: that is the answer.
    3. The patient's newest root key signed it.
    4. Another erasure was accepted before: that is the answer, for there is nothing left to erase.
    5. It is for these two servers, and not old.

    Writes nothing. Raises `InvalidStatementError` or `RefusedError`.
    """
    # 1
    if signed.body.record != record:
        raise InvalidStatementError("other_record")
    patient = _find_patient(moment.connection, record)
    # 2
    accepted = find_acceptance(moment.connection, signed)
    if accepted is not None:
        return accepted
    # 3
    moment.signatures.verify(signed, patient.root_key)
    # 4
    erased = find_erasure(moment.connection, record)
    if erased is not None:
        return erased
    # 5
    decide_erasure(signed.body, moment.deployment.card.body, now=moment.now)
    return None


def accept_erasure(
    moment: Moment, principal: Principal, record: RecordId, signed: Signed[Erasure], forget: Forget
) -> LoggedEvent:
    """Erase `record`, unless that was done before; return the event that says so.

    `pruned` in the event counts the events that lost salt and body with the record: `fsck` counts them, too.

    Raises what `check_erasure` raises.
    """
    erased = check_erasure(moment, record, signed)
    if erased is not None:
        return erased
    forget(moment.connection, record)
    pruned = delete_record(moment.connection, record)
    event = moment.log(
        NewEvent(
            f"statement.{Erasure.KIND}",
            record=record,
            by=principal.identity,
            device=StatementHash(principal.key_id.raw),
            statement=signed.hash,
            detail={"pruned": pruned},
        )
    )
    store_statement(moment.connection, signed, event=event, now=moment.now)
    insert_erasure(moment.connection, signed)
    return event


def _find_patient(connection: Connection, record: RecordId) -> PersonRow:
    person = find_person(connection, record.patient())
    require_patient(person)
    if person is None:
        raise AssertionError("internal: a patient who is nobody")
    return person
