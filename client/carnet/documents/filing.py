"""Moving a document to another compartment: how a patient hides it, or shows it (spec `document.md`).

The key service is told first: from then on it releases the document under the new compartment alone. Then the vault
gets the same statement with the remade capsules of every version, in one transaction. Where a command was cut between
the two, and the capsules that were to follow are out of date by now, the same statement goes on with new ones: another
one would not follow from what the key service has. So it is remembered until the vault has it, too.
"""

from dataclasses import replace
from typing import Final, Literal

from pydantic import ValidationError

from carnet.access import RecordAccess, open_access, release
from carnet.capsules import open_inner, seal_capsule
from carnet.documents.listing import Document, grant_query, list_versions
from carnet.documents.versions import Version, recipient_key, verify_capsule
from carnet.errors import ConflictError, RefusalError, ServerFaultError, StaleError, UsageError, VerificationError
from carnet.locks import fresh_lock, show_lock
from carnet.outbox import Step
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.api import Accepted, Capsule, CapsuleSwap, OpenedVersion, RecordUpdate, ReleaseItem, ReleaseKind
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, Sha256Digest
from carnet_protocol.limits import STATEMENT_WINDOW_SECONDS
from carnet_protocol.statements import Filing, Signed
from carnet_protocol.tuples import CompartmentLock, KeyRole, WrapTuple
from carnet_protocol.wire import WireModel

_VERSIONS_AT_ONCE: Final = 100
_ATTEMPTS: Final = 4


class _PendingFile(WireModel):
    format: Literal["carnet.filing.v1"]
    filing: str


def move_document(
    session: Session, access: RecordAccess, document: Document, compartment: CompartmentId
) -> Signed[Filing]:
    """File every version of `document` under `compartment` instead. `access` is the patient's own.

    1. What an earlier command left between the two servers is finished first, wherever it was to go.
    2. The vault knows the lock under which the capsules will be.
    3. The key service hears of the filing, then the vault, with the capsules.
    4. Where epochs or locks moved on meanwhile, or another device filed it, all of it is read and made again.

    Running it again after a cut finishes the move. Raises `UsageError`, a `TransportError` or a `DataError`;
    `ConflictError` where another device has begun to move it and not finished.
    """
    if access.grant is not None:
        raise UsageError("only the patient moves documents")
    for _ in range(_ATTEMPTS - 1):
        try:
            return _move(session, access, document.id, compartment)
        except (StaleError, ConflictError):
            access = open_access(session, access.record)
    return _move(session, access, document.id, compartment)


def _move(session: Session, access: RecordAccess, document: DocumentId, compartment: CompartmentId) -> Signed[Filing]:
    versions = _load_versions(session, access, document)
    # 1
    pending = _find_pending(session, versions)
    if pending is not None:
        _file(session, access, versions, pending)
        if pending.body.compartment == compartment:
            return pending
        versions = _load_versions(session, access, document)
    # 2, 3
    filings = versions[-1].filings
    filing = session.sign(
        Filing(
            record=access.record,
            document=document,
            serial=len(filings) + 1,
            previous=filings[-1].hash if filings else None,
            compartment=compartment,
            device=session.device,
            issued_at=session.clock(),
        )
    )
    _file(session, access, versions, filing)
    return filing


def _file(session: Session, access: RecordAccess, versions: list[Version], filing: Signed[Filing]) -> None:
    """Steps 2 and 3 of `move_document`. `filing` is remembered until the vault has it, or nobody will take it."""
    lock = fresh_lock(session, access)
    show_lock(session, lock)
    access = replace(access, lock=lock)
    swaps = remake_capsules(session, access, versions, filing.body.compartment)
    path = f"/v1/records/{access.record}/statements"
    alone = RecordUpdate(statements=(filing.text,), sealed_keys=(), capsules=())
    name = _pending_name(filing.body.document)
    session.state.store(name, _PendingFile(format="carnet.filing.v1", filing=filing.text).model_dump(mode="json"))
    try:
        session.outbox.send(
            [
                Step(ServerName.KEYSERVICE, path, alone),
                Step(ServerName.VAULT, path, alone.model_copy(update={"capsules": swaps})),
            ]
        )
    except RefusalError:
        try:
            session.keyservice.post(path, alone, Accepted)  # what it has already, it takes again
        except (ConflictError, ServerFaultError):
            session.state.remove(name)  # it never took it: another device was first, or a clock is wrong
        raise
    session.state.remove(name)


def _find_pending(session: Session, versions: list[Version]) -> Signed[Filing] | None:
    """The filing that an earlier command could not bring to the vault, if it still can be brought there."""
    newest = versions[-1]
    name = _pending_name(newest.document)
    value = session.state.load(name)
    if value is None:
        return None
    try:
        filing = Signed.parse(_PendingFile.model_validate(value).filing, Filing)
    except (ValidationError, ProtocolError) as error:
        raise VerificationError("a move was begun by a newer Carnet: update Carnet") from error
    before = newest.filings[-1].hash if newest.filings else None
    is_next = filing.body.serial == len(newest.filings) + 1 and filing.body.previous == before
    if is_next and session.clock() < filing.body.issued_at + STATEMENT_WINDOW_SECONDS:
        return filing
    session.state.remove(name)
    return None


def _pending_name(document: DocumentId) -> str:
    return f"filing-{document.raw.hex()}"


def _load_versions(session: Session, access: RecordAccess, document: DocumentId) -> list[Version]:
    versions = [opened.version for opened in list_versions(session, access, document).documents]
    if not versions:
        raise VerificationError("the vault shows no version of this document: nothing was moved")
    return versions


def remake_capsules(
    session: Session, access: RecordAccess, versions: list[Version], compartment: CompartmentId
) -> tuple[CapsuleSwap, ...]:
    """Both capsules of each version, opened and sealed again under the newest lock and epoch of `compartment`."""
    if not access.compartment(compartment).is_trusted:
        raise VerificationError("nothing can be sealed for this part of the record now: nothing was moved")
    pairs: list[tuple[Version, Capsule, WrapTuple]] = []
    for version in versions:
        path = f"/v1/records/{access.record}/documents/{version.document}/versions/{version.number}"
        view = session.vault.get(path, OpenedVersion, query=grant_query(access))
        for capsule, role in ((view.content_capsule, KeyRole.CONTENT), (version.metadata_capsule, KeyRole.METADATA)):
            pairs.append((version, capsule, verify_capsule(access, version, capsule, role)))
    swaps: list[CapsuleSwap] = []
    for start in range(0, len(pairs), 2 * _VERSIONS_AT_ONCE):
        batch = pairs[start : start + 2 * _VERSIONS_AT_ONCE]
        items = [
            ReleaseItem(suite=version.manifest.body.suite, author=version.manifest.body.author, capsule=capsule)
            for version, capsule, _ in batch
        ]
        for (_, capsule, wrap), inner in zip(batch, release(session, access, ReleaseKind.OPEN, items), strict=True):
            swaps.append(_remake(access, capsule, wrap, inner, compartment))
    return tuple(swaps)


def _remake(
    access: RecordAccess, capsule: Capsule, wrap: WrapTuple, inner: bytes | None, compartment: CompartmentId
) -> CapsuleSwap:
    newest, lock = access.compartment(compartment).newest, access.lock
    if inner is None or lock is None:
        raise VerificationError("the key service does not release this document to you: nothing was moved")
    key = open_inner(inner, wrap, private_key=recipient_key(access, wrap))
    new_wrap = WrapTuple(
        wrap.identity,
        wrap.role,
        CompartmentLock(compartment, newest.hash),
        newest.body.suite,
        lock.body.suite,
        lock.hash,
    )
    remade = seal_capsule(key, new_wrap, recipient_public_key=newest.body.compartment_key, lock=lock)
    return CapsuleSwap(capsule=remade, replaces=Sha256Digest.of(capsule.sealed))
