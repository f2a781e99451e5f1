"""Accepting deposits: decided twice, once before the objects are finished and once in the writer's transaction.

The first time nothing is written, so that a deposit that is refused leaves the store as it was; the second time counts.
Between the two the objects get their names: object first, row second.
"""

from collections.abc import Sequence

from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import Manifest, Permission, Signed
from carnet_server.deployment import Moment
from carnet_server.errors import InvalidStatementError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.events.queries import find_event
from carnet_server.grants.access import authorise
from carnet_server.grants.queries import GrantRow
from carnet_server.people.queries import find_device
from carnet_server.principals import Principal
from carnet_server.statements import store_statement
from carnet_vault.deposits.candidate import Candidate
from carnet_vault.deposits.decide import Placement, Repeat, Verdict, decide_deposits
from carnet_vault.deposits.queries import insert_versions, load_facts
from carnet_vault.locks.accept import accept_lock


def judge_deposits(
    moment: Moment, principal: Principal, record: RecordId, candidates: Sequence[Candidate]
) -> tuple[Verdict, ...]:
    """What becomes of `candidates` now; writes nothing.

    1. Every grant that they rely on is a deposit grant that the principal holds, in force now.
    2. The rules of `decide_deposits`.
    3. The author's device, neither foreign nor shut out, signed each manifest, of no suite below the floor; the key
       service each lock statement.

    Raises `RefusedError`, `InvalidStatementError`, `StaleError`, `ConflictError` or `BadRequestError`.
    """
    # 1
    grants = _deposit_grants(moment, principal, record, candidates)
    # 2
    facts = load_facts(moment.connection, record, candidates, grants)
    verdicts = decide_deposits(candidates, facts, author=principal.person, now=moment.now)
    # 3
    placed = [verdict.candidate for verdict in verdicts if isinstance(verdict, Placement)]
    _verify_manifests(moment, principal.person, [candidate.manifest for candidate in placed])
    for candidate in placed:
        moment.deployment.require_suite(candidate.manifest.body.suite)
    for lock in {candidate.lock.text: candidate.lock for candidate in placed}.values():
        # What was accepted under this hash was verified then, and says the same.
        if lock.hash not in facts.accepted:
            moment.signatures.verify(lock, moment.deployment.card.body.keyservice.key)
    return verdicts


def accept_deposits(
    moment: Moment, principal: Principal, record: RecordId, candidates: Sequence[Candidate]
) -> list[LoggedEvent]:
    """Write the versions of `candidates`, whose objects are finished, all or none; return the event of each.

    Raises what `judge_deposits` raises.
    """
    verdicts = judge_deposits(moment, principal, record, candidates)
    placements = [verdict for verdict in verdicts if isinstance(verdict, Placement)]
    for lock in {placement.candidate.lock.hash: placement.candidate.lock for placement in placements}.values():
        accept_lock(moment, lock)
    events = [_log(moment, record, verdict) for verdict in verdicts]
    insert_versions(moment.connection, record, placements)
    return events


def _log(moment: Moment, record: RecordId, verdict: Verdict) -> LoggedEvent:
    """Log that a manifest is accepted, and keep it; or find the event that says so already."""
    if isinstance(verdict, Repeat):
        return find_event(moment.connection, verdict.event)
    manifest = verdict.candidate.manifest
    event = moment.log(
        NewEvent(
            "statement.manifest",
            record=record,
            by=manifest.body.author,
            device=manifest.body.device,
            grant=manifest.body.grant,
            statement=manifest.hash,
        )
    )
    store_statement(moment.connection, manifest, event=event, now=moment.now)
    return event


def _deposit_grants(
    moment: Moment, principal: Principal, record: RecordId, candidates: Sequence[Candidate]
) -> dict[StatementHash, GrantRow]:
    grants: dict[StatementHash, GrantRow] = {}
    for named in dict.fromkeys(candidate.manifest.body.grant for candidate in candidates):
        access = authorise(
            moment.connection,
            principal,
            record,
            named,
            permission=Permission.DEPOSIT,
            pinned=moment.deployment.pinned,
            now=moment.now,
        )
        if access.grant is not None:
            grants[access.grant.hash] = access.grant
    return grants


def _verify_manifests(moment: Moment, author: IdentityHash, manifests: Sequence[Signed[Manifest]]) -> None:
    devices = {name: find_device(moment.connection, name) for name in {signed.body.device for signed in manifests}}
    for manifest in manifests:
        device = devices[manifest.body.device]
        if device is None or device.identity != author or device.is_void:
            raise InvalidStatementError("device_not_in_force")
        moment.signatures.verify(manifest, device.device_key)
