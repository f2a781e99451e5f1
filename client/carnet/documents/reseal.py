"""Encrypting a version anew: fresh keys, a fresh ciphertext, the author's manifest untouched (spec `document.md`).

For who completed a revocation and wants even kept *content* keys to open nothing in the store. Plaintext passes through
memory piece by piece and never touches the disk. Whoever was let in to this one document gets the new keys in the very
request that brings them, so that no cut leaves a reader without.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from carnet.access import RecordAccess
from carnet.capsules import seal_capsule
from carnet.content import (
    CommitmentKey,
    ContentKey,
    ContentSuites,
    MetadataKey,
    OnProgress,
    seal_metadata,
    seal_stream,
)
from carnet.documents.deposit import begin_uploads
from carnet.documents.reading import open_document
from carnet.documents.upload import put_part, read_part
from carnet.documents.versions import Version
from carnet.errors import ConflictError, RefusedError, UsageError, VerificationError
from carnet.grant_book import GrantBook, load_grants
from carnet.personal_capsules import load_personal_capsules, replace_personal_capsules
from carnet.readers import Readers
from carnet.receipts import verify_receipts
from carnet.session import Session
from carnet.standing import OwnKey
from carnet_protocol.api import Capsule, DepositReceipts, ResealDeposit, ResealDeposits
from carnet_protocol.ids import DocumentId, Sha256Digest
from carnet_protocol.statements import Lock, Reseal, Signed
from carnet_protocol.tuples import CompartmentLock, KeyRole, WrapTuple

_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who may read single documents of the record, and with which keys."""

    book: GrantBook
    readers: Readers

    @classmethod
    def load(cls, session: Session, access: RecordAccess) -> Self:
        """As both servers show it now. Raises a `DataError` or a `TransportError`."""
        return cls(load_grants(session, access), Readers(session))


def reseal_version(
    session: Session,
    access: RecordAccess,
    document: DocumentId,
    *,
    version: int,
    sharing: Sharing | None = None,
    on_progress: OnProgress | None = None,
) -> Signed[Reseal]:
    """Encrypt `version` of `document` anew. `access` is the patient's own.

    `sharing` is looked up where it is needed and not given. Raises `UsageError`, a `TransportError` or a `DataError`;
    the old ciphertext then still stands.
    """
    if access.grant is not None:
        raise UsageError("only the patient encrypts a document anew")
    opened = open_document(session, access, document, version=version)
    folder = session.home.path / "spool"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"reseal-{secrets.token_hex(16)}"
    try:
        content_key, metadata_key = ContentKey.make(), MetadataKey.make()
        with path.open("xb", buffering=0) as target:
            sealed = seal_stream(
                _Pieces(opened.stream()),
                target,
                size=opened.metadata.size,
                content_key=content_key,
                context=opened.version.identity.content_context(),
                commitment_key=CommitmentKey(opened.metadata.commitment_key.raw),
                suites=ContentSuites(
                    digest=max(session.write_suite, opened.version.identity.suite),
                    commitment=opened.version.identity.suite,
                ),
                on_progress=on_progress,
            )
        if sealed.plaintext_commitment != opened.version.manifest.body.plaintext_commitment:
            raise VerificationError("the document is not what its author committed to: it was not encrypted anew")
        upload = begin_uploads(session, access, [sealed.ciphertext_size])[0]
        for part in upload.parts:
            put_part(session, part, read_part(str(path), part))
        metadata, metadata_digest = seal_metadata(
            opened.metadata.formatted(),
            metadata_key=metadata_key,
            context=opened.version.identity.metadata_context(),
        )
        previous = opened.version.reseal
        reseal = session.sign(
            Reseal(
                record=access.record,
                manifest=opened.version.manifest.hash,
                serial=1 if previous is None else previous.body.serial + 1,
                previous=None if previous is None else previous.hash,
                suite=sealed.suites.digest,
                digest=sealed.digest,
                ciphertext_size=sealed.ciphertext_size,
                metadata_digest=metadata_digest,
                device=session.device,
                issued_at=session.clock(),
            )
        )
        deposit = ResealDeposit(
            upload=upload.upload,
            reseal=reseal.text,
            metadata=metadata,
            leaf_digests=sealed.leaf_digests,
            lock=_lock(access).text,
            content_capsule=_remake(access, opened.content_capsule, opened.version, content_key),
            metadata_capsule=_remake(access, opened.version.metadata_capsule, opened.version, metadata_key),
            replaces_content=Sha256Digest.of(opened.content_capsule.sealed),
            replaces_metadata=Sha256Digest.of(opened.version.metadata_capsule.sealed),
            personal_capsules=(),
            drops=(),
        )
        identity = opened.version.identity
        keys = (OwnKey(identity, KeyRole.CONTENT, content_key), OwnKey(identity, KeyRole.METADATA, metadata_key))
        _bring(session, access, deposit, keys, sharing)
    finally:
        path.unlink(missing_ok=True)
    return reseal


def _bring(
    session: Session, access: RecordAccess, deposit: ResealDeposit, keys: tuple[OwnKey, ...], sharing: Sharing | None
) -> None:
    """Give `deposit` to the vault with the personal capsules of its version, made anew out of `keys`.

    Somebody may be let in, or a grant may end, between the look and the deposit: then it is looked at again.
    """
    path = f"/v1/records/{access.record}/reseals"
    identity = keys[0].identity
    for attempt in range(_ATTEMPTS):
        standing = load_personal_capsules(session, access, identity.document, identity.version)
        if standing:
            if sharing is None or attempt:
                sharing = Sharing.load(session, access)
            replacement = replace_personal_capsules(
                session, book=sharing.book, readers=sharing.readers, standing=standing, keys=keys, lock=_lock(access)
            )
            deposit = deposit.model_copy(update={"personal_capsules": replacement.swaps, "drops": replacement.drops})
        else:
            deposit = deposit.model_copy(update={"personal_capsules": (), "drops": ()})
        try:
            answer = session.vault.post(path, ResealDeposits(deposits=(deposit,)), DepositReceipts)
        except (ConflictError, RefusedError):
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            verify_receipts(answer.receipts, session.vault, count=1)
            return


def _remake(access: RecordAccess, capsule: Capsule, version: Version, key: ContentKey | MetadataKey) -> Capsule:
    """A capsule of `key` in the place of `capsule`, under the newest epoch of its compartment."""
    if capsule.compartment is None:
        raise VerificationError("a document came in no compartment: it was not encrypted anew")
    compartment = access.compartment(capsule.compartment.compartment)
    lock, newest = _lock(access), compartment.newest
    if not compartment.is_trusted:
        raise VerificationError("this part of the record was last changed by a device that was shut out: not sealed")
    recipient = CompartmentLock(compartment.id, newest.hash)
    wrap = WrapTuple(version.identity, KeyRole(capsule.role), recipient, newest.body.suite, lock.body.suite, lock.hash)
    return seal_capsule(key.reveal(), wrap, recipient_public_key=newest.body.compartment_key, lock=lock)


def _lock(access: RecordAccess) -> Signed[Lock]:
    if access.lock is None:
        raise VerificationError("the key service showed no lock of this record: nothing can be sealed for it")
    return access.lock


class _Pieces:
    """A readable file made of pieces that come one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` as far as the piece at hand goes; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
