"""Accepting reseals: decided twice, as deposits are (`carnet_vault.deposits.accept`)."""

from collections.abc import Sequence

from carnet_protocol.ids import RecordId
from carnet_server.deployment import Moment
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.events.queries import find_event
from carnet_server.grants.access import authorise_patient
from carnet_server.people.queries import find_device
from carnet_server.principals import Principal
from carnet_server.statements import store_statement
from carnet_vault.deposits.decide import Repeat
from carnet_vault.locks.accept import accept_lock
from carnet_vault.reseals.candidate import ResealCandidate
from carnet_vault.reseals.decide import Replacement, ResealVerdict, decide_reseals
from carnet_vault.reseals.queries import load_facts, replace_version


def judge_reseals(
    moment: Moment, principal: Principal, record: RecordId, candidates: Sequence[ResealCandidate]
) -> tuple[ResealVerdict, ...]:
    """What becomes of `candidates` now; writes nothing.

    1. The principal is the patient.
    2. The rules of `decide_reseals`.
    3. A device of the patient, not shut out, signed each; the key service signed each lock statement.

    Raises `RefusedError`, `InvalidStatementError`, `StaleError`, `ConflictError` or `BadRequestError`.
    """
    # 1
    access = authorise_patient(moment.connection, principal, record)
    # 2
    facts = load_facts(moment, record, candidates)
    verdicts = decide_reseals(candidates, facts, patient=access.principal, now=moment.now)
    # 3
    for verdict in verdicts:
        if isinstance(verdict, Replacement):
            _verify(moment, verdict.candidate)
    return verdicts


def accept_reseals(
    moment: Moment, principal: Principal, record: RecordId, candidates: Sequence[ResealCandidate]
) -> list[LoggedEvent]:
    """Write `candidates`, whose objects are finished, all or none; return the event of each.

    Raises what `judge_reseals` raises.
    """
    verdicts = judge_reseals(moment, principal, record, candidates)
    return [_accept(moment, record, verdict) for verdict in verdicts]


def _accept(moment: Moment, record: RecordId, verdict: ResealVerdict) -> LoggedEvent:
    if isinstance(verdict, Repeat):
        return find_event(moment.connection, verdict.event)
    reseal = verdict.candidate.reseal
    accept_lock(moment, verdict.candidate.lock)
    event = moment.log(
        NewEvent(
            "statement.reseal",
            record=record,
            by=record.patient(),
            device=reseal.body.device,
            statement=reseal.hash,
        )
    )
    store_statement(moment.connection, reseal, event=event, now=moment.now)
    replace_version(moment.connection, record, verdict, now=moment.now)
    return event


def _verify(moment: Moment, candidate: ResealCandidate) -> None:
    reseal = candidate.reseal
    device = find_device(moment.connection, reseal.body.device)
    if device is None or device.identity != reseal.body.record.patient() or device.is_void:
        raise InvalidStatementError("device_not_in_force")
    moment.signatures.verify(reseal, device.device_key)
    moment.signatures.verify(candidate.lock, moment.deployment.card.body.keyservice.key)
