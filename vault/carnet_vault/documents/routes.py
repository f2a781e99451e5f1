"""Routes of documents: list, versions, one version."""

from types import NoneType
from typing import Annotated

from fastapi import Path, Query
from sqlalchemy import Connection

from carnet_protocol.api import DocumentsPage, OpenedVersion, VersionsView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.limits import MAX_PAGE
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.routes import DEVICES, Router
from carnet_storage import ObjectName, Store
from carnet_vault.documents.fetch import Opened, Page, fetch_page, fetch_version, fetch_versions
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

        def fetch(connection: Connection, now: int) -> Page:
            moment = Moment(connection, now, deployment)
            return fetch_page(moment, call.principal, record, grant, after=after, limit=limit)

        page = call.run(fetch)
        return DocumentsPage.model_construct(
            documents=page.entries(),
            deposit_grants=page.deposit_grants,
            tombstones=page.tombstones,
            next=None if page.next is None else str(page.next),
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
        call: SignedCall[None], record: RecordId, document: DocumentId, grant: StatementHash | None = None
    ) -> VersionsView:
        """Every version of one document that the principal sees, oldest first."""

        def fetch(connection: Connection, now: int) -> Page:
            return fetch_versions(Moment(connection, now, deployment), call.principal, record, grant, document)

        page = call.run(fetch)
        return VersionsView.model_construct(versions=page.entries(), deposit_grants=page.deposit_grants)

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
