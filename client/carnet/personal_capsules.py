"""Personal capsules: one document's keys for one reader, under the record lock (spec `keys.md`, "The two locks").

The patient has the outer locks of the document's own capsules taken off, opens the inner ones, and seals the same keys
to the reader. Every version that exists now is covered; one that is deposited later needs a new grant. A version that
opens for nobody is left out: there is nothing in it to share.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carnet.access import RecordAccess
from carnet.capsules import seal_capsule
from carnet.errors import VerificationError
from carnet.grant_book import GrantBook
from carnet.locks import fresh_lock, show_lock
from carnet.readers import Readers
from carnet.session import Session
from carnet.standing import KeyPlace, OwnKey, SkippedCapsule, load_capsules, open_own_keys
from carnet_protocol.api import Capsule, CapsuleSwap
from carnet_protocol.ids import DocumentId, Sha256Digest
from carnet_protocol.statements import Grant, Identity, Lock, Signed
from carnet_protocol.tuples import KeyRole, PersonalLock, WrapTuple


@dataclass(frozen=True, slots=True)
class PersonalReplacement:
    """What takes the places of a version's personal capsules: `swaps` for those who go on, `drops` for the others."""

    swaps: tuple[CapsuleSwap, ...]
    drops: tuple[Sha256Digest, ...]


def make_personal_capsules(
    session: Session, access: RecordAccess, grant: Signed[Grant], reader: Signed[Identity]
) -> tuple[CapsuleSwap, ...]:
    """Personal capsules for every version of the documents that `grant` names; none for a grant of compartments.

    The vault knows their lock then. Raises a `DataError` or a `TransportError`.
    """
    if not grant.body.documents:
        return ()
    lock = fresh_lock(session, access)
    show_lock(session, lock)
    capsules: list[Capsule] = []
    for document in grant.body.documents:
        keys, _ = open_own_keys(session, access, document)
        whole = [own for place, own in sorted(keys.items()) if _is_whole(place, keys)]
        if not whole:
            raise VerificationError("a document that is to be shared does not open for you: nothing was shared")
        capsules += [seal_personal(own, grant=grant, reader=reader, lock=lock) for own in whole]
    return tuple(CapsuleSwap(capsule=capsule, replaces=None) for capsule in capsules)


def renew_personal_capsules(
    session: Session,
    access: RecordAccess,
    grant: Signed[Grant],
    reader: Signed[Identity],
    standing: Sequence[Capsule],
) -> tuple[list[CapsuleSwap], list[SkippedCapsule]]:
    """The personal capsules of `grant` under the lock of `access`, in the place of `standing`; and what stays as it is.

    Raises a `DataError` or a `TransportError`.
    """
    lock = fresh_lock(session, access)
    swaps: list[CapsuleSwap] = []
    skipped: list[SkippedCapsule] = []
    for document in sorted({capsule.document for capsule in standing}):
        keys, reasons = open_own_keys(session, access, document)
        for old in standing:
            if old.document != document:
                continue
            own = keys.get((old.version, old.role))
            if own is None:
                reason = reasons.get((old.version, old.role), "the vault shows no capsule of your own for it")
                skipped.append(SkippedCapsule(old, reason))
            else:
                swaps.append(_replace(old, seal_personal(own, grant=grant, reader=reader, lock=lock)))
    return swaps, skipped


def replace_personal_capsules(
    session: Session,
    *,
    book: GrantBook,
    readers: Readers,
    standing: Iterable[Capsule],
    keys: Iterable[OwnKey],
    lock: Signed[Lock],
) -> PersonalReplacement:
    """What takes the places of `standing`, the personal capsules of a version, now that it has other `keys`.

    Whose grant is over, and whose keys cannot be relied on, gets none. Raises a `TransportError`.
    """
    by_role = {own.role: own for own in keys}
    grants = {grant.hash: grant for grant in book.grants if not book.is_over(grant, now=session.clock())}
    swaps: list[CapsuleSwap] = []
    drops: list[Sha256Digest] = []
    for old in standing:
        grant = None if old.personal is None else grants.get(old.personal.grant)
        reader = None if grant is None else readers.find(grant)
        if grant is None or reader is None:
            drops.append(Sha256Digest.of(old.sealed))
        else:
            new = seal_personal(by_role[old.role], grant=grant, reader=reader.current, lock=lock)
            swaps.append(_replace(old, new))
    return PersonalReplacement(tuple(swaps), tuple(drops))


def load_personal_capsules(session: Session, access: RecordAccess, document: DocumentId, version: int) -> list[Capsule]:
    """The personal capsules that stand for a version, of grants that are not over. Raises a `TransportError`."""
    return [
        entry.capsule
        for page in load_capsules(session, access.record, document=document)
        for entry in page
        if entry.capsule.personal is not None and entry.capsule.version == version
    ]


def seal_personal(own: OwnKey, *, grant: Signed[Grant], reader: Signed[Identity], lock: Signed[Lock]) -> Capsule:
    """The key in `own` for the reader of `grant`, whose newest keys `reader` gives, under `lock`."""
    recipient = PersonalLock(grant.hash, grant.body.grantee, reader.hash)
    wrap = WrapTuple(own.identity, own.role, recipient, reader.body.suite, lock.body.suite, lock.hash)
    return seal_capsule(own.key.reveal(), wrap, recipient_public_key=reader.body.account_kem_key, lock=lock)


def _replace(old: Capsule, new: Capsule) -> CapsuleSwap:
    return CapsuleSwap(capsule=new, replaces=Sha256Digest.of(old.sealed))


def _is_whole(place: KeyPlace, keys: dict[KeyPlace, OwnKey]) -> bool:
    return all((place[0], role) in keys for role in KeyRole)
