"""Relocking: remaking the locks around every key of a record, without touching a document (spec `keys.md`).

A capsule under an epoch that is not the newest gets both locks anew; one that is only under an older record lock gets
the outer lock anew. Nothing is written over unseen: each swap names the capsule that it replaces, and the vault takes
it only while that one is still there. What cannot be remade, for it opens for nobody, is named and blocks nothing:
otherwise whoever may deposit could keep a revocation from ever being completed.

While capsules of one page are remade, those of the next are on their way and those of the one before are being taken.
Before anything of old is let go, every capsule was read back: it is byte by byte what was made here, or it opens.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from carnet.access import RecordAccess, release
from carnet.capsules import make_capsule, open_inner, seal_inner, seal_outer
from carnet.errors import ConflictError, DataError, RefusedError, UnfinishedError, VerificationError
from carnet.grant_book import GrantBook, statements_path
from carnet.personal_capsules import renew_personal_capsules
from carnet.progress import OnStep, Progress, Step
from carnet.readers import Readers
from carnet.session import Session
from carnet.standing import SkippedCapsule, identity_of, load_capsules
from carnet_protocol.api import Accepted, Capsule, CapsuleSwap, RecordUpdate, ReleaseItem, ReleaseKind
from carnet_protocol.api.capsules import CapsuleEntry
from carnet_protocol.ids import DocumentId, Sha256Digest, StatementHash
from carnet_protocol.statements import Grant, Lock, Signed
from carnet_protocol.tuples import CompartmentLock, KeyRole, WrapTuple

_MAX_PASSES = 8
"""Deposits meanwhile bring capsules under the locks of before; each pass takes in what came during the last."""
_SWAPS_AT_ONCE = 500
_NOT_RELEASED = "the key service does not release it"


Place = tuple[DocumentId, int, KeyRole]
"""Where a capsule stands that is not a single document's reader's."""


@dataclass(slots=True)
class RelockReport:
    """How many capsules were remade in all, and which of the last pass could not be: those open for nobody.

    `seen` are the keys whose own capsules, not those of single documents' readers, the vault showed in the last pass.
    """

    remade: int = 0
    skipped: list[SkippedCapsule] = field(default_factory=list)
    seen: set[Place] = field(default_factory=set)

    @property
    def epochs_in_use(self) -> frozenset[StatementHash]:
        """Epochs that a capsule still needs, because it could not be remade."""
        recipients = [entry.capsule.compartment for entry in self.skipped]
        return frozenset(recipient.compartment_statement for recipient in recipients if recipient is not None)


@dataclass(frozen=True, slots=True)
class _Task:
    """A capsule to remake: what it is bound to now, and what it will be bound to."""

    entry: CapsuleEntry
    now: WrapTuple
    then: WrapTuple


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of capsules, what is to be done about them, and what is in their outer locks, None where refused."""

    entries: Sequence[CapsuleEntry]
    tasks: Sequence[_Task]
    inner_locks: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What one relock works with; `made` are the capsules that the vault took from it."""

    session: Session
    access: RecordAccess
    lock: Signed[Lock]
    readers: Readers
    report: RelockReport
    made: dict[Place, Sha256Digest] = field(default_factory=dict)


def relock(
    session: Session, access: RecordAccess, book: GrantBook, readers: Readers, *, on_step: OnStep
) -> RelockReport:
    """Remake every capsule of the record that is not under the newest epoch of its compartment and the newest lock.

    Passes over all capsules until one finds nothing to do, and the same ones twice that cannot be remade: one that only
    another device had remade meanwhile is gone by then. `access` is fresh and the patient's; the vault knows its lock.
    Raises `StaleError` if epochs or locks moved on meanwhile, `UnfinishedError` if documents keep coming in under
    the old ones, a `DataError` or another `TransportError`; run again, it goes on.
    """
    if access.lock is None:
        raise AssertionError("internal: relocking without a lock")
    job = _Job(session, access, access.lock, readers, RelockReport())
    left: frozenset[Sha256Digest] = frozenset()
    for _ in range(_MAX_PASSES):
        job.report.skipped, job.report.seen = [], set()
        is_settled = _pass_over(job, book, on_step)
        left, before = frozenset(Sha256Digest.of(entry.capsule.sealed) for entry in job.report.skipped), left
        if is_settled and left == before:
            return job.report
    raise UnfinishedError("documents keep coming in under old keys: run the same command again in a while")


def _pass_over(job: _Job, book: GrantBook, on_step: OnStep) -> bool:
    """Look at every capsule once. Returns whether another look cannot help."""
    is_settled = True
    personal: dict[StatementHash, list[Capsule]] = {}
    unproven: list[CapsuleEntry] = []
    pages = load_capsules(job.session, job.access.record)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="carnet-relock") as others:
        swapping: Future[bool] | None = None
        coming = others.submit(_prepare, job, pages)
        while (page := coming.result()) is not None:
            coming = others.submit(_prepare, job, pages)
            unproven += _note(job, page, personal)
            swaps = _remake(job, page)
            if swapping is not None:
                is_settled &= swapping.result()
            swapping = others.submit(_swap, job, swaps)
            if swaps:
                on_step(Progress(Step.RELOCK, job.report.remade, None))
        if swapping is not None:
            is_settled &= swapping.result()
    on_step(Progress(Step.RELOCK, job.report.remade, None))
    for grant in book.grants:
        if grant.hash in personal and not book.is_over(grant, now=job.session.clock()):
            is_settled &= _remake_personal(job, grant, personal[grant.hash])
    if is_settled:
        _prove(job, unproven)
    return is_settled


def _prepare(job: _Job, pages: Iterator[Sequence[CapsuleEntry]]) -> _Page | None:
    """The next page, with its outer locks taken off; None at the end. Raises a `DataError` or a `TransportError`."""
    entries = next(pages, None)
    if entries is None:
        return None
    tasks = [task for entry in entries if entry.capsule.personal is None for task in _plan(job, entry)]
    return _Page(entries, tasks, _release(job, [task.entry for task in tasks]))


def _note(job: _Job, page: _Page, personal: dict[StatementHash, list[Capsule]]) -> list[CapsuleEntry]:
    """Note what was seen, and the personal capsules to remake. Returns what is as it should be and nobody here made."""
    unproven: list[CapsuleEntry] = []
    to_remake = {_place(task.entry) for task in page.tasks}
    for entry in page.entries:
        if entry.capsule.personal is None:
            place = _place(entry)
            job.report.seen.add(place)
            if place not in to_remake and job.made.get(place) != Sha256Digest.of(entry.capsule.sealed):
                unproven.append(entry)
        elif entry.capsule.lock_statement != job.lock.hash:
            personal.setdefault(entry.capsule.personal.grant, []).append(entry.capsule)
    return unproven


def _place(entry: CapsuleEntry) -> Place:
    return entry.capsule.document, entry.capsule.version, entry.capsule.role


def _prove(job: _Job, entries: Sequence[CapsuleEntry]) -> None:
    """Open what stands under the newest locks and is not what was made here: another device's, or a cut run's.

    What does not open and nobody here made, opens for nobody: it is named. Raises `VerificationError` where the vault
    took a capsule and shows another that opens for nobody.
    """
    for entry, inner in zip(entries, _release(job, entries), strict=True):
        try:
            if inner is None:
                raise VerificationError(_NOT_RELEASED)
            _open(job, entry.capsule.wrap_tuple(identity_of(entry, job.access.record)), inner)
        except DataError as error:
            if _place(entry) in job.made:
                raise VerificationError(
                    "the vault does not give back a capsule that it was given: no old key was retired; ask its operator"
                ) from error
            job.report.skipped.append(SkippedCapsule(entry.capsule, str(error)))


def _release(job: _Job, entries: Sequence[CapsuleEntry]) -> list[bytes | None]:
    """The inner locks of `entries`, None where the key service refuses. Raises a `TransportError` or a `DataError`."""
    items = [ReleaseItem(suite=entry.suite, author=entry.author, capsule=entry.capsule) for entry in entries]
    try:
        return release(job.session, job.access, ReleaseKind.OPEN, items)
    except RefusedError:
        return [None] * len(items)


def _plan(job: _Job, entry: CapsuleEntry) -> list[_Task]:
    """What is to be done about a compartment's capsule; nothing if it is under the newest locks."""
    capsule = entry.capsule
    identity = identity_of(entry, job.access.record)
    now = capsule.wrap_tuple(identity)
    recipient, inner_suite = now.recipient, now.inner_suite
    # A compartment that nobody signed stays as it is: the key service will not release it, and it is reported.
    if isinstance(recipient, CompartmentLock) and recipient.compartment in job.access.compartments:
        compartment = job.access.compartment(recipient.compartment)
        if not compartment.is_trusted:
            raise VerificationError(
                "a part of the record was last changed by a device that was shut out: run this again"
            )
        newest = compartment.newest
        if newest.hash != recipient.compartment_statement:
            recipient, inner_suite = CompartmentLock(recipient.compartment, newest.hash), newest.body.suite
    then = WrapTuple(identity, now.role, recipient, inner_suite, job.lock.body.suite, job.lock.hash)
    return [] if then == now else [_Task(entry, now, then)]


def _remake(job: _Job, page: _Page) -> list[CapsuleSwap]:
    """The swaps for what of `page` can be remade; the rest is named."""
    swaps: list[CapsuleSwap] = []
    for task, inner in zip(page.tasks, page.inner_locks, strict=True):
        try:
            if inner is None:
                raise VerificationError(_NOT_RELEASED)
            swaps.append(_reseal(job, task, inner))
        except DataError as error:
            job.report.skipped.append(SkippedCapsule(task.entry.capsule, str(error)))
    return swaps


def _remake_personal(job: _Job, grant: Signed[Grant], standing: list[Capsule]) -> bool:
    """Remake the personal capsules of `grant` from the document's own: nobody but its grantee opens the old ones."""
    reader = job.readers.find(grant)
    if reader is None:
        return True  # `readers` says why; what is left under the old lock dies with it
    swaps, skipped = renew_personal_capsules(job.session, job.access, grant, reader.current, standing)
    job.report.skipped += skipped
    for start in range(0, len(swaps), _SWAPS_AT_ONCE):
        _swap(job, swaps[start : start + _SWAPS_AT_ONCE])
    return not swaps


def _swap(job: _Job, swaps: Sequence[CapsuleSwap]) -> bool:
    """Have the vault swap capsules. Returns whether there were none, so that another look cannot help."""
    if not swaps:
        return True
    update = RecordUpdate(statements=(), sealed_keys=(), capsules=tuple(swaps))
    try:
        job.session.vault.post(statements_path(job.access.record), update, Accepted)
    except ConflictError:  # another device remakes the same capsules, or a document moved
        return False
    job.report.remade += len(swaps)
    for capsule in (swap.capsule for swap in swaps):
        if capsule.personal is None:
            job.made[capsule.document, capsule.version, capsule.role] = Sha256Digest.of(capsule.sealed)
    return False


def _reseal(job: _Job, task: _Task, inner: bytes) -> CapsuleSwap:
    """The swap for one capsule. Raises a `DataError` for one that does not open."""
    if task.then.recipient != task.now.recipient and isinstance(task.now.recipient, CompartmentLock):
        newest = job.access.compartment(task.now.recipient.compartment).newest
        content_key = _open(job, task.now, inner)
        inner = seal_inner(content_key, task.then, recipient_public_key=newest.body.compartment_key)
    capsule = make_capsule(seal_outer(inner, task.then, lock=job.lock), task.then)
    return CapsuleSwap(capsule=capsule, replaces=Sha256Digest.of(task.entry.capsule.sealed))


def _open(job: _Job, wrap: WrapTuple, inner: bytes) -> bytes:
    """The key in `inner`, of a capsule of a compartment. Raises a `DataError`."""
    if not isinstance(wrap.recipient, CompartmentLock):
        raise AssertionError("internal: a personal capsule among others")  # noqa: TRY004  STYLE 32
    compartment = job.access.compartment(wrap.recipient.compartment)
    return open_inner(inner, wrap, private_key=compartment.key(wrap.recipient.compartment_statement))
