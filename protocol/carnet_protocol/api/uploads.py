"""Uploads of ciphertext: `/v1/records/{record}/uploads`."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.ids import StatementHash, UploadId
from carnet_protocol.limits import MAX_UPLOADS_PER_REQUEST
from carnet_protocol.statements.documents import CiphertextSize
from carnet_protocol.wire import UtcSeconds, WireModel


class UploadRequest(WireModel):
    """`POST /v1/records/{record}/uploads`: begins one upload per size, under a deposit grant (None: the patient)."""

    grant: StatementHash | None
    sizes: Annotated[tuple[CiphertextSize, ...], Field(min_length=1, max_length=MAX_UPLOADS_PER_REQUEST, strict=False)]


class PartUrl(WireModel):
    """Where to PUT one part: bytes [offset, offset + size) of the ciphertext, exactly that many, with these headers."""

    number: int
    offset: int
    size: int
    url: str
    headers: dict[str, str]


class UploadView(WireModel):
    """An upload: `parts` are the ones still missing, with fresh URLs good until `urls_expire`."""

    upload: UploadId
    size: int
    urls_expire: UtcSeconds
    parts: Annotated[tuple[PartUrl, ...], Field(strict=False)]


class UploadsAnswer(WireModel):
    """One view per upload, in the order of the request."""

    uploads: Annotated[tuple[UploadView, ...], Field(strict=False)]
