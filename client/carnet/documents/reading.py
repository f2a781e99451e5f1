"""Opening one version: its keys from both locks, its bytes leaf by leaf (spec `document.md`, "Reading").

with open_document(session, access, document) as opened:
    opened.save(path)
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx2

from carnet.access import RecordAccess, find_moved_on, release
from carnet.capsules import open_inner
from carnet.content import (
    CommitmentKey,
    ContentKey,
    MetadataKey,
    OnProgress,
    OpenedRanges,
    OpenedStream,
    SealedContent,
)
from carnet.content.leaf_opener import LeafOpener
from carnet.documents.listing import check_not_older, grant_query, metadata_item, open_listed
from carnet.documents.metadata import Metadata
from carnet.documents.versions import Authors, Version, recipient_key, verify_capsule, verify_entry
from carnet.errors import AnswerError, DataError, RefusedError, UnreachableError, VerificationError
from carnet.session import Session
from carnet_protocol.api import Capsule, OpenedVersion, ReleaseItem, ReleaseKind
from carnet_protocol.ids import DocumentId
from carnet_protocol.tuples import KeyRole

_PIECE: Final = 1 << 20
_ATTEMPTS: Final = 4
_LOOKS: Final = 4


@dataclass(slots=True)
class OpenedDocument:
    """One version with its keys taken from both locks. Its content is fetched when it is asked for."""

    _session: Session
    _access: RecordAccess
    _url: str
    version: Version
    metadata: Metadata
    sealed: SealedContent
    content_capsule: Capsule
    content_key: ContentKey
    metadata_key: MetadataKey

    def save(self, destination: Path, *, on_progress: OnProgress | None = None) -> None:
        """Write the document to `destination`, which appears only when all of it is proven and on disk.

        A connection that is cut is taken up again where it ended. Raises `ContentRefusedError`, `LocalFileError` or a
        `TransportError`; `destination` is then what it was before.
        """
        with OpenedStream(
            destination,
            sealed=self.sealed,
            content_key=self.content_key,
            context=self.version.identity.content_context(),
            commitment_key=self._commitment_key,
        ) as stream:
            failures = 0
            while stream.position < self.sealed.ciphertext_size:
                before = stream.position
                try:
                    for piece in self._fetch(before, self.sealed.ciphertext_size):
                        stream.feed(piece)
                        if on_progress is not None:
                            on_progress(stream.position)
                except UnreachableError:
                    failures = 1 if stream.position > before else failures + 1
                    if failures == _ATTEMPTS:
                        raise
                    self._renew_url()
            stream.finalize(os.fsync)

    def check(self) -> None:
        """Fetch and check every byte, and keep none. Raises as `save`."""
        opener = LeafOpener(
            self.sealed,
            content_key=self.content_key,
            context=self.version.identity.content_context(),
            commitment_key=self._commitment_key,
        )
        buffer = opener.make_buffer()
        for leaf in range(self.sealed.leaf_count):
            ciphertext = memoryview(b"".join(self._fetch(*self.sealed.leaf_range(leaf))))
            opener.verify(leaf, ciphertext)
            opener.accept(leaf, opener.decrypt(leaf, ciphertext, buffer))
        opener.finish()

    def ciphertext(self) -> Iterator[bytes]:
        """The ciphertext, leaf by leaf, each checked against the author's digest."""
        for leaf in range(self.sealed.leaf_count):
            ciphertext = b"".join(self._fetch(*self.sealed.leaf_range(leaf)))
            self.sealed.verify_leaf(leaf, ciphertext)
            yield ciphertext

    def stream(self) -> Iterator[bytes]:
        """The document in pieces of a MiB at most; each is authentic, only the end says that it was all."""
        return self._ranges().stream_all()

    def read_range(self, *, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, less where the document ends before. Raises as `save`."""
        return self._ranges().read(offset=offset, length=length)

    @property
    def _commitment_key(self) -> CommitmentKey:
        return CommitmentKey(self.metadata.commitment_key.raw)

    def _ranges(self) -> OpenedRanges:
        return OpenedRanges(
            lambda start, end: b"".join(self._fetch(start, end)),
            sealed=self.sealed,
            content_key=self.content_key,
            context=self.version.identity.content_context(),
        )

    def _renew_url(self) -> None:
        view = _fetch_version(self._session, self._access, self.version.document, self.version.number)
        self._url = view.url

    def _fetch(self, start: int, end: int) -> Iterator[bytes]:
        """The ciphertext from `start` to `end`, in pieces. Raises a `TransportError`."""
        headers = {"range": f"bytes={start}-{end - 1}"}
        try:
            with self._session.stores.client(self._url).stream("GET", self._url, headers=headers) as response:
                if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                    raise UnreachableError("the store does not hand out this document now: run the same command again")
                left = end - start
                for piece in response.iter_raw(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise AnswerError("the store sent more than was asked for: tell its operator")
                    yield piece
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise UnreachableError(
                "the store cannot be reached: check the network, then run the same command again"
            ) from error
        if left:
            raise UnreachableError("the store sent less than was asked for: run the same command again")


def open_document(
    session: Session, access: RecordAccess, document: DocumentId, *, version: int | None = None
) -> OpenedDocument:
    """The version of `document` numbered `version`, or the newest, opened.

    1. The vault's answer is verified as in a list.
    2. Both outer locks are taken off in one release, which the log calls an opening.
    3. Both inner locks open; metadata opens; sizes and leaf list match the digest.

    What does not open is looked at once more, and again while epochs or the lock move on: its locks may have been
    remade in between. Raises a `DataError` or a `TransportError`.
    """
    for look in itertools.count(1):
        try:
            return _open_document(session, access, document, version)
        except (DataError, RefusedError):
            newer = find_moved_on(session, access)
            if look == _LOOKS or (newer is None and look > 1):
                raise
            access = newer or access
    raise AssertionError("internal: the last look returns or raises")


def _open_document(session: Session, access: RecordAccess, document: DocumentId, version: int | None) -> OpenedDocument:
    """The steps of `open_document`."""
    # 1
    view = _fetch_version(session, access, document, version)
    authors = Authors(session, access)
    authors.learn_grants(view.deposit_grants)
    verified = verify_entry(access, authors, view.entry)
    if verified.document != document or version not in {None, verified.number}:
        raise VerificationError("the vault sent another document than the one asked for: nothing was used")
    if version is None:
        check_not_older(session, access, verified)
    wrap = verify_capsule(access, verified, view.content_capsule, KeyRole.CONTENT)
    # 2
    body = verified.manifest.body
    items = [
        ReleaseItem(suite=body.suite, author=body.author, capsule=view.content_capsule),
        metadata_item(verified),
    ]
    inner_content, inner_metadata = release(session, access, ReleaseKind.OPEN, items)
    if inner_content is None:
        raise VerificationError("the key service does not release this document to you")
    # 3
    content_key = ContentKey(open_inner(inner_content, wrap, private_key=recipient_key(access, wrap)))
    metadata_key, metadata = open_listed(access, verified, inner_metadata)
    sealed = SealedContent(
        suites=verified.content_suites,
        true_size=metadata.size,
        ciphertext_size=verified.ciphertext_size,
        digest=verified.digest,
        leaf_digests=view.leaf_digests,
        plaintext_commitment=body.plaintext_commitment,
    )
    return OpenedDocument(
        session, access, view.url, verified, metadata, sealed, view.content_capsule, content_key, metadata_key
    )


def _fetch_version(session: Session, access: RecordAccess, document: DocumentId, version: int | None) -> OpenedVersion:
    path = f"/v1/records/{access.record}/documents/{document}/versions/{version or 'newest'}"
    return session.vault.get(path, OpenedVersion, query=grant_query(access))
