"""Fetching versions: who may, what they see, and the event that says so.

Whatever is handed out is logged first; what cannot be logged is not handed out. A list is loaded on a snapshot, beside
the one writer, which everybody waits for. The writer's transaction then decides once more who may see what, by keys
alone, and logs it; where that is not what was loaded, it loads again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select

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
from carnet_vault.documents.queries import EntryRow, Key
from carnet_vault.documents.views import view_entry
from carnet_vault.objects.limits import UrlWindow

MAX_PAGE_METADATA_BYTES: Final = 4 * MIB
"""A page ends early, but not before its first entry, when its metadata would be larger."""


@dataclass(frozen=True, slots=True)
class Page:
    """Versions to be handed out with what proves them, and whether there are more."""

    rows: Sequence[EntryRow]
    filings: Mapping[DocumentId, Sequence[str]]
    deposit_grants: tuple[str, ...]
    tombstones: tuple[str, ...]
    has_more: bool

    def entries(self) -> tuple[VersionEntry, ...]:
        """What the page shows."""
        return tuple(view_entry(row, self.filings.get(row.document, ())) for row in self.rows)

    def keys(self) -> list[Key]:
        """Which versions these are."""
        return [(row.document, row.version) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Opened:
    """One version to be handed out, with what opens its content, and how long its URL is good."""

    row: EntryRow
    filings: Sequence[str]
    deposit_grants: tuple[str, ...]
    content: Row[Any]
    window: UrlWindow


@dataclass(frozen=True, slots=True)
class DocumentList:
    """A request for the newest version of each document, by document id, from behind `after`."""

    record: RecordId
    grant: StatementHash | None
    after: DocumentId | None
    limit: int

    def load(self, connection: Connection, access: Access) -> Page:
        """The page for whoever has `access`."""
        found = queries.load_documents(connection, _listed(access), after=self.after, limit=self.limit + 1)
        rows = found[: _fitting(found, self.limit)]
        has_more = len(rows) < len(found)
        filings: Mapping[DocumentId, Sequence[str]] = {}
        tombstones: tuple[str, ...] = ()
        if access.is_patient:
            until = rows[-1].document if has_more else None
            filings = queries.load_filings(connection, self.record, [row.document for row in rows])
            tombstones = queries.load_tombstones(connection, self.record, after=self.after, until=until)
        return Page(rows, filings, _deposit_grants(connection, rows), tombstones, has_more)

    def keys(self, connection: Connection, access: Access, page: Page) -> list[Key]:
        """What the page would have now, if it ended where `page` does."""
        until = page.rows[-1].document if page.has_more else None
        return queries.list_documents(
            connection, _listed(access), after=self.after, until=until, limit=len(page.rows) + 1
        )


@dataclass(frozen=True, slots=True)
class VersionList:
    """A request for the versions of one document, oldest first, from behind `after`."""

    record: RecordId
    grant: StatementHash | None
    document: DocumentId
    after: int
    limit: int

    def load(self, connection: Connection, access: Access) -> Page:
        """The page for whoever has `access`. Raises `RefusedError` if it is empty."""
        query = _versions(access, self.document)
        found = queries.load_versions(connection, query, after=self.after, limit=self.limit + 1)
        rows = found[: _fitting(found, self.limit)]
        if not rows:
            raise RefusedError("document_unknown")
        filings = _filings(connection, access, self.document)
        return Page(rows, filings, _deposit_grants(connection, rows), (), len(rows) < len(found))

    def keys(self, connection: Connection, access: Access, page: Page) -> list[Key]:
        """What the page would have now, if it ended where `page` does."""
        until = page.rows[-1].version if page.has_more else None
        query = _versions(access, self.document)
        return queries.list_versions(connection, query, after=self.after, until=until, limit=len(page.rows) + 1)


def load_page(moment: Moment, principal: Principal, wanted: DocumentList | VersionList) -> Page:
    """What `principal` would be handed out for `wanted`; not logged, so not to be handed out. Raises `RefusedError`."""
    return wanted.load(moment.connection, _authorise(moment, principal, wanted.record, wanted.grant))


def fetch_page(moment: Moment, principal: Principal, wanted: DocumentList | VersionList, loaded: Page) -> Page:
    """Log what `principal` is handed out for `wanted`: `loaded`, or what is there instead by now.

    Raises `RefusedError`.
    """
    access = _authorise(moment, principal, wanted.record, wanted.grant)
    if wanted.keys(moment.connection, access, loaded) != loaded.keys():
        loaded = wanted.load(moment.connection, access)
    _log(moment, principal, access, "fetch.list", keys=loaded.keys(), roles=(KeyRole.METADATA,))
    return loaded


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
    row = queries.find_version(moment.connection, _versions(access, document), version)
    if row is None:
        raise RefusedError("version_unknown")
    personal = access.grant.hash if access.grant is not None and access.grant.documents else None
    content = queries.find_content(moment.connection, record, document, row.version, grant=personal)
    if content is None:
        raise RefusedError("content_capsule_missing")
    _log(
        moment,
        principal,
        access,
        "fetch.open",
        keys=[(document, row.version)],
        roles=(KeyRole.CONTENT, KeyRole.METADATA),
    )
    return Opened(
        row=row,
        filings=_filings(moment.connection, access, document).get(document, ()),
        deposit_grants=_deposit_grants(moment.connection, [row]),
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


def _listed(access: Access) -> queries.Listing:
    if access.grant is None:
        return queries.listed_for_patient(access.record)
    if access.grant.compartments:
        return queries.listed_for_compartments(access.record, access.grant.hash)
    return queries.listed_for_documents(access.record, access.grant.hash)


def _versions(access: Access, document: DocumentId) -> Select[Any]:
    if access.grant is None:
        return queries.versions_for_patient(access.record, document)
    if access.grant.compartments:
        return queries.versions_for_compartments(access.record, access.grant.hash, document)
    return queries.versions_for_documents(access.record, access.grant.hash, document)


def _filings(connection: Connection, access: Access, document: DocumentId) -> Mapping[DocumentId, Sequence[str]]:
    return queries.load_filings(connection, access.record, [document]) if access.is_patient else {}


def _deposit_grants(connection: Connection, rows: Sequence[EntryRow]) -> tuple[str, ...]:
    wanted = {row.deposit_grant for row in rows if row.deposit_grant is not None}
    return queries.load_deposit_grants(connection, wanted)


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
    keys: Sequence[Key],
    roles: Sequence[KeyRole],
) -> None:
    moment.log(
        NewEvent(
            kind,
            record=access.record,
            by=access.principal,
            device=StatementHash(principal.key_id.raw),
            grant=None if access.grant is None else access.grant.hash,
            documents=tuple(VersionKey(*key, role) for key in keys for role in roles),
        )
    )
