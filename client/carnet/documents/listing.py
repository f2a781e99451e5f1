"""Listing a record: every document that an access covers, with its metadata, in two round trips a page.

One document that does not verify is reported and keeps none of the others back. Where locks are being remade meanwhile,
what did not open is looked at again: nobody who reads has to wait for that.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from carnet.access import RecordAccess, find_moved_on, release
from carnet.capsules import open_inner
from carnet.content import MetadataKey, open_metadata
from carnet.documents.metadata import Metadata, parse_committed
from carnet.documents.versions import Authors, Version, recipient_key, verify_capsule, verify_entry
from carnet.errors import DataError, RefusedError, RollbackError, VerificationError
from carnet.session import Session
from carnet_protocol.api import (
    DocumentsPage,
    OwnDepositsPage,
    ReleaseItem,
    ReleaseKind,
    VersionEntry,
    VersionsView,
)
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, StatementHash
from carnet_protocol.limits import MAX_PAGE
from carnet_protocol.statements import Manifest, Signed, Tombstone
from carnet_protocol.tuples import KeyRole

_MORE_LOOKS: Final = 3
"""A document's locks may be remade between the page that shows it and the release."""
_OLDER: Final = "the vault shows an older state of this document than this client saw before: ask its operator"
_VANISHED: Final = "the vault no longer shows this document, and nobody removed it: ask its operator"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document with its metadata, all of it verified."""

    version: Version
    metadata: Metadata

    @property
    def id(self) -> DocumentId:
        """The document's id."""
        return self.version.document

    @property
    def compartment(self) -> CompartmentId | None:
        """Where it is filed; None under a single-document grant."""
        filings = self.version.filings
        return filings[-1].body.compartment if filings else self._sealed_in

    @property
    def is_filed_apart(self) -> bool:
        """Whether it was deposited elsewhere after a move: the patient alone sees it until it is moved again."""
        return self.compartment != self._sealed_in

    @property
    def _sealed_in(self) -> CompartmentId | None:
        recipient = self.version.metadata_capsule.compartment
        return None if recipient is None else recipient.compartment


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that did not verify or open, and why."""

    document: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The documents of a record, newest first; what did not verify; and, for the patient, what was removed."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    tombstones: tuple[Signed[Tombstone], ...]


def list_documents(session: Session, access: RecordAccess) -> Listing:
    """The newest version of every document that `access` covers. Raises a `TransportError` or a `DataError`."""
    listing, locks = _list_documents(session, access)
    for _ in range(_MORE_LOOKS):
        if not listing.problems:
            break
        newer = find_moved_on(session, access)
        if newer is None and access.lock is not None and locks <= {access.lock.hash}:
            break
        access, before = newer or access, listing
        listing, locks = _list_documents(session, access)
        if newer is None and listing.problems == before.problems:
            break
    return listing


def _list_documents(session: Session, access: RecordAccess) -> tuple[Listing, set[StatementHash]]:
    """The listing as it is now, and the locks that what did not verify is under."""
    authors = Authors(session, access)
    entries: list[VersionEntry] = []
    texts: list[str] = []
    for page in _pages(session, access):
        authors.learn_grants(page.deposit_grants)
        entries += page.documents
        texts += page.tombstones
    documents, problems = open_entries(session, access, authors, entries)
    authorship = {document.id: document.version.manifest.body.author for document in documents}
    tombstones, unproven = _verify_tombstones(session, access, authors, texts, authorship)
    problems += unproven
    older = find_older(session, access, [document.version for document in documents])
    problems += [Problem(str(document), _OLDER) for document in sorted(older)]
    documents = [document for document in documents if document.id not in older]
    removed = {tombstone.body.document for tombstone in tombstones}
    problems += [
        Problem(str(document.id), "the vault lists it although it was removed")
        for document in documents
        if document.id in removed
    ]
    if access.grant is None:
        shown = {entry.metadata_capsule.document for entry in entries}
        vanished = session.pins.check_all_documents(access.record, shown=shown, removed=removed)
        problems += [Problem(name, _VANISHED) for name in vanished]
    documents.sort(key=_age, reverse=True)
    named = {problem.document for problem in problems}
    locks = {
        entry.metadata_capsule.lock_statement for entry in entries if str(entry.metadata_capsule.document) in named
    }
    return Listing(tuple(documents), tuple(problems), tuple(tombstones)), locks


def find_older(session: Session, access: RecordAccess, newest: Sequence[Version]) -> set[DocumentId]:
    """Those of `newest`, verified, that are older than what this client saw before; the others are pinned.

    Under a single-document grant nothing is pinned: it covers the versions of its day, another one may cover more.
    """
    if access.grant is not None and access.grant.body.documents:
        return set()
    by_patient = access.grant is None
    return session.pins.check_documents(access.record, [version.seen(by_patient=by_patient) for version in newest])


def check_not_older(session: Session, access: RecordAccess, newest: Version) -> None:
    """Check that `newest`, verified, is not older than what this client saw before. Raises `RollbackError`."""
    if find_older(session, access, [newest]):
        raise RollbackError(_OLDER)


def list_versions(session: Session, access: RecordAccess, document: DocumentId) -> Listing:
    """Every version of `document`, oldest first. Raises a `TransportError` or a `DataError`."""
    view = load_versions(session, access, document)
    authors = Authors(session, access)
    authors.learn_grants(view.deposit_grants)
    documents, problems = open_entries(session, access, authors, view.versions)
    documents.sort(key=lambda opened: opened.version.number)
    if not view.versions or any(version.id != document for version in documents):
        raise VerificationError("the vault shows no version, or one of another document: nothing was used")
    is_whole = access.grant is None or not access.grant.body.documents
    if is_whole and documents and documents[0].version.number != 1:
        raise VerificationError("the first versions of this document are missing: nothing was used")
    for before, after in itertools.pairwise(documents):
        if (
            after.version.number != before.version.number + 1
            or after.version.manifest.body.previous != before.version.manifest.hash
            or after.version.filings != before.version.filings
        ):
            raise VerificationError("the versions of this document do not form a chain: nothing was used")
    if is_whole and not problems:
        check_not_older(session, access, documents[-1].version)
    return Listing(tuple(documents), tuple(problems), ())


def list_all_versions(session: Session, access: RecordAccess) -> Listing:
    """Every version of every document that `access` covers, and what did not verify or is gone meanwhile.

    One document whose versions do not verify keeps none of the others back. Raises what `list_documents` raises.
    """
    listing = list_documents(session, access)
    problems = list(listing.problems)
    versions: list[Document] = []
    for document in listing.documents:
        try:
            found = list_versions(session, access, document.id)
        except (DataError, RefusedError) as error:
            problems.append(Problem(str(document.id), str(error)))
            continue
        versions += found.documents
        problems += found.problems
    return Listing(tuple(versions), tuple(problems), listing.tombstones)


def list_own_deposits(session: Session, access: RecordAccess) -> list[Signed[Manifest]]:
    """The manifests that this person deposited under the grant of `access`, whatever became of them."""
    manifests: list[Signed[Manifest]] = []
    after: str | None = None
    while True:
        query = grant_query(access) | {"after": after}
        page = session.vault.get(f"/v1/records/{access.record}/deposits", OwnDepositsPage, query=query)
        for text in page.manifests:
            try:
                manifest = Signed.parse(text, Manifest)
            except ProtocolError as error:
                raise VerificationError("the vault shows a deposit that is none") from error
            if manifest.body.author != session.identity or manifest.body.record != access.record:
                raise VerificationError("the vault shows a deposit of somebody else as yours")
            manifests.append(manifest)
        if page.next is None:
            return manifests
        after = page.next


def open_entries(
    session: Session, access: RecordAccess, authors: Authors, entries: Sequence[VersionEntry]
) -> tuple[list[Document], list[Problem]]:
    """The documents of `entries`: verified, released in one batch, opened. Raises a `TransportError`."""
    problems: list[Problem] = []
    versions: list[Version] = []
    for entry in entries:
        try:
            versions.append(verify_entry(access, authors, entry))
        except DataError as error:
            problems.append(Problem(str(entry.metadata_capsule.document), str(error)))
    items = [metadata_item(version) for version in versions]
    try:
        inner_locks = release(session, access, ReleaseKind.LIST, items)
    except RefusedError:
        inner_locks = [None] * len(items)
    documents: list[Document] = []
    for version, inner in zip(versions, inner_locks, strict=True):
        try:
            _, metadata = open_listed(access, version, inner)
            documents.append(Document(version, metadata))
        except DataError as error:
            problems.append(Problem(str(version.document), str(error)))
    return documents, problems


def open_listed(access: RecordAccess, version: Version, inner: bytes | None) -> tuple[MetadataKey, Metadata]:
    """The metadata of `version`, opened with its released inner lock, and its key. Raises a `DataError`."""
    if inner is None:
        raise VerificationError("the key service does not release this document's title to you")
    wrap = verify_capsule(access, version, version.metadata_capsule, KeyRole.METADATA)
    key = MetadataKey(open_inner(inner, wrap, private_key=recipient_key(access, wrap)))
    text = open_metadata(
        version.metadata,
        digest=version.metadata_digest,
        metadata_key=key,
        context=version.identity.metadata_context(),
    )
    return key, parse_committed(text, version.manifest.body)


def metadata_item(version: Version) -> ReleaseItem:
    """What to ask the key service for, to open the metadata of `version`."""
    body = version.manifest.body
    return ReleaseItem(suite=body.suite, author=body.author, capsule=version.metadata_capsule)


def _pages(session: Session, access: RecordAccess) -> Iterator[DocumentsPage]:
    after: str | None = None
    while True:
        query = grant_query(access) | {"after": after, "limit": str(MAX_PAGE)}
        page = session.vault.get(f"/v1/records/{access.record}/documents", DocumentsPage, query=query)
        yield page
        if page.next is None:
            return
        if page.next == after:
            raise VerificationError("the vault shows the same page of documents again and again")
        after = page.next


def load_versions(session: Session, access: RecordAccess, document: DocumentId) -> VersionsView:
    """All pages of the versions of `document`, in one, as the vault has them. Raises a `TransportError`."""
    versions: list[VersionEntry] = []
    grants: dict[str, None] = {}
    after = 0
    while True:
        query = grant_query(access) | {"after": after, "limit": MAX_PAGE}
        page = session.vault.get(f"/v1/records/{access.record}/documents/{document}", VersionsView, query=query)
        versions += page.versions
        grants |= dict.fromkeys(page.deposit_grants)
        if page.next is None:
            return VersionsView.model_construct(versions=tuple(versions), deposit_grants=tuple(grants), next=None)
        if page.next <= after:
            raise VerificationError("the vault shows the same page of versions again and again")
        after = page.next


def grant_query(access: RecordAccess) -> dict[str, str | int | None]:
    """How a query names the grant of `access`."""
    return {"grant": None if access.grant_hash is None else str(access.grant_hash)}


def _verify_tombstones(
    session: Session,
    access: RecordAccess,
    authors: Authors,
    texts: Sequence[str],
    authorship: Mapping[DocumentId, IdentityHash],
) -> tuple[list[Signed[Tombstone]], list[Problem]]:
    """The tombstones in `texts` that count, and what is wrong with others.

    1. It is of this record, and by the patient or the document's author: `authorship` has the authors of the documents
       that are shown, the pins those of what was shown before. Whose a document is that this client never saw, it
       cannot tell; an author's tombstone of one is passed over, for there is nothing that it could hide.
    2. A device signed it that counted then.
    """
    tombstones: list[Signed[Tombstone]] = []
    problems: list[Problem] = []
    for text in texts:
        name = "a removed document"
        try:
            # 1
            signed = Signed.parse(text, Tombstone)
            body, name = signed.body, str(signed.body.document)
            if body.record != access.record:
                raise VerificationError("a tombstone is of another record")
            if body.by != access.patient.identity:
                author = authorship.get(body.document) or session.pins.author_of(access.record, body.document)
                if author is None:
                    continue
                if body.by != author:
                    raise VerificationError("a tombstone is neither its author's nor the patient's: it removes nothing")
            # 2
            signed.verify(authors.person(body.by).device_key(body.device, at=body.issued_at))
        except ProtocolError as error:
            problems.append(Problem(name, f"a tombstone does not count ({error})"))
        except DataError as error:
            problems.append(Problem(name, str(error)))
        else:
            tombstones.append(signed)
    return tombstones, problems


def _age(document: Document) -> tuple[str, int, str]:
    body = document.version.manifest.body
    return document.metadata.care_date or "", body.created_at, str(document.id)
