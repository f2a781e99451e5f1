"""What a principal may see of a record: no more than the scope of the grant, and nothing that says there is more."""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from carnet_protocol.api import AccessesPage, AccessView
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.limits import MIB
from carnet_protocol.statements import Permission
from carnet_server.compartments.queries import load_closings, load_compartments
from carnet_server.errors import RefusedError
from carnet_server.grants.access import Access
from carnet_server.grants.queries import find_grant
from carnet_server.people.queries import find_person, load_bundle, load_bundles
from carnet_server.records.decide import require_patient
from carnet_server.statements.queries import load_text

Extras = Callable[[Connection, Access, AccessView, int], AccessView]
"""Adds to a view of access what one server alone knows, at a time."""

MAX_ACCESSES: Final = 50
"""Grants on one page."""
_PAGE_BYTES: Final = 4 * MIB
"""Once so much is on a page, it ends: the epochs of one record alone may take 28 MiB."""


def view_access(connection: Connection, access: Access) -> AccessView:
    """The shared part of the view: the patient, the grant, the compartments in scope with their closings.

    Raises `RefusedError` for a record that is nobody's.
    """
    patient = access.record.patient()
    require_patient(find_person(connection, patient))
    scope = None if access.grant is None else access.grant.compartments
    return AccessView(
        patient=load_bundle(connection, patient),
        grant=None if access.grant is None else _load_grant(connection, access.grant.hash),
        compartments=load_compartments(connection, access.record, scope),
        closings=load_closings(connection, access.record, scope),
        sealed_keys=(),
        lock=None,
    )


def view_accesses(
    connection: Connection,
    principal: IdentityHash,
    found: Sequence[tuple[StatementHash, RecordId, str]],
    *,
    extras: Extras | None,
    now: int,
) -> AccessesPage:
    """A page of views of the grants `found` to read compartments, by hash, `MAX_ACCESSES` at most, without locks.

    They are `principal`'s, or of whom they succeed.
    """
    page = found[:MAX_ACCESSES]
    bundles = load_bundles(connection, list({record.patient() for _, record, _ in page}))
    views: list[AccessView] = []
    size, last = 0, None
    for name, record, jws in page:
        if size > _PAGE_BYTES:
            break
        last = name
        grant = find_grant(connection, name)
        if grant is None or grant.permission is not Permission.READ or not grant.compartments:
            continue
        view = AccessView(
            patient=bundles[record.patient()],
            grant=jws,
            compartments=load_compartments(connection, record, grant.compartments),
            closings=load_closings(connection, record, grant.compartments),
            sealed_keys=(),
            lock=None,
        )
        size += sum(len(text) for text in (*view.compartments, *view.closings))
        if extras is not None:
            view = extras(connection, Access(principal, record, grant), view, now)
        views.append(view.model_copy(update={"lock": None}))
    is_whole = last is None or last == found[-1][0]
    return AccessesPage(accesses=tuple(views), next=None if is_whole else str(last))


def _load_grant(connection: Connection, grant: StatementHash) -> str:
    text = load_text(connection, grant)
    if text is None:
        raise RefusedError("grant_unknown")
    return text
