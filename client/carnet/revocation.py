"""Ending a grant: at once at both servers, then for good (promises P05, P06; DESIGN section 8).

    report = revoke(session, book, grant)
    complete(session, on_step=show)

From the key service's receipt on, nothing is released under the grant. What the reader kept still fits the locks that
are there, so completing remakes them: a new record lock, new epochs of the compartments, every capsule under the new
ones, the old epochs closed, the old lock retired. A journal on disk says what is under way; any device of the patient
can do it again from the start.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.access import RecordAccess, open_access
from carnet.devices import remove_device
from carnet.documents.listing import Problem
from carnet.epochs import renew_epochs
from carnet.errors import CarnetError, DataError, RefusalError, UnfinishedError, VerificationError
from carnet.grant_book import GrantBook, load_grants, send_lacking, sign_again, statements_path
from carnet.keys import RecoverySecret
from carnet.locks import fetch_lock, make_lock, retire_older_locks
from carnet.outbox import Step as Post
from carnet.progress import OnStep, Progress, Step, ignore_progress
from carnet.readers import Readers, SkippedReader, Succeeded
from carnet.receipts import keep_receipt
from carnet.records import open_record
from carnet.relock import relock
from carnet.session import Session
from carnet.slots import Slot
from carnet.standing import SkippedCapsule
from carnet.transport import ServerClient, ServerName
from carnet_protocol.api import RecordUpdate
from carnet_protocol.ids import CompartmentId, DocumentId, StatementHash
from carnet_protocol.limits import MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.statements import Closing, Grant, Permission, Receipt, Revocation, Role, Signed
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

    What cannot be delivered is kept and sent with the next command.
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
    path = statements_path(grant.body.record)
    lacking = {session.vault.name: book.lacking_at_vault, session.keyservice.name: book.lacking_at_keyservice}
    entries: dict[ServerName, str] = {}
    for name, texts in lacking.items():
        before = (grant.text,) if grant.text in texts else ()
        update = RecordUpdate(statements=(*before, revocation.text), sealed_keys=(), capsules=())
        entries[name] = session.outbox.keep([Post(name, path, update)])

    def tell(server: ServerClient) -> Signed[Receipt]:
        receipt = session.outbox.deliver(entries[server.name])[-1][-1]
        keep_receipt(session.state, receipt)
        return receipt

    outcomes = session.try_both(tell)
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

    A practitioner's own keys are renewed alone: the registrar attests the new ones next, then `handover.reseal_own`.
    Returns what completing did (None for a practitioner), and the ways to unlock that fell away. Cut after the removal
    went out, `complete` goes on. Raises what `devices.remove_device` and `complete` raise.
    """
    is_patient = session.keyring.body.role is Role.PATIENT
    if is_patient:
        # Noted first, so that a cut is mended; what a thief broke must not keep the removal from going out.
        with contextlib.suppress(DataError, RefusalError):
            begin_renewal(session, open_record(session, ()).compartments)
    dropped = remove_device(session, device, recovery_secret, since=since)
    if is_patient:
        # And again: until the servers had the removal, the device may have made epochs of its own, also at one server
        # alone: what the vault lacks it is shown now.
        begin_renewal(session, open_record(session, ()).compartments)
    return complete(session, on_step=on_step) if is_patient else None, dropped


def complete(
    session: Session, *, on_step: OnStep = ignore_progress, reencrypt: Reencrypt | None = None
) -> CompletionReport:
    """Do what `begin_renewal` noted; cut anywhere, run it again.

    1. Each server has every revocation.
    2. There is a newer record lock, known to the vault.
    3. There is a newer epoch of each compartment, sealed to the readers that remain; also of each whose newest epoch is
       of a device that was shut out since.
    4. Every capsule is remade under the newest epoch and lock.
    5. Documents are encrypted anew, if `reencrypt` is given.
    6. Older epochs are closed at the vault, then at the key service; those that a capsule names which opens for nobody
       stay, for the vault closes none that one names.
    7. The older locks are retired.

    What opens for nobody holds up nothing: neither the revoked reader nor anybody else has any use of it.

    Raises `UnfinishedError`, a `DataError` or a `TransportError`.
    """
    journal = _load_journal(session)
    if journal is None:
        raise UnfinishedError("there is nothing to complete: revoke a grant first, see `carnet grants`")
    access = open_record(session, ())
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
