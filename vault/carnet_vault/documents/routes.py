"""Routes of documents: list, versions, one version."""

from types import NoneType
from typing import Annotated

from fastapi import Path, Query
from sqlalchemy import Connection

from carnet_protocol.api import DocumentsPage, OpenedVersion, VersionsView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.limits import MAX_PAGE, MAX_VERSIONS
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.routes import DEVICES, Router
from carnet_storage import ObjectName, Store
from carnet_vault.documents.fetch import (
    DocumentList,
    Opened,
    Page,
    VersionList,
    fetch_page,
    fetch_version,
    load_page,
)
from carnet_vault.documents.views import view_capsule, view_entry

DEFAULT_PAGE = 200
NEWEST = "newest"
VersionName = Annotated[str, Path(pattern=r"^(newest|[1-9][0-9]{0,4})$")]


def make_documents_router(deployment: Deployment, store: Store) -> Router:
    """The `GET` routes under `/v1/records/{record}/documents`."""
    router = Router()

    @router.signed(
        "GET",
        "/v1/records/{record}/documents",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=DocumentsPage,
        errors=(ErrorCode.REFUSED,),
    )
    def list_documents(
        call: SignedCall[None],
        record: RecordId,
        grant: StatementHash | None = None,
        after: DocumentId | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    ) -> DocumentsPage:
        """The newest version of each document that the principal sees, by document id."""
        page = _fetch(call, deployment, DocumentList(record, grant, after, limit))
        return DocumentsPage.model_construct(
            documents=page.entries(),
            deposit_grants=page.deposit_grants,
            tombstones=page.tombstones,
            next=str(page.rows[-1].document) if page.has_more else None,
        )

    @router.signed(
        "GET",
        "/v1/records/{record}/documents/{document}",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=VersionsView,
        errors=(ErrorCode.REFUSED,),
    )
    def list_versions(
        call: SignedCall[None],
        record: RecordId,
        document: DocumentId,
        *,
        grant: StatementHash | None = None,
        after: Annotated[int, Query(ge=0, le=MAX_VERSIONS)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    ) -> VersionsView:
        """The versions of one document that the principal sees, oldest first."""
        page = _fetch(call, deployment, VersionList(record, grant, document, after, limit))
        return VersionsView.model_construct(
            versions=page.entries(),
            deposit_grants=page.deposit_grants,
            next=page.rows[-1].version if page.has_more else None,
        )

    @router.signed(
        "GET",
        "/v1/records/{record}/documents/{document}/versions/{version}",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=OpenedVersion,
        errors=(ErrorCode.REFUSED,),
    )
    def open_version(
        call: SignedCall[None],
        record: RecordId,
        document: DocumentId,
        version: VersionName,
        grant: StatementHash | None = None,
    ) -> OpenedVersion:
        """One version, by number or `newest`, its content capsule, its leaf list, and a URL for its object."""
        number = None if version == NEWEST else int(version)

        def fetch(connection: Connection, now: int) -> Opened:
            moment = Moment(connection, now, deployment)
            return fetch_version(moment, call.principal, record, grant, document=document, version=number)

        opened = call.run(fetch)
        name = ObjectName(opened.content.object)
        return OpenedVersion.model_construct(
            entry=view_entry(opened.row, opened.filings),
            content_capsule=view_capsule(opened.content),
            deposit_grants=opened.deposit_grants,
            leaf_digests=opened.content.leaf_digests,
            url=store.get_url(name, now=opened.window.now, ttl_seconds=opened.window.seconds),
            url_expires=opened.window.ends,
        )

    return router


def _fetch(call: SignedCall[None], deployment: Deployment, wanted: DocumentList | VersionList) -> Page:
    """Load a page beside the writer, then have the writer decide and log."""
    loaded = call.read(lambda connection, now: load_page(Moment(connection, now, deployment), call.principal, wanted))

    def fetch(connection: Connection, now: int) -> Page:
        return fetch_page(Moment(connection, now, deployment), call.principal, wanted, loaded)

    return call.run(fetch)
