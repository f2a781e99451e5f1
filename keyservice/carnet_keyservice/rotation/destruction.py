"""Destroying keys for good: what is checked, by whom it must be ordered, and the two steps of it.

A master key is destroyed when two officers in force order it, nothing is sealed under it, and the backup horizon has
passed since it was retired: what an older backup holds sealed under it opens with nothing from then on. First the row
says *destroyed*, and no process loads it any more; then the provider destroys the key, which may be repeated; then the
row forgets its token. A crash in between leaves the rest to whoever runs next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import RotationError
from carnet_keyservice.locks.queries import count_under
from carnet_keyservice.master_keys.queries import change_state, forget_token
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation.accept import begin_job, require_row
from carnet_keyservice.rotation.job import Job, JobKind, JobParameters
from carnet_keyservice.rotation.queries import find_job, find_unfinished
from carnet_protocol.api import OfficerEntry
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Fingerprint, JobId
from carnet_protocol.statements import Destruction, Signed
from carnet_server.deployment import Deployment, Moment
from carnet_server.events import NewEvent
from carnet_server.officers.queries import find_officer, find_root
from carnet_server.statements import find_acceptance, store_statement
from carnet_server.statements.queries import load_of_kind

OFFICERS_NEEDED: Final = 2
OUT_OF_USE: Final = frozenset({KeyState.PRE_ACTIVATION, KeyState.DEACTIVATED, KeyState.COMPROMISED})
"""States from which a key may be destroyed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at before a destruction, and what was found."""

    name: str
    is_met: bool
    found: str


def check_master_key(moment: Moment, version: int, *, horizon_seconds: int) -> list[Check]:
    """What must hold before the master key `version` is destroyed, orders aside. Raises `RotationError` for none.

    1. It is retired, or never came into use, or is compromised.
    2. Nothing is sealed under it.
    3. No rotation is under way that might need it.
    4. The backup horizon has passed since it was retired, so that no backup that is kept needs it.
    """
    row = require_row(moment.connection, version)
    references = count_under(moment.connection, version)
    running = find_unfinished(moment.connection)
    left = 0 if row.state is KeyState.PRE_ACTIVATION else row.changed_at + horizon_seconds - moment.now
    return [
        Check("out of use", row.state in OUT_OF_USE and not row.is_sealing, f"it is {row.state}"),
        Check("nothing sealed under it", references == 0, f"{references} record locks"),
        Check("no rotation under way", running is None, "none" if running is None else f"one of {running.kind}"),
        Check(
            "backup horizon passed",
            left <= 0,
            f"{horizon_seconds // 86_400} days" + ("" if left <= 0 else f", {-(-left // 86_400)} of them left"),
        ),
    ]


def check_orders(moment: Moment, orders: Sequence[Signed[Destruction]]) -> list[Check]:
    """Whether `orders` are those of enough officers in force, for this key service, at this time, for one thing.

    Each signature is checked here.
    """
    officers: dict[Fingerprint, Fingerprint | None] = {}
    wrong: list[str] = []
    for order in orders:
        officer = find_officer(moment.connection, order.body.officer)
        problem = _find_problem(moment, order, orders[0], officer)
        if problem is not None:
            wrong.append(problem)
        elif officer is not None:
            officers[officer.fingerprint] = find_root(moment.connection, officer)
    roots = {root for root in officers.values() if root is not None}
    if None in officers.values():
        wrong.append("nobody knows who enrolled an officer: have it enrolled at the machine")
    elif len(roots) < len(officers):
        wrong.append("one officer was enrolled by the other, or both by a third: they count as one")
    found = f"{len(roots)} of {OFFICERS_NEEDED}"
    return [Check("ordered by two officers", len(roots) >= OFFICERS_NEEDED and not wrong, "; ".join([found, *wrong]))]


def _find_problem(
    moment: Moment, order: Signed[Destruction], first: Signed[Destruction], officer: OfficerEntry | None
) -> str | None:
    """What is wrong with `order`, which names `officer`; None if nothing.

    1. It is for this key service.
    2. It says what the first order says.
    3. It is within its window.
    4. Its officer is in force here, and signed it.
    """
    body = order.body
    # 1
    if body.keyservice != moment.deployment.fingerprint:
        return "an order is for another key service"
    # 2
    if (body.destroys, body.version, body.retired_before) != (
        first.body.destroys,
        first.body.version,
        first.body.retired_before,
    ):
        return "the orders are for different things"
    # 3
    if not body.issued_at <= moment.now < body.expires:
        return "an order is not in its time: have it signed again"
    # 4
    if officer is None or officer.retired is not None:
        return "an order is by nobody who is an officer here"
    try:
        order.verify(officer.public_key)
    except ProtocolError:
        return "an order is not signed by its officer"
    return None


def destroy_master_key(
    moment: Moment, version: int, orders: Sequence[Signed[Destruction]], *, horizon_seconds: int
) -> list[Check]:
    """Check everything once more and mark the key as destroyed, in one transaction. Returns what was checked.

    Raises `RotationError` where a check fails. Once more is answered as before.
    """
    row = require_row(moment.connection, version)
    if row.state is KeyState.DESTROYED:
        return []
    checks = [*check_orders(moment, orders), *check_master_key(moment, version, horizon_seconds=horizon_seconds)]
    if any(order.body.version != version for order in orders):
        checks.append(Check("ordered for this version", is_met=False, found="an order is for another"))
    _require(checks)
    _keep_orders(moment, orders, {"version": version})
    change_state(moment.connection, row, KeyState.DESTROYED, is_sealing=False, now=moment.now)
    return checks


def begin_lock_destruction(
    moment: Moment,
    job: JobId,
    orders: Sequence[Signed[Destruction]],
    parameters: JobParameters,
    *,
    horizon_seconds: int,
) -> Job:
    """Begin to destroy the record locks that were retired before the time of `parameters`; the same id again likewise.

    Raises `RotationError` where a check fails. Whether something still needs a lock is checked lock by lock
    (`lock_destruction.py`).
    """
    known = find_job(moment.connection, job)
    if known is not None:
        return known
    until = parameters.retired_before
    checks = check_orders(moment, orders)
    checks.append(
        Check(
            "backup horizon passed",
            until is not None and until <= moment.now - horizon_seconds,
            f"{horizon_seconds // 86_400} days",
        )
    )
    if any(order.body.retired_before != until for order in orders):
        checks.append(Check("ordered for this time", is_met=False, found="an order is for another"))
    _require(checks)
    begun = begin_job(moment, job, JobKind.DESTRUCTION, parameters, by=None)
    _keep_orders(moment, orders, {"job": str(job)})
    return begun


def _require(checks: Sequence[Check]) -> None:
    failed = [check for check in checks if not check.is_met]
    if failed:
        raise RotationError(
            "nothing was destroyed: " + "; ".join(f"{check.name}? no: {check.found}" for check in failed)
        )


def _keep_orders(moment: Moment, orders: Sequence[Signed[Destruction]], detail: dict[str, str | int]) -> None:
    for order in orders:
        if find_acceptance(moment.connection, order) is None:
            event = moment.log(
                NewEvent("statement.destruction", by=order.body.officer, statement=order.hash, detail=detail)
            )
            store_statement(moment.connection, order, event=event, now=moment.now)


def require_ordered(connection: Connection, deployment: Deployment, version: int) -> None:
    """Before the provider destroys the key of `version`: what the row says is not enough.

    Nothing is sealed under it, and orders of two officers are here, whose signatures verify. Raises `RotationError`.
    """
    if count_under(connection, version):
        raise RotationError(f"the row of master key {version} says destroyed, and locks are under it: restore the row")
    roots = set()
    for text in load_of_kind(connection, Destruction.KIND):
        order: Signed[Destruction] = Signed.parse(text, Destruction)
        officer = find_officer(connection, order.body.officer)
        is_of_it = (order.body.keyservice, order.body.version) == (deployment.fingerprint, version)
        if officer is not None and is_of_it:
            order.verify(officer.public_key)
            roots.add(find_root(connection, officer))
    if len(roots - {None}) < OFFICERS_NEEDED:
        raise RotationError(f"the row of master key {version} says destroyed, and nobody ordered it: restore the row")


def confirm_destruction(moment: Moment, version: int) -> None:
    """Note that the provider has destroyed the key of `version`; once."""
    if forget_token(moment.connection, version):
        moment.log(NewEvent("master_key.destroyed", detail={"version": version}))


def mark_compromised(moment: Moment, version: int) -> None:
    """Note that somebody else may hold the master key `version`, for good. Raises `RotationError` or `TransitionError`.

    The active key is rotated first: what is sealed under it must stay openable.
    """
    row = require_row(moment.connection, version)
    if row.is_sealing:
        raise RotationError(f"master key {version} is in use: `rotate master --grace 0` first, then say so")
    change_state(moment.connection, row, KeyState.COMPROMISED, is_sealing=False, now=moment.now)
    moment.log(NewEvent("master_key.compromised", detail={"version": version}))
