"""A release, from request to answer: look first, open outside of the transaction, then decide again and write it down.

    1. On a snapshot: the principal may, and which items may be released. Where none may, the request is refused.
    2. The outer locks of these are taken off, in memory. What does not open is left out.
    3. In one serialised transaction with the nonce: principal, grant and items are decided again from rows alone, and
       the event that names what is released is appended. Nothing is released that this transaction does not allow.
    4. Only once that is committed the inner locks leave this program, with the receipt of the event.

A revocation that is committed before step 3 stops the release; one that comes after has a higher index in the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from carnet_keyservice.errors import SealedError
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.locks.queries import load_releasing
from carnet_keyservice.releases.decide import may_release
from carnet_keyservice.releases.queries import ask_item_facts, read_item_facts
from carnet_keyservice.sealing import LockKey
from carnet_protocol.api import ReleaseItem, ReleaseKind, ReleaseRequest
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Permission
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import IdentityTuple
from carnet_server.deployment import Moment
from carnet_server.directory.queries import Registrars
from carnet_server.errors import RefusedError, UnavailableError
from carnet_server.events import LoggedEvent, NewEvent, VersionKey
from carnet_server.events.queries import find_newest
from carnet_server.grants import authorise_asking
from carnet_server.principals import Principal


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that may be released as far as the snapshot says, and the version of the lock that it is under."""

    position: int
    item: ReleaseItem
    lock_version: int


def find_candidates(
    connection: Connection,
    principal: Principal,
    record: RecordId,
    request: ReleaseRequest,
    positions: Sequence[int],
    *,
    pinned: Registrars,
    now: int,
) -> list[Candidate]:
    """The items of `request` at `positions` that may be released now. Raises `RefusedError` where none may."""
    items = {position: request.items[position] for position in positions}
    access, (answer,) = authorise_asking(
        connection,
        principal,
        record,
        request.grant,
        [ask_item_facts(record, list(items.values()))],
        permission=Permission.READ,
        pinned=pinned,
        now=now,
    )
    facts = read_item_facts(answer)
    candidates = [
        Candidate(position, item, facts.locks[item.capsule.lock_statement])
        for position, item in items.items()
        if may_release(item, request.kind, access, facts)
    ]
    if not candidates:
        raise RefusedError("nothing_to_release")
    return candidates


def find_lock_keys(
    connection: Connection, record: RecordId, candidates: Sequence[Candidate], keys: LockKeys
) -> dict[int, LockKey]:
    """The private halves of the locks that `candidates` are under, by version."""
    versions = {candidate.lock_version for candidate in candidates}
    found = {version: key for version in versions if (key := keys.find((record, version))) is not None}
    missing = versions - found.keys()
    if missing:
        found |= {sealed.lock.version: keys.open(sealed) for sealed in load_releasing(connection, record, missing)}
    if versions - found.keys():
        raise UnavailableError("record_lock")  # its seals are under a retired master key alone: a rotation mends that
    return found


def open_candidates(record: RecordId, candidates: Sequence[Candidate], keys: dict[int, LockKey]) -> dict[int, bytes]:
    """The inner locks of the candidates that open, by position. Raises `RefusedError` where none does."""
    opened: dict[int, bytes] = {}
    for candidate in candidates:
        inner = _open(record, candidate.item, keys[candidate.lock_version])
        if inner is not None:
            opened[candidate.position] = inner
    if not opened:
        raise RefusedError("nothing_opens")
    return opened


def log_release(
    moment: Moment, principal: Principal, record: RecordId, request: ReleaseRequest, opened: Sequence[int]
) -> tuple[frozenset[int], LoggedEvent]:
    """Decide again about the items at the positions `opened`, and log the release of those that may be.

    Returns their positions and the event. Raises `RefusedError` where none may be released any more.
    """
    # The log's time never goes back, so neither does the time at which a grant is judged.
    newest = find_newest(moment.connection)
    now = max(moment.now, newest.time)
    pinned = moment.deployment.pinned
    released = find_candidates(moment.connection, principal, record, request, opened, pinned=pinned, now=now)
    event = moment.log(
        NewEvent(
            _KINDS[request.kind],
            record=record,
            by=principal.identity,
            device=StatementHash(principal.key_id.raw),
            grant=request.grant,
            documents=tuple(dict.fromkeys(_version_key(each.item) for each in released)),
        ),
        newest=newest,
    )
    return frozenset(each.position for each in released), event


_KINDS = {ReleaseKind.LIST: "release.list", ReleaseKind.OPEN: "release.open"}


def _open(record: RecordId, item: ReleaseItem, key: LockKey) -> bytes | None:
    capsule = item.capsule
    try:
        identity = IdentityTuple(Suite(item.suite), record, capsule.document, capsule.version, item.author)
        return key.open_outer_lock(capsule.wrap_tuple(identity), capsule.sealed)
    except (SealedError, MalformedError):
        return None


def _version_key(item: ReleaseItem) -> VersionKey:
    capsule = item.capsule
    return VersionKey(capsule.document, capsule.version, capsule.role)
