"""Ending a grant: at once at both servers, then for good (promises P05, P06; DESIGN section 8).

    report = revoke(session, book, grant)
    complete(session, on_step=show)

From the key service's receipt on, nothing is released under the grant. What the reader kept still fits the locks that
are there, so completing remakes them: a new record lock, new epochs of the compartments, every capsule under the new
ones, the old epochs closed, the old lock retired. A journal on disk says what is under way; any device of the patient
can do it again from the start.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.access import RecordAccess, open_access
from carnet.devices import check_keys_are_own, shut_out
from carnet.documents.listing import Problem, list_documents
from carnet.epochs import renew_epochs
from carnet.errors import CarnetError, RollbackError, UnfinishedError, VerificationError
from carnet.grant_book import GrantBook, load_grants, send_lacking, sign_again, statements_path
from carnet.identity import renew_account_key
from carnet.keys import RecoverySecret
from carnet.locks import fetch_lock, make_lock, retire_older_locks
from carnet.outbox import Step as Post
from carnet.progress import OnStep, Progress, Step, ignore_progress
from carnet.readers import Readers, SkippedReader, Succeeded
from carnet.records import open_record
from carnet.relock import RelockReport, relock
from carnet.restrictions import tell_each
from carnet.session import Session
from carnet.short_ids import shorten
from carnet.slots import Slot
from carnet.standing import SkippedCapsule
from carnet_protocol.api import RecordUpdate
from carnet_protocol.ids import CompartmentId, DocumentId, StatementHash
from carnet_protocol.limits import MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.statements import Closing, Grant, Permission, Receipt, Revocation, Role, Signed
from carnet_protocol.tuples import KeyRole
from carnet_protocol.wire import WireModel

_JOURNAL: Final = "journal-renewal"
Reencrypt = Callable[[Session, RecordAccess, OnStep], Sequence[Problem] | None]
"""Encrypts documents of the record anew, under its newest locks, and returns what could not be; may be run again.

See `carnet.documents.reencryption`.
"""


@dataclass(frozen=True, slots=True)
class RevocationReport:
    """What became of a revocation at each server: its receipt, or the error; what failed is sent again later."""

    revocation: Signed[Revocation]
    vault: Signed[Receipt] | CarnetError
    keyservice: Signed[Receipt] | CarnetError

    @property
    def is_everywhere(self) -> bool:
        """Whether both servers took it."""
        return isinstance(self.vault, Signed) and isinstance(self.keyservice, Signed)


def revoke(session: Session, book: GrantBook, grant: Signed[Grant]) -> RevocationReport:
    """End `grant` at once. Both servers are told at the same time, and each alone stops at its own receipt.

    `book` may be that of one server, see `carnet.restrictions`. The grant goes before its revocation, for a server
    may lack it. What cannot be delivered is kept and sent with the next command.
    """
    known = book.revocation_of(grant.hash)
    revocation = (
        sign_again(session, known)
        if known is not None
        else session.sign(
            Revocation(
                record=grant.body.record,
                grant_id=grant.body.id,
                grant=grant.hash,
                device=session.device,
                issued_at=session.clock(),
            )
        )
    )
    update = RecordUpdate(statements=(grant.text, revocation.text), sealed_keys=(), capsules=())
    outcomes = tell_each(session, statements_path(grant.body.record), update)
    return RevocationReport(revocation, outcomes.vault, outcomes.keyservice)


class _Journal(WireModel):
    """`compartments` maps those to be renewed to the epoch that is to be left behind; `lock` likewise."""

    format: Literal["carnet.renewal.v1"]
    compartments: dict[str, Annotated[int, Field(ge=1)]]
    lock: int


@dataclass(frozen=True, slots=True)
class CompletionReport:
    """What completing did. It is complete, whatever is named here.

    `skipped` are capsules that open for nobody, so that no lock could be remade around what is in them: whoever made
    them made them so, or they were damaged. The epochs that they name stay, for a later completion to close once the
    patient has removed the documents. `not_reencrypted` are documents that were to be encrypted anew and do not open.
    `succeeded` are grants whose grantee handed over: the new keys went to the successor, which the patient may end.
    """

    remade: int
    closed: int
    readers_left_out: tuple[SkippedReader, ...]
    skipped: tuple[SkippedCapsule, ...]
    not_reencrypted: tuple[Problem, ...] = ()
    succeeded: tuple[Succeeded, ...] = ()

    @property
    def unreadable(self) -> tuple[DocumentId, ...]:
        """The documents of `skipped`, each once: to be removed, see `carnet.documents.removal.find_newest`."""
        return tuple(sorted({entry.capsule.document for entry in self.skipped}))


def begin_renewal(session: Session, compartments: Collection[CompartmentId]) -> None:
    """Note that the epochs of `compartments`, and the record lock, are to be left behind. `complete` does it.

    Joins what is under way already. Raises a `DataError` or a `TransportError`.
    """
    access = open_record(session, ())
    lock = fetch_lock(session, session.record)
    known = _load_journal(session)
    targets = {} if known is None else dict(known.compartments)
    for name in compartments:
        targets[str(name)] = access.compartment(name).newest.body.epoch
    journal = _Journal(format="carnet.renewal.v1", compartments=targets, lock=lock.body.version)
    session.state.store(_JOURNAL, journal.model_dump(mode="json"))


def is_under_way(session: Session) -> bool:
    """Whether a renewal was begun on this device and not finished."""
    return _load_journal(session) is not None


def complete_revocation(
    session: Session,
    grant: Signed[Grant],
    *,
    on_step: OnStep = ignore_progress,
    reencrypt: Reencrypt | None = None,
) -> CompletionReport:
    """Complete the revocation of `grant`: what its reader kept opens nothing that was not released to them.

    Raises what `complete` raises.
    """
    readable = grant.body.compartments if grant.body.permission is Permission.READ else ()
    begin_renewal(session, readable)
    return complete(session, on_step=on_step, reencrypt=reencrypt)


def remove_lost_device(
    session: Session,
    device: StatementHash,
    recovery_secret: RecoverySecret,
    *,
    since: int,
    on_step: OnStep = ignore_progress,
) -> tuple[CompletionReport | None, tuple[Slot, ...]]:
    """Shut `device` out with all that it did since `since`, and renew every key that it may have held.

    Returns what `renew_own_keys` returns; cut anywhere, run it again. Raises what `devices.shut_out` and
    `renew_own_keys` raise, or the error of a server that could not be told of the removal: the other one knows it then.
    """
    report = shut_out(session, device, recovery_secret, since=since)
    for outcome in (report.keyservice, report.vault):
        if isinstance(outcome, CarnetError):
            raise outcome
    return renew_own_keys(session, recovery_secret, on_step=on_step)


def renew_own_keys(
    session: Session, recovery_secret: RecoverySecret, *, on_step: OnStep = ignore_progress
) -> tuple[CompletionReport | None, tuple[Slot, ...]]:
    """Renew every key that a device which was shut out may have held: the account key, then those of the record.

    A practitioner's own keys are renewed alone: the registrar attests the new ones next, then `handover.reseal_own`.
    Returns what completing did (None for a practitioner), and the ways to unlock that fell away. Cut after the account
    key was renewed, `complete` goes on. Raises what `identity.renew_account_key` and `complete` raise.
    """
    is_patient = session.keyring.body.role is Role.PATIENT
    if is_patient:
        # Noted first, so that a cut is mended. Until the servers had the removal, the device may have made epochs of
        # its own, also at one server alone: what the vault lacks it is shown now.
        begin_renewal(session, open_record(session, ()).compartments)
    dropped = renew_account_key(session, recovery_secret)
    return complete(session, on_step=on_step) if is_patient else None, dropped


def complete(
    session: Session, *, on_step: OnStep = ignore_progress, reencrypt: Reencrypt | None = None
) -> CompletionReport:
    """Do what `begin_renewal` noted; cut anywhere, run it again.

    1. Each server has every revocation.
    2. There is a newer record lock, known to the vault.
    3. There is a newer epoch of each compartment, sealed to the readers that remain; also of each whose newest epoch is
       of a device that was shut out since.
    4. Every capsule is remade under the newest epoch and lock; those of every document that this client saw before are
       among them.
    5. Documents are encrypted anew, if `reencrypt` is given.
    6. Older epochs are closed at the vault, then at the key service; those that a capsule names which opens for nobody
       stay, for the vault closes none that one names.
    7. The older locks are retired.

    What opens for nobody holds up nothing: neither the revoked reader nor anybody else has any use of it.

    Raises `UnfinishedError`, a `DataError` or a `TransportError`; `RollbackError` where the vault leaves out what it
    showed before: nothing is closed or retired then.
    """
    journal = _load_journal(session)
    if journal is None:
        raise UnfinishedError("there is nothing to complete: revoke a grant first, see `carnet grants`")
    access = open_record(session, ())
    check_keys_are_own(access.patient)
    book = load_grants(session, access)
    # 1
    send_lacking(session, session.record, book)
    # 2
    on_step(Progress(Step.NEW_LOCK, 0, 1))
    lock = make_lock(session, session.record, after=journal.lock)
    on_step(Progress(Step.NEW_LOCK, 1, 1))
    # 3
    due = [
        name
        for name, compartment in access.compartments.items()
        if compartment.newest.body.epoch <= journal.compartments.get(str(name), 0) or not compartment.is_trusted
    ]
    readers = Readers(session)
    if due:
        on_step(Progress(Step.NEW_KEYS, 0, len(due)))
        renew_epochs(session, access, book, due, readers)
        on_step(Progress(Step.NEW_KEYS, len(due), len(due)))
        access = open_access(session, session.record)
    # 4
    access = replace(access, lock=lock)
    report = relock(session, access, book, readers, on_step=on_step)
    _check_whole(session, access, report)
    # 5
    problems = None if reencrypt is None else reencrypt(session, access, on_step)
    # 6
    closed = _close_epochs(session, access, keep=report.epochs_in_use, on_step=on_step)
    # 7
    on_step(Progress(Step.RETIRE, 0, 1))
    retire_older_locks(session, lock)
    on_step(Progress(Step.RETIRE, 1, 1))
    session.state.remove(_JOURNAL)
    return CompletionReport(
        remade=report.remade,
        closed=closed,
        readers_left_out=readers.skipped,
        skipped=tuple(report.skipped),
        not_reencrypted=tuple(problems or ()),
        succeeded=readers.succeeded,
    )


def _check_whole(session: Session, access: RecordAccess, report: RelockReport) -> None:
    """Check that the vault showed every key of every document that this client saw and nobody removed since.

    What is left out stays under the old locks, and once those are gone nothing opens it again.
    """
    if _find_left_out(session, access, report):
        list_documents(session, access)  # which learns what was removed meanwhile
    left_out = _find_left_out(session, access, report)
    if left_out:
        raise RollbackError(
            f"the vault left out keys of {len(left_out)} documents that this client saw before "
            f"({shorten(left_out[0])}): no old key was retired; run `carnet revoke --complete` again, then ask its "
            "operator"
        )


def _find_left_out(session: Session, access: RecordAccess, report: RelockReport) -> list[DocumentId]:
    return [
        document
        for document, newest in session.pins.kept_documents(access.record).items()
        if any((document, version, role) not in report.seen for version in range(1, newest + 1) for role in KeyRole)
    ]


def _close_epochs(session: Session, access: RecordAccess, *, keep: Collection[StatementHash], on_step: OnStep) -> int:
    """Close every superseded epoch but those in `keep`, at the vault first, which knows what still needs them."""
    closings = [
        session.sign(
            Closing(
                record=access.record,
                compartment=compartment.id,
                epoch=epoch.body.epoch,
                compartment_statement=epoch.hash,
                device=session.device,
                issued_at=session.clock(),
            )
        )
        for compartment in access.compartments.values()
        for epoch in compartment.open_epochs
        if epoch is not compartment.newest and epoch.hash not in keep
    ]
    if not closings:
        return 0
    on_step(Progress(Step.CLOSE, 0, len(closings)))
    path = statements_path(access.record)
    for start in range(0, len(closings), MAX_STATEMENTS_PER_REQUEST):
        batch = closings[start : start + MAX_STATEMENTS_PER_REQUEST]
        update = RecordUpdate(statements=tuple(closing.text for closing in batch), sealed_keys=(), capsules=())
        session.outbox.send([Post(session.vault.name, path, update), Post(session.keyservice.name, path, update)])
        on_step(Progress(Step.CLOSE, start + len(batch), len(closings)))
    return len(closings)


def _load_journal(session: Session) -> _Journal | None:
    value = session.state.load(_JOURNAL)
    try:
        return None if value is None else _Journal.model_validate(value)
    except ValidationError as error:
        raise VerificationError("work under way was begun by a newer Carnet: update Carnet") from error
