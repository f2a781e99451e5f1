"""A deposit whose parts fit together: everything about it that can be checked without looking anything up."""

from dataclasses import dataclass

from carnet_protocol.api import Capsule, Deposit
from carnet_protocol.ids import CompartmentId, Fingerprint, IdentityHash, RecordId, StatementHash, UploadId
from carnet_protocol.statements import Lock, Manifest, Signed
from carnet_server.errors import InvalidStatementError
from carnet_server.statements.parse import parse_statement
from carnet_vault.documents.parts import check_leaf_list, check_metadata, check_pair
from carnet_vault.locks.decide import parse_lock


@dataclass(frozen=True, slots=True)
class Candidate:
    """One version as deposited, consistent in itself."""

    upload: UploadId
    manifest: Signed[Manifest]
    lock: Signed[Lock]
    metadata: bytes
    leaf_digests: bytes
    content_capsule: Capsule
    metadata_capsule: Capsule
    compartment: CompartmentId
    compartment_statement: StatementHash


def check_candidate(deposit: Deposit, *, record: RecordId, author: IdentityHash, keyservice: Fingerprint) -> Candidate:
    """The deposit of `author` into `record`, if its parts fit; no signature is checked yet.

    1. The manifest is well-formed, for this record and by this author.
    2. The metadata has a possible size and the manifest's digest.
    3. The leaf list has as many digests as the ciphertext has leaves, and hashes to the manifest's digest.
    4. The lock statement is well-formed, for this record and by this key service.
    5. The capsules hold this version's two keys, under that lock, and both under one compartment statement.

    Raises `InvalidStatementError`, `BadRequestError` or `TooLargeError`.
    """
    # 1
    manifest: Signed[Manifest] = parse_statement(deposit.manifest, [Manifest])
    body = manifest.body
    if body.record != record or body.author != author:
        raise InvalidStatementError("manifest_of_another")
    # 2
    check_metadata(deposit.metadata, body.metadata_digest)
    # 3
    check_leaf_list(deposit.leaf_digests, suite=body.suite, ciphertext_size=body.ciphertext_size, digest=body.digest)
    # 4
    lock = parse_lock(deposit.lock, record=record, keyservice=keyservice)
    # 5
    check_pair(
        deposit.content_capsule, deposit.metadata_capsule, document=body.document, version=body.version, lock=lock
    )
    recipient = deposit.content_capsule.compartment
    if recipient is None:
        raise AssertionError("internal: check_pair lets personal capsules through")
    return Candidate(
        upload=deposit.upload,
        manifest=manifest,
        lock=lock,
        metadata=deposit.metadata,
        leaf_digests=deposit.leaf_digests,
        content_capsule=deposit.content_capsule,
        metadata_capsule=deposit.metadata_capsule,
        compartment=recipient.compartment,
        compartment_statement=recipient.compartment_statement,
    )
