"""Fetching versions, in the writer's transaction: who may, what they see, and the event that says so.

Whatever is handed out is logged first; what cannot be logged is not handed out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row

from carnet_protocol.api import VersionEntry
from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.limits import MIB
from carnet_protocol.statements import Permission
from carnet_protocol.tuples import KeyRole
from carnet_server.deployment import Moment
from carnet_server.errors import RefusedError
from carnet_server.events import NewEvent, VersionKey
from carnet_server.grants.access import Access, authorise
from carnet_server.principals import Principal
from carnet_vault.documents import queries
from carnet_vault.documents.queries import EntryRow
from carnet_vault.documents.views import view_entry
from carnet_vault.objects.limits import UrlWindow

MAX_PAGE_METADATA_BYTES: Final = 4 * MIB
"""A page ends early, but not before its first entry, when its metadata would be larger."""


@dataclass(frozen=True, slots=True)
class Page:
    """Versions to be handed out with what proves them, and the document after which the next page begins."""

    rows: Sequence[EntryRow]
    filings: Mapping[DocumentId, Sequence[str]]
    deposit_grants: tuple[str, ...]
    tombstones: tuple[str, ...]
    next: DocumentId | None

    def entries(self) -> tuple[VersionEntry, ...]:
        """What the page shows."""
        return tuple(view_entry(row, self.filings.get(row.document, ())) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Opened:
    """One version to be handed out, with what opens its content, and how long its URL is good."""

    row: EntryRow
    filings: Sequence[str]
    deposit_grants: tuple[str, ...]
    content: Row[Any]
    window: UrlWindow


def fetch_page(
    moment: Moment,
    principal: Principal,
    record: RecordId,
    grant: StatementHash | None,
    *,
    after: DocumentId | None,
    limit: int,
) -> Page:
    """The newest versions that `principal` sees, by document id, from behind `after`. Raises `RefusedError`."""
    access = _authorise(moment, principal, record, grant)
    found = _list(moment, access, after=after, limit=limit + 1)
    rows = found[: _fitting(found, limit)]
    following = rows[-1].document if len(rows) < len(found) else None
    filings: Mapping[DocumentId, Sequence[str]] = {}
    tombstones: tuple[str, ...] = ()
    if access.is_patient:
        filings = queries.load_filings(moment.connection, record, [row.document for row in rows])
        tombstones = queries.load_tombstones(moment.connection, record, after=after, until=following)
    _log(moment, principal, access, "fetch.list", rows=rows, roles=(KeyRole.METADATA,))
    return Page(rows, filings, _deposit_grants(moment, rows), tombstones, following)


def fetch_versions(
    moment: Moment, principal: Principal, record: RecordId, grant: StatementHash | None, document: DocumentId
) -> Page:
    """Every version of `document` that `principal` sees, oldest first. Raises `RefusedError` if there is none."""
    access = _authorise(moment, principal, record, grant)
    rows = _versions(moment, access, document)
    if not rows:
        raise RefusedError("document_unknown")
    _log(moment, principal, access, "fetch.list", rows=rows, roles=(KeyRole.METADATA,))
    return Page(rows, _filings(moment, access, document), _deposit_grants(moment, rows), (), None)


def fetch_version(
    moment: Moment,
    principal: Principal,
    record: RecordId,
    grant: StatementHash | None,
    *,
    document: DocumentId,
    version: int | None,
) -> Opened:
    """One version of `document` that `principal` sees, the newest if None, with its content capsule.

    Raises `RefusedError`.
    """
    access = _authorise(moment, principal, record, grant)
    rows = _versions(moment, access, document, version=version)[-1:]
    if not rows:
        raise RefusedError("version_unknown")
    personal = access.grant.hash if access.grant is not None and access.grant.documents else None
    content = queries.find_content(moment.connection, record, document, rows[0].version, grant=personal)
    if content is None:
        raise RefusedError("content_capsule_missing")
    _log(moment, principal, access, "fetch.open", rows=rows, roles=(KeyRole.CONTENT, KeyRole.METADATA))
    return Opened(
        row=rows[0],
        filings=_filings(moment, access, document).get(document, ()),
        deposit_grants=_deposit_grants(moment, rows),
        content=content,
        window=UrlWindow.of(access, now=moment.now),
    )


def _authorise(moment: Moment, principal: Principal, record: RecordId, grant: StatementHash | None) -> Access:
    return authorise(
        moment.connection,
        principal,
        record,
        grant,
        permission=Permission.READ,
        pinned=moment.deployment.pinned,
        now=moment.now,
    )


def _list(moment: Moment, access: Access, *, after: DocumentId | None, limit: int) -> Sequence[EntryRow]:
    if access.grant is None:
        return queries.list_for_patient(moment.connection, access.record, after=after, limit=limit)
    if access.grant.compartments:
        return queries.list_for_compartments(
            moment.connection, access.record, access.grant.hash, after=after, limit=limit
        )
    return queries.list_for_documents(moment.connection, access.record, access.grant.hash, after=after, limit=limit)


def _versions(
    moment: Moment, access: Access, document: DocumentId, *, version: int | None = None
) -> Sequence[EntryRow]:
    if access.grant is None:
        return queries.versions_for_patient(moment.connection, access.record, document, version=version)
    if access.grant.compartments:
        return queries.versions_for_compartments(
            moment.connection, access.record, access.grant.hash, document, version=version
        )
    return queries.versions_for_documents(
        moment.connection, access.record, access.grant.hash, document, version=version
    )


def _filings(moment: Moment, access: Access, document: DocumentId) -> Mapping[DocumentId, Sequence[str]]:
    if not access.is_patient:
        return {}
    return queries.load_filings(moment.connection, access.record, [document])


def _deposit_grants(moment: Moment, rows: Sequence[EntryRow]) -> tuple[str, ...]:
    wanted = {row.deposit_grant for row in rows if row.deposit_grant is not None}
    return queries.load_deposit_grants(moment.connection, wanted)


def _fitting(rows: Sequence[EntryRow], limit: int) -> int:
    """How many of `rows` fit into one page: at least one, if there is one."""
    size = 0
    for count, row in enumerate(rows[:limit]):
        size += len(row.metadata)
        if size > MAX_PAGE_METADATA_BYTES and count:
            return count
    return min(limit, len(rows))


def _log(
    moment: Moment,
    principal: Principal,
    access: Access,
    kind: str,
    *,
    rows: Sequence[EntryRow],
    roles: Sequence[KeyRole],
) -> None:
    moment.log(
        NewEvent(
            kind,
            record=access.record,
            by=access.principal,
            device=StatementHash(principal.key_id.raw),
            grant=None if access.grant is None else access.grant.hash,
            documents=tuple(VersionKey(row.document, row.version, role) for row in rows for role in roles),
        )
    )
