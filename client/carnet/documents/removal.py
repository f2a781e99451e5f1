"""Removing a document: an author retracts what was misfiled, the patient anything (spec `document.md`).

A document need not open to be removed: `find_newest` gets what a tombstone names by the document's id alone.
"""

from carnet.access import RecordAccess
from carnet.documents.listing import load_versions
from carnet.documents.versions import Version
from carnet.errors import UsageError, VerificationError
from carnet.outbox import Step
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.api import RecordUpdate
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import DocumentId, RecordId
from carnet_protocol.statements import Manifest, Signed, Tombstone, TombstoneReason


def find_newest(session: Session, access: RecordAccess, document: DocumentId) -> Signed[Manifest]:
    """The newest manifest of `document`, for `remove_document`; of one that does not verify or open, too.

    Neither its author's right nor its signature is looked at: what it names only goes. Raises `VerificationError` for
    an answer about something else, or a `TransportError`.
    """
    view = load_versions(session, access, document)
    try:
        manifests = [Signed.parse(entry.manifest, Manifest) for entry in view.versions]
    except ProtocolError as error:
        raise VerificationError("the vault shows a manifest that is none: ask its operator") from error
    if any((signed.body.record, signed.body.document) != (access.record, document) for signed in manifests):
        raise VerificationError("the vault shows another document in the place of this one: ask its operator")
    if not manifests:
        raise VerificationError("the vault shows no version of this document: ask its operator")
    return max(manifests, key=lambda signed: signed.body.version)


def remove_document(
    session: Session, newest: Version | Signed[Manifest], *, reason: TombstoneReason
) -> Signed[Tombstone]:
    """Remove the document whose newest version is `newest`, with all its versions, at both servers.

    The key service first: from then on nothing of it is released. Raises `UsageError` for somebody else's document in
    somebody else's record, or a `TransportError`.
    """
    manifest = newest.manifest if isinstance(newest, Version) else newest
    record: RecordId = manifest.body.record
    if session.identity not in {manifest.body.author, record.patient()}:
        raise UsageError("a document is removed by its author or by the patient: ask one of them")
    tombstone = session.sign(
        Tombstone(
            record=record,
            document=manifest.body.document,
            manifest=manifest.hash,
            by=session.identity,
            device=session.device,
            reason=reason,
            issued_at=session.clock(),
        )
    )
    update = RecordUpdate(statements=(tombstone.text,), sealed_keys=(), capsules=())
    path = f"/v1/records/{record}/statements"
    session.outbox.send([Step(ServerName.KEYSERVICE, path, update), Step(ServerName.VAULT, path, update)])
    return tombstone
