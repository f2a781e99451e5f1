"""Relocking: remaking the locks around every key of a record, without touching a document (spec `keys.md`).

A capsule under an epoch that is not the newest gets both locks anew; one that is only under an older record lock gets
the outer lock anew. Nothing is written over unseen: each swap names the capsule that it replaces, and the vault takes
it only while that one is still there. What cannot be remade, for it opens for nobody, is named and blocks nothing:
otherwise whoever may deposit could keep a revocation from ever being completed.
"""

from collections.abc import Sequence
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


@dataclass(slots=True)
class RelockReport:
    """How many capsules were remade in all, and which of the last pass could not be: those open for nobody.

    `seen` are the keys whose own capsules, not those of single documents' readers, the vault showed in the last pass.
    """

    remade: int = 0
    skipped: list[SkippedCapsule] = field(default_factory=list)
    seen: set[tuple[DocumentId, int, KeyRole]] = field(default_factory=set)

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
class _Job:
    """What one relock works with."""

    session: Session
    access: RecordAccess
    lock: Signed[Lock]
    readers: Readers
    report: RelockReport


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
    for page in load_capsules(job.session, job.access.record):
        tasks: list[_Task] = []
        for entry in page:
            if entry.capsule.personal is None:
                job.report.seen.add((entry.capsule.document, entry.capsule.version, entry.capsule.role))
                tasks += _plan(job, entry)
            elif entry.capsule.lock_statement != job.lock.hash:
                personal.setdefault(entry.capsule.personal.grant, []).append(entry.capsule)
        if tasks:
            is_settled &= _remake(job, tasks)
            on_step(Progress(Step.RELOCK, job.report.remade, None))
    for grant in book.grants:
        if grant.hash in personal and not book.is_over(grant, now=job.session.clock()):
            is_settled &= _remake_personal(job, grant, personal[grant.hash])
    return is_settled


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


def _remake(job: _Job, tasks: Sequence[_Task]) -> bool:
    """Remake what can be. Returns whether another look cannot help."""
    items = [
        ReleaseItem(suite=task.entry.suite, author=task.entry.author, capsule=task.entry.capsule) for task in tasks
    ]
    try:
        inner_locks = release(job.session, job.access, ReleaseKind.OPEN, items)
    except RefusedError:
        inner_locks = [None] * len(tasks)
    swaps: list[CapsuleSwap] = []
    for task, inner in zip(tasks, inner_locks, strict=True):
        if inner is None:
            job.report.skipped.append(SkippedCapsule(task.entry.capsule, "the key service does not release it"))
            continue
        try:
            swaps.append(_reseal(job, task, inner))
        except DataError as error:
            job.report.skipped.append(SkippedCapsule(task.entry.capsule, str(error)))
    return _swap(job, swaps)


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
    return False


def _reseal(job: _Job, task: _Task, inner: bytes) -> CapsuleSwap:
    """The swap for one capsule. Raises a `DataError` for one that does not open."""
    if task.then.recipient != task.now.recipient and isinstance(task.now.recipient, CompartmentLock):
        compartment = job.access.compartment(task.now.recipient.compartment)
        content_key = open_inner(inner, task.now, private_key=compartment.key(task.now.recipient.compartment_statement))
        inner = seal_inner(content_key, task.then, recipient_public_key=compartment.newest.body.compartment_key)
    capsule = make_capsule(seal_outer(inner, task.then, lock=job.lock), task.then)
    return CapsuleSwap(capsule=capsule, replaces=Sha256Digest.of(task.entry.capsule.sealed))
