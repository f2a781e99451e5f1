"""Documents: deposit, list, open: `/v1/records/{record}/documents`, `/deposits`, `/reseals`."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.api.capsules import Capsule, CapsuleSwap
from carnet_protocol.api.people import Jws
from carnet_protocol.ids import Sha256Digest, UploadId
from carnet_protocol.limits import MAX_CAPSULES_PER_REQUEST, MAX_PAGE, MAX_VERSIONS
from carnet_protocol.wire import Base64Bytes, UtcSeconds, WireModel

MAX_DEPOSITS = 50


class Deposit(WireModel):
    """One version: the finished upload, the manifest, the metadata ciphertext, the leaf list, both capsules.

    `lock` is the lock statement that both capsules name.
    """

    upload: UploadId
    manifest: Jws
    metadata: Base64Bytes
    leaf_digests: Base64Bytes
    lock: Jws
    content_capsule: Capsule
    metadata_capsule: Capsule


class Deposits(WireModel):
    """`POST /v1/records/{record}/documents`: all of them are accepted, or none."""

    deposits: Annotated[tuple[Deposit, ...], Field(min_length=1, max_length=MAX_DEPOSITS, strict=False)]


class DepositReceipts(WireModel):
    """One receipt (JWS) per deposit, in order."""

    receipts: Annotated[tuple[Jws, ...], Field(strict=False)]


class ResealDeposit(WireModel):
    """One version encrypted anew by the patient. The capsules replace those with the given digests.

    `personal_capsules` replace those of the version's personal capsules whose readers go on; `drops` are the digests of
    those that go without another. No other stands under a grant that is not over.
    """

    upload: UploadId
    reseal: Jws
    metadata: Base64Bytes
    leaf_digests: Base64Bytes
    lock: Jws
    content_capsule: Capsule
    metadata_capsule: Capsule
    replaces_content: Sha256Digest
    replaces_metadata: Sha256Digest
    personal_capsules: Annotated[tuple[CapsuleSwap, ...], Field(max_length=MAX_CAPSULES_PER_REQUEST, strict=False)]
    drops: Annotated[tuple[Sha256Digest, ...], Field(max_length=MAX_CAPSULES_PER_REQUEST, strict=False)]


class ResealDeposits(WireModel):
    """`POST /v1/records/{record}/reseals`: all of them are accepted, or none."""

    deposits: Annotated[tuple[ResealDeposit, ...], Field(min_length=1, max_length=MAX_DEPOSITS, strict=False)]


class VersionEntry(WireModel):
    """A version as listed: manifest, newest reseal if any, metadata ciphertext, its capsule, and the filings.

    `filings` is empty for everyone but the patient.
    """

    manifest: Jws
    reseal: Jws | None
    metadata: Base64Bytes
    metadata_capsule: Capsule
    filings: Annotated[tuple[Jws, ...], Field(strict=False)]


DepositGrants = Annotated[tuple[Jws, ...], Field(max_length=MAX_PAGE, strict=False)]
"""The deposit grants that the manifests of an answer rely on, each once, by hash: what proves their authors' right."""


class DocumentsPage(WireModel):
    """`GET /v1/records/{record}/documents?grant=&after=&limit=`: newest versions, by document id.

    `tombstones` is empty for everyone but the patient.
    """

    documents: Annotated[tuple[VersionEntry, ...], Field(max_length=MAX_PAGE, strict=False)]
    deposit_grants: DepositGrants
    tombstones: Annotated[tuple[Jws, ...], Field(strict=False)]
    next: str | None


class VersionsView(WireModel):
    """`GET /v1/records/{record}/documents/{document}?grant=&after=&limit=`: versions of one document, oldest first."""

    versions: Annotated[tuple[VersionEntry, ...], Field(max_length=MAX_PAGE, strict=False)]
    deposit_grants: DepositGrants
    next: Annotated[int, Field(ge=1, le=MAX_VERSIONS)] | None


class OpenedVersion(WireModel):
    """`GET /v1/records/{record}/documents/{document}/versions/{version}?grant=`: what it takes to open one version."""

    entry: VersionEntry
    content_capsule: Capsule
    deposit_grants: DepositGrants
    leaf_digests: Base64Bytes
    url: str
    url_expires: UtcSeconds


class OwnDepositsPage(WireModel):
    """`GET /v1/records/{record}/deposits?grant=&after=`: one's own manifests, whatever became of them."""

    manifests: Annotated[tuple[Jws, ...], Field(max_length=MAX_PAGE, strict=False)]
    next: str | None
