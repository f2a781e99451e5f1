"""Depositing: seal, upload, commit (spec `document.md`, "Manifest, capsules, deposit").

Small documents are sealed in memory and go in batches: one request begins their uploads, one commits them. Large ones
are sealed into a spool (`carnet.documents.spool`) while their parts are already on the way.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from carnet.access import RecordAccess, open_access
from carnet.capsules import seal_capsule
from carnet.content import (
    CommitmentKey,
    ContentKey,
    ContentSuites,
    MetadataKey,
    SealedContent,
    commit_metadata,
    seal_bytes,
    seal_metadata,
    wrapping_system_errors,
)
from carnet.documents.metadata import CommitmentKeyText, DocumentKind, Metadata
from carnet.documents.upload import put_part
from carnet.errors import StaleError, UsageError, VerificationError
from carnet.receipts import verify_receipts
from carnet.session import Session
from carnet_protocol.api import Deposit, DepositReceipts, Deposits, UploadRequest, UploadsAnswer, UploadView
from carnet_protocol.api.documents import MAX_DEPOSITS
from carnet_protocol.ids import (
    CompartmentId,
    DocumentId,
    DocumentSalt,
    Sha256Digest,
    derive_document_id,
)
from carnet_protocol.limits import MIB
from carnet_protocol.statements import Manifest, Signed
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, WrapTuple

SMALL_BYTES: Final = 4 * MIB
_BATCH_BYTES: Final = 16 * MIB
_ATTEMPTS: Final = 3

OnDeposited = Callable[[int], None]
"""Is told how many more bytes of plaintext are deposited."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A document to be deposited, or a correction of the one whose newest manifest is `previous`."""

    source: Path
    compartment: CompartmentId
    title: str
    kind: DocumentKind
    media_type: str
    author_name: str
    care_date: str | None = None
    file_name: str | None = None
    comment: str | None = None
    previous: Signed[Manifest] | None = None

    def metadata(self, *, size: int, commitment_key: CommitmentKey) -> Metadata:
        """The metadata that goes with `size` bytes. Raises pydantic's `ValidationError` against the rules."""
        return Metadata(
            title=self.title,
            kind=self.kind,
            care_date=self.care_date,
            author_name=self.author_name,
            media_type=self.media_type,
            size=size,
            file_name=self.file_name,
            comment=self.comment,
            commitment_key=CommitmentKeyText(commitment_key.reveal()),
        )


@dataclass(frozen=True, slots=True)
class VersionKeys:
    """The fresh keys of one version, and what they are bound to."""

    identity: IdentityTuple
    salt: DocumentSalt
    content_key: ContentKey
    metadata_key: MetadataKey
    commitment_key: CommitmentKey


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A version sealed and signed, in no capsule yet: what a repeated commit needs."""

    manifest: Signed[Manifest]
    compartment: CompartmentId
    metadata: bytes
    leaf_digests: bytes
    content_key: ContentKey
    metadata_key: MetadataKey


def measure_source(new: NewVersion) -> os.stat_result:
    """What the system says of the file of `new`. Raises `UsageError` for an empty one, or `LocalFileError`."""
    with wrapping_system_errors():
        status = new.source.stat()
    if not status.st_size:
        raise UsageError(f"{new.source} is empty: there is nothing to deposit")
    return status


def make_keys(session: Session, access: RecordAccess, new: NewVersion) -> VersionKeys:
    """Fresh keys for `new`. Raises `UsageError` if this person may not make that version."""
    previous = new.previous
    if previous is None:
        salt = DocumentSalt(ContentKey.make().reveal())
        number = 1
    else:
        if previous.body.author != session.identity:
            raise UsageError("only its author can correct a document: deposit yours beside it")
        salt = previous.body.document_salt
        number = previous.body.version + 1
    document = derive_document_id(access.record, session.identity, salt)
    identity = IdentityTuple(session.write_suite, access.record, document, number, session.identity)
    return VersionKeys(identity, salt, ContentKey.make(), MetadataKey.make(), CommitmentKey.make())


def sign_version(
    session: Session, access: RecordAccess, new: NewVersion, keys: VersionKeys, sealed: SealedContent
) -> SealedVersion:
    """Seal the metadata of `new` and sign its manifest."""
    metadata = new.metadata(size=sealed.true_size, commitment_key=keys.commitment_key).formatted()
    sealed_metadata, metadata_digest = seal_metadata(
        metadata, metadata_key=keys.metadata_key, context=keys.identity.metadata_context()
    )
    manifest = session.sign(
        Manifest(
            suite=keys.identity.suite,
            record=access.record,
            document=keys.identity.document,
            document_salt=keys.salt,
            version=keys.identity.version,
            author=session.identity,
            device=session.device,
            grant=access.grant_hash,
            previous=None if new.previous is None else new.previous.hash,
            digest=sealed.digest,
            ciphertext_size=sealed.ciphertext_size,
            metadata_digest=Sha256Digest(metadata_digest.raw),
            plaintext_commitment=sealed.plaintext_commitment,
            metadata_commitment=commit_metadata(keys.identity.suite, keys.commitment_key, metadata),
            created_at=session.clock(),
        )
    )
    return SealedVersion(
        manifest, new.compartment, sealed_metadata, sealed.leaf_digests, keys.content_key, keys.metadata_key
    )


def begin_uploads(session: Session, access: RecordAccess, sizes: Sequence[int]) -> tuple[UploadView, ...]:
    """Begin one upload per size. Raises a `TransportError` or `VerificationError`."""
    request = UploadRequest(grant=access.grant_hash, sizes=tuple(sizes))
    answer = session.vault.post_once(f"/v1/records/{access.record}/uploads", request, UploadsAnswer)
    if [upload.size for upload in answer.uploads] != list(sizes):
        raise VerificationError("the vault began other uploads than those asked for: tell its operator")
    return answer.uploads


def commit(
    session: Session, access: RecordAccess, versions: Sequence[tuple[UploadView, SealedVersion]]
) -> RecordAccess:
    """Commit uploaded versions: both locks around their keys, then one request.

    Where an epoch or the lock moved on meanwhile, the access is opened again and the keys are wrapped again; the access
    in force is returned. Raises a `TransportError` or a `DataError`.
    """
    path = f"/v1/records/{access.record}/documents"
    for attempt in range(_ATTEMPTS):
        deposits = tuple(_make_deposit(access, upload, version) for upload, version in versions)
        try:
            answer = session.vault.post(path, Deposits(deposits=deposits), DepositReceipts)
        except StaleError:
            if attempt == _ATTEMPTS - 1:
                raise
            access = open_access(session, access.record, access.grant_hash)
        else:
            verify_receipts(answer.receipts, session.vault, count=len(deposits))
            break
    return access


def deposit_small(
    session: Session, access: RecordAccess, documents: Sequence[NewVersion], *, on_deposited: OnDeposited | None = None
) -> list[DocumentId]:
    """Deposit `documents`, each of at most 4 MiB, batch by batch. Returns their ids, in order.

    A batch is there completely or not at all. Raises `UsageError` or `LocalFileError` before anything is sent if there
    is nothing in a file or it cannot be read, later `LocalFileError`, a `TransportError` or a `DataError`.
    """
    for new in documents:
        measure_source(new)
    ids: list[DocumentId] = []
    waiting = iter(documents)
    while batch := list(islice(waiting, MAX_DEPOSITS)):
        for part in _split_batch(batch):
            sealed: list[SealedVersion] = []
            ciphertexts: list[bytes] = []
            size = 0
            for new in part:
                keys = make_keys(session, access, new)
                with wrapping_system_errors():
                    plaintext = new.source.read_bytes()
                content, ciphertext = seal_bytes(
                    plaintext,
                    content_key=keys.content_key,
                    context=keys.identity.content_context(),
                    commitment_key=keys.commitment_key,
                    suites=ContentSuites.of(keys.identity.suite),
                )
                sealed.append(sign_version(session, access, new, keys, content))
                ciphertexts.append(ciphertext)
                size += content.true_size
            uploads = begin_uploads(session, access, [len(ciphertext) for ciphertext in ciphertexts])
            for upload, ciphertext in zip(uploads, ciphertexts, strict=True):
                for url in upload.parts:
                    put_part(session, url, ciphertext[url.offset : url.offset + url.size])
            access = commit(session, access, list(zip(uploads, sealed, strict=True)))
            ids += [version.manifest.body.document for version in sealed]
            if on_deposited is not None:
                on_deposited(size)
    return ids


def _split_batch(batch: Sequence[NewVersion]) -> list[list[NewVersion]]:
    """Batches of at most 16 MiB of plaintext."""
    parts: list[list[NewVersion]] = []
    room = 0
    for new in batch:
        size = measure_source(new).st_size
        if size > room:
            parts.append([])
            room = _BATCH_BYTES
        parts[-1].append(new)
        room -= size
    return parts


def _make_deposit(access: RecordAccess, upload: UploadView, version: SealedVersion) -> Deposit:
    compartment = access.compartment(version.compartment)
    lock = access.lock
    if lock is None:
        raise VerificationError("the key service showed no lock of this record: nothing can be sealed for it")
    if not compartment.is_trusted:
        raise VerificationError("this part of the record was last changed by a device that was shut out: not sealed")
    newest = compartment.newest

    def wrap(role: KeyRole) -> WrapTuple:
        recipient = CompartmentLock(version.compartment, newest.hash)
        identity = version.manifest.body.identity_tuple()
        return WrapTuple(identity, role, recipient, newest.body.suite, lock.body.suite, lock.hash)

    return Deposit(
        upload=upload.upload,
        manifest=version.manifest.text,
        metadata=version.metadata,
        leaf_digests=version.leaf_digests,
        lock=lock.text,
        content_capsule=seal_capsule(
            version.content_key.reveal(),
            wrap(KeyRole.CONTENT),
            recipient_public_key=newest.body.compartment_key,
            lock=lock,
        ),
        metadata_capsule=seal_capsule(
            version.metadata_key.reveal(),
            wrap(KeyRole.METADATA),
            recipient_public_key=newest.body.compartment_key,
            lock=lock,
        ),
    )
