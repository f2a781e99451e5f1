"""Which outer locks come off (spec `api.md`, "Release", steps 3 to 6). Values in, verdict out.

Steps 1 and 2, principal and grant, are those of every access: `carnet_server.grants.access`. Step 7 is the opening.
"""

from carnet_keyservice.releases.queries import ItemFacts
from carnet_protocol.api import ReleaseItem, ReleaseKind
from carnet_protocol.api.capsules import CompartmentRecipient, PersonalRecipient
from carnet_protocol.ids import DocumentId
from carnet_protocol.tuples import KeyRole
from carnet_server.grants import Access


def may_release(item: ReleaseItem, kind: ReleaseKind, access: Access, facts: ItemFacts) -> bool:
    """Whether `access` lets the outer lock of `item` be taken off.

    3. The recipient is a compartment in scope, at an epoch of this record that is not closed (for the patient it may
       be, so that what a lost device closed can be rescued); or the grant itself, and the document is in its scope.
    4. The role is metadata, or the release is to open.
    5. The document is not filed elsewhere, the patient and single-document grants excepted; and neither its author nor
       the patient has removed it.
    6. The lock statement is one of this record, of a version that is not retired.
    """
    capsule = item.capsule
    # 3, and the first half of 5
    if capsule.compartment is not None:
        if not _covers_epoch(capsule.compartment, capsule.document, access, facts):
            return False
    elif capsule.personal is None or not _covers_document(capsule.personal, capsule.document, access):
        return False
    # 4
    if capsule.role is not KeyRole.METADATA and kind is not ReleaseKind.OPEN:
        return False
    # 5
    removers = (item.author, access.record.patient())
    if any((capsule.document, remover) in facts.tombstones for remover in removers):
        return False
    # 6
    return capsule.lock_statement in facts.locks


def _covers_epoch(recipient: CompartmentRecipient, document: DocumentId, access: Access, facts: ItemFacts) -> bool:
    compartment, is_open = facts.epochs.get(recipient.compartment_statement, (None, False))
    if compartment != recipient.compartment:
        return False
    if access.is_patient:
        return True
    if not is_open:
        return False
    _, filed_in = facts.filings.get(document, (0, recipient.compartment))
    return access.covers_compartment(recipient.compartment) and filed_in == recipient.compartment


def _covers_document(recipient: PersonalRecipient, document: DocumentId, access: Access) -> bool:
    grant = access.grant
    return (
        grant is not None
        and recipient.grant == grant.hash
        and recipient.grantee == grant.grantee
        and access.covers_document(document)
    )
