"""Routes of uploads: where the bytes of a new object go before any statement names it."""

import contextlib
from collections.abc import Collection, Sequence
from types import NoneType

from sqlalchemy import Connection

from carnet_protocol.api import Accepted, PartUrl, UploadRequest, UploadsAnswer, UploadView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId, UploadId
from carnet_protocol.limits import KIB
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import RefusalError
from carnet_server.principals import Principal
from carnet_server.routes import DEVICES, Router
from carnet_storage import Store, make_object_name
from carnet_vault.objects.limits import UrlWindow
from carnet_vault.refusals import store_refusals
from carnet_vault.uploads.accept import accept_uploads, authorise_upload, give_up_upload, show_upload
from carnet_vault.uploads.decide import part_size
from carnet_vault.uploads.queries import UploadRow


def make_uploads_router(deployment: Deployment, store: Store) -> Router:
    """The routes under `/v1/records/{record}/uploads`."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/uploads",
        kinds=DEVICES,
        body=UploadRequest,
        body_limit_bytes=8 * KIB,
        answer=UploadsAnswer,
        errors=(ErrorCode.REFUSED,),
    )
    def begin_uploads(call: SignedCall[UploadRequest], record: RecordId) -> UploadsAnswer:
        """Begin one upload per size, and answer with the URLs of its parts."""

        def judge(connection: Connection, now: int) -> None:
            moment = Moment(connection, now, deployment)
            authorise_upload(moment, call.principal, record, call.body.grant, sizes=call.body.sizes)

        call.read(judge)
        rows: list[UploadRow] = []

        def keep(connection: Connection, now: int) -> UrlWindow:
            return accept_uploads(Moment(connection, now, deployment), call.principal, record, call.body.grant, rows)

        try:
            for size in call.body.sizes:
                rows.append(_begin(store, call.principal, call.body, size))  # noqa: PERF401  those begun are aborted
            window = call.run(keep)
        except RefusalError:
            _abort(store, rows)
            raise
        return UploadsAnswer(uploads=tuple(_view(store, row, arrived=(), window=window) for row in rows))

    @router.signed(
        "GET",
        "/v1/records/{record}/uploads/{upload}",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=UploadView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_upload(call: SignedCall[None], record: RecordId, upload: UploadId) -> UploadView:
        """The parts that have not arrived, with fresh URLs, for whoever began the upload."""

        def find(connection: Connection, now: int) -> tuple[UploadRow, UrlWindow]:
            return show_upload(Moment(connection, now, deployment), call.principal, record, upload)

        row, window = call.read(find)
        with store_refusals():
            return _view(store, row, arrived=store.arrived_parts(row.stored), window=window)

    @router.signed(
        "DELETE",
        "/v1/records/{record}/uploads/{upload}",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=Accepted,
        errors=(ErrorCode.REFUSED,),
    )
    def delete_upload(call: SignedCall[None], record: RecordId, upload: UploadId) -> Accepted:
        """Give an upload up. What had arrived of it is removed."""

        def forget(connection: Connection, now: int) -> UploadRow:
            return give_up_upload(Moment(connection, now, deployment), call.principal, record, upload)

        _abort(store, [call.run(forget)])
        return Accepted(receipts=())

    return router


def _begin(store: Store, principal: Principal, body: UploadRequest, size: int) -> UploadRow:
    with store_refusals():
        stored = store.begin_upload(make_object_name(), size_bytes=size, part_bytes=part_size(size))
    return UploadRow(UploadId.make(), principal.person, body.grant, stored)


def _abort(store: Store, rows: Sequence[UploadRow]) -> None:
    """Free what uploads took that nobody goes on with. What a failing store keeps of them, `gc` finds later."""
    for row in rows:
        with contextlib.suppress(RefusalError), store_refusals():
            store.abort_upload(row.stored.name, row.stored.token)


def _view(store: Store, row: UploadRow, *, arrived: Collection[int], window: UrlWindow) -> UploadView:
    stored = row.stored
    missing = sorted(set(range(1, stored.part_count + 1)).difference(arrived))
    return UploadView(
        upload=row.upload,
        size=stored.size_bytes,
        urls_expire=window.ends,
        parts=tuple(
            PartUrl(
                number=part,
                offset=stored.part_offset(part),
                size=stored.part_size(part),
                url=store.put_url(stored, part, now=window.now, ttl_seconds=window.seconds),
                headers={},
            )
            for part in missing
        ),
    )
