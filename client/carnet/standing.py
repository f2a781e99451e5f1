"""Capsules as they stand at the vault, and the patient's own keys out of them (spec `keys.md`, "The two locks").

Whoever deposits makes capsules that nobody can look into before: one may open for nobody. It is then nobody's document,
and no reason to leave undone what is done for all the others; so such a capsule is named, and left as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from carnet.access import RecordAccess, release
from carnet.capsules import open_inner
from carnet.content import ContentKey, MetadataKey
from carnet.errors import DataError, RefusedError, VerificationError
from carnet.session import Session
from carnet_protocol.api import Capsule, CapsulesPage, ReleaseItem, ReleaseKind
from carnet_protocol.api.capsules import CapsuleEntry
from carnet_protocol.ids import DocumentId, RecordId
from carnet_protocol.limits import MAX_PAGE
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole

VersionKey = ContentKey | MetadataKey
KeyPlace = tuple[int, KeyRole]
"""Which key of a document: the version's number, and its role."""


@dataclass(frozen=True, slots=True)
class SkippedCapsule:
    """A capsule that was left as it is, and why."""

    capsule: Capsule
    reason: str


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of a version, out of the patient's own capsule, with what it is bound to."""

    identity: IdentityTuple
    role: KeyRole
    key: VersionKey


def load_capsules(
    session: Session, record: RecordId, *, document: DocumentId | None = None
) -> Iterator[Sequence[CapsuleEntry]]:
    """Every capsule of the patient's record, or of one `document`, page by page. Raises a `TransportError`."""
    after: str | None = None
    path = f"/v1/records/{record}/capsules"
    name = None if document is None else str(document)
    while True:
        query: dict[str, str | int | None] = {"document": name, "after": after, "limit": MAX_PAGE}
        page = session.vault.get(path, CapsulesPage, query=query)
        if document is not None and any(entry.capsule.document != document for entry in page.capsules):
            raise VerificationError("the vault shows capsules of another document than asked for: ask its operator")
        yield page.capsules
        if page.next is None:
            return
        if page.next == after:
            raise VerificationError("the vault shows the same page of capsules again and again: ask its operator")
        after = page.next


def identity_of(entry: CapsuleEntry, record: RecordId) -> IdentityTuple:
    """The identity tuple of the version that `entry` is of, as the vault says; only the right one opens it."""
    return IdentityTuple(entry.suite, record, entry.capsule.document, entry.capsule.version, entry.author)


def open_own_keys(
    session: Session, access: RecordAccess, document: DocumentId
) -> tuple[dict[KeyPlace, OwnKey], dict[KeyPlace, str]]:
    """The keys of every version of the patient's `document` that open, and why the others do not.

    Raises a `TransportError`, or a `DataError` for an answer that is none.
    """
    pages = load_capsules(session, access.record, document=document)
    entries = [entry for page in pages for entry in page if entry.capsule.personal is None]
    items = [ReleaseItem(suite=entry.suite, author=entry.author, capsule=entry.capsule) for entry in entries]
    try:
        inner_locks = release(session, access, ReleaseKind.OPEN, items)
    except RefusedError:
        inner_locks = [None] * len(items)
    keys: dict[KeyPlace, OwnKey] = {}
    reasons: dict[KeyPlace, str] = {}
    for entry, inner in zip(entries, inner_locks, strict=True):
        place = (entry.capsule.version, entry.capsule.role)
        try:
            keys[place] = _open(access, entry, inner)
        except DataError as error:
            reasons[place] = str(error)
    return keys, reasons


def _open(access: RecordAccess, entry: CapsuleEntry, inner: bytes | None) -> OwnKey:
    identity = identity_of(entry, access.record)
    wrap = entry.capsule.wrap_tuple(identity)
    access.require_suites(wrap.inner_suite, wrap.outer_suite)
    if inner is None or not isinstance(wrap.recipient, CompartmentLock):
        raise VerificationError("the key service does not release it")
    compartment = access.compartment(wrap.recipient.compartment)
    opened = open_inner(inner, wrap, private_key=compartment.key(wrap.recipient.compartment_statement))
    key = ContentKey(opened) if wrap.role is KeyRole.CONTENT else MetadataKey(opened)
    return OwnKey(identity, wrap.role, key)
