"""Beginning, showing and giving up uploads, in the transaction of a request."""

from collections.abc import Sequence

from carnet_protocol.ids import RecordId, StatementHash, UploadId
from carnet_protocol.statements import Permission
from carnet_server.deployment import Moment
from carnet_server.errors import RefusedError
from carnet_server.grants.access import Access, authorise
from carnet_server.principals import Principal
from carnet_vault.objects.limits import UrlWindow
from carnet_vault.uploads.decide import check_open
from carnet_vault.uploads.queries import UploadRow, count_uploads, delete_uploads, insert_uploads, load_uploads


def authorise_upload(
    moment: Moment, principal: Principal, record: RecordId, grant: StatementHash | None, *, sizes: Sequence[int]
) -> Access:
    """The access under which `principal` may begin uploads of `sizes`. Raises `RefusedError` or `RateLimitedError`."""
    access = _authorise(moment, principal, record, grant)
    check_open(*count_uploads(moment.connection, access.principal), sizes=sizes)
    return access


def accept_uploads(
    moment: Moment, principal: Principal, record: RecordId, grant: StatementHash | None, rows: Sequence[UploadRow]
) -> UrlWindow:
    """Keep uploads that the store has begun, and say how long their URLs are good.

    Raises what `authorise_upload` raises.
    """
    access = authorise_upload(moment, principal, record, grant, sizes=[row.stored.size_bytes for row in rows])
    insert_uploads(moment.connection, record, rows, now=moment.now)
    return UrlWindow.of(access, now=moment.now)


def show_upload(
    moment: Moment, principal: Principal, record: RecordId, upload: UploadId
) -> tuple[UploadRow, UrlWindow]:
    """The upload that `principal` began and may still go on with, and how long its URLs are good.

    Raises `RefusedError`.
    """
    row = _find_own(moment, principal, record, upload)
    access = _authorise(moment, principal, record, row.grant)
    return row, UrlWindow.of(access, now=moment.now)


def give_up_upload(moment: Moment, principal: Principal, record: RecordId, upload: UploadId) -> UploadRow:
    """Forget the upload that `principal` began. Raises `RefusedError`."""
    row = _find_own(moment, principal, record, upload)
    delete_uploads(moment.connection, [upload])
    return row


def _authorise(moment: Moment, principal: Principal, record: RecordId, grant: StatementHash | None) -> Access:
    return authorise(
        moment.connection,
        principal,
        record,
        grant,
        permission=Permission.DEPOSIT,
        pinned=moment.deployment.pinned,
        now=moment.now,
    )


def _find_own(moment: Moment, principal: Principal, record: RecordId, upload: UploadId) -> UploadRow:
    row = load_uploads(moment.connection, record, [upload]).get(upload)
    if row is None or row.by != principal.person:
        raise RefusedError("upload_unknown")
    return row
