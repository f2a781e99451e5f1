"""A reseal whose parts fit together: everything about it that can be checked without looking anything up."""

from dataclasses import dataclass

from carnet_protocol.api import Capsule, CapsuleSwap, ResealDeposit
from carnet_protocol.ids import CompartmentId, Fingerprint, RecordId, Sha256Digest, StatementHash, UploadId
from carnet_protocol.statements import Lock, Reseal, Signed
from carnet_server.errors import BadRequestError, InvalidStatementError
from carnet_server.statements.parse import parse_statement
from carnet_vault.capsules.decide import Place, check_box
from carnet_vault.documents.parts import check_leaf_list, check_metadata, check_pair
from carnet_vault.locks.decide import parse_lock


@dataclass(frozen=True, slots=True)
class ResealCandidate:
    """One version encrypted anew, consistent in itself."""

    upload: UploadId
    reseal: Signed[Reseal]
    lock: Signed[Lock]
    metadata: bytes
    leaf_digests: bytes
    content_capsule: Capsule
    metadata_capsule: Capsule
    replaces_content: Sha256Digest
    replaces_metadata: Sha256Digest
    compartment: CompartmentId
    compartment_statement: StatementHash
    personal_capsules: tuple[CapsuleSwap, ...]
    drops: frozenset[Sha256Digest]


def check_reseal(deposit: ResealDeposit, *, record: RecordId, keyservice: Fingerprint) -> ResealCandidate:
    """The reseal in `record`, if its parts fit; no signature is checked yet.

    1. The statement is well-formed and for this record.
    2. The metadata has a possible size and the statement's digest.
    3. The leaf list has as many digests as the ciphertext has leaves, and hashes to the statement's digest.
    4. The lock statement is well-formed, for this record and by this key service.
    5. The capsules hold one version's two keys, under that lock, and both under one compartment statement.
    6. Each personal capsule holds one of those keys, under that lock, and takes the place of another.

    Raises `InvalidStatementError`, `BadRequestError` or `TooLargeError`.
    """
    # 1
    reseal: Signed[Reseal] = parse_statement(deposit.reseal, [Reseal])
    body = reseal.body
    if body.record != record:
        raise InvalidStatementError("reseal_of_another")
    # 2
    check_metadata(deposit.metadata, body.metadata_digest)
    # 3
    check_leaf_list(deposit.leaf_digests, suite=body.suite, ciphertext_size=body.ciphertext_size, digest=body.digest)
    # 4
    lock = parse_lock(deposit.lock, record=record, keyservice=keyservice)
    # 5
    content = deposit.content_capsule
    check_pair(content, deposit.metadata_capsule, document=content.document, version=content.version, lock=lock)
    if content.compartment is None:
        raise BadRequestError("capsule_recipient")
    # 6
    _check_personal(deposit, lock)
    return ResealCandidate(
        upload=deposit.upload,
        reseal=reseal,
        lock=lock,
        metadata=deposit.metadata,
        leaf_digests=deposit.leaf_digests,
        content_capsule=content,
        metadata_capsule=deposit.metadata_capsule,
        replaces_content=deposit.replaces_content,
        replaces_metadata=deposit.replaces_metadata,
        compartment=content.compartment.compartment,
        compartment_statement=content.compartment.compartment_statement,
        personal_capsules=deposit.personal_capsules,
        drops=frozenset(deposit.drops),
    )


def _check_personal(deposit: ResealDeposit, lock: Signed[Lock]) -> None:
    content = deposit.content_capsule
    for swap in deposit.personal_capsules:
        capsule = swap.capsule
        check_box(capsule)
        if capsule.personal is None or swap.replaces is None:
            raise BadRequestError("capsule_recipient")
        if (capsule.document, capsule.version) != (content.document, content.version):
            raise BadRequestError("capsule_of_another")
        if capsule.lock_statement != lock.hash:
            raise BadRequestError("capsule_lock")
    if len({Place.of(swap.capsule) for swap in deposit.personal_capsules}) != len(deposit.personal_capsules):
        raise BadRequestError("place_twice")
