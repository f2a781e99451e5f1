"""Whether reseals are accepted. Values in, verdict out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, StatementHash, UploadId
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.errors import BadRequestError, ConflictError, InvalidStatementError, RefusedError, StaleError
from carnet_server.people.decide import require_recent
from carnet_vault.capsules.decide import DocumentGrant, Place, Standing, check_grantee
from carnet_vault.deposits.decide import Repeat, find_upload
from carnet_vault.locks.decide import require_current
from carnet_vault.reseals.candidate import ResealCandidate
from carnet_vault.uploads.queries import UploadRow


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version of a document without a tombstone, as it stands: its newest reseal and how many there were."""

    document: DocumentId
    version: int
    suite: Suite
    reseal: StatementHash | None
    reseals: int
    object: str


@dataclass(frozen=True, slots=True)
class ResealFacts:
    """What decides about reseals in one record.

    `versions` go by manifest; `accepted` has events of known reseals; `grants` those of standing personal capsules that
    are not over.
    """

    versions: Mapping[StatementHash, VersionRow]
    standing: Mapping[Place, Standing]
    grants: Mapping[StatementHash, DocumentGrant]
    uploads: Mapping[UploadId, UploadRow]
    newest: Mapping[CompartmentId, StatementHash]
    accepted: Mapping[StatementHash, int]
    highest_lock: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """A version to be written over, and the upload that brings its new object."""

    candidate: ResealCandidate
    version: VersionRow
    upload: UploadRow


ResealVerdict: TypeAlias = Replacement | Repeat


def decide_reseals(
    candidates: Sequence[ResealCandidate], facts: ResealFacts, *, patient: IdentityHash, now: int
) -> tuple[ResealVerdict, ...]:
    """What becomes of each of `candidates`, which the patient brings.

    For each:

    1. No other of the request is about the same version, or brings the same upload.
    2. Its statement stands already: nothing more is asked.
    3. It was made neither too long ago nor in the future.
    4. Its manifest is one of the record, of a document without a tombstone, and its capsules are for that version.
    5. Its suite is not below the manifest's, and it counts on from the reseal before.
    6. Its capsules replace the ones that stand, in the same compartment, under its newest statement.
    7. Each personal capsule that stands for that version under a grant that is not over is replaced, for its reader, or
       named as one that goes: who was let in meanwhile does not lose the document unseen.
    8. Its lock statement is good for sealing now.
    9. Its upload was begun by the patient and has its size.

    Raises `BadRequestError`, `RefusedError`, `InvalidStatementError`, `StaleError` or `ConflictError`.
    """
    # 1
    if len({item.reseal.body.manifest for item in candidates}) != len(candidates):
        raise BadRequestError("version_twice")
    if len({item.upload for item in candidates}) != len(candidates):
        raise BadRequestError("upload_twice")
    verdicts: list[ResealVerdict] = []
    highest_lock = facts.highest_lock
    for candidate in candidates:
        body = candidate.reseal.body
        # 2
        event = facts.accepted.get(candidate.reseal.hash)
        if event is not None:
            verdicts.append(Repeat(event))
            continue
        # 3
        require_recent(body.issued_at, now=now)
        # 4
        version = facts.versions.get(body.manifest)
        if version is None:
            raise RefusedError("version_unknown")
        if (candidate.content_capsule.document, candidate.content_capsule.version) != (
            version.document,
            version.version,
        ):
            raise BadRequestError("capsule_of_another")
        # 5
        if body.suite < version.suite:
            raise InvalidStatementError("suite_below_manifest")
        if body.serial != version.reseals + 1 or body.previous != version.reseal:
            raise ConflictError("reseal_not_next")
        # 6
        _check_capsules(candidate, version, facts)
        # 7
        _check_personal(candidate, facts)
        # 8
        require_current(candidate.lock.body, highest=highest_lock, now=now)
        highest_lock = max(highest_lock, candidate.lock.body.version)
        # 9
        upload = find_upload(facts.uploads, candidate.upload, by=patient, size=body.ciphertext_size)
        verdicts.append(Replacement(candidate, version, upload))
    return tuple(verdicts)


def _check_capsules(candidate: ResealCandidate, version: VersionRow, facts: ResealFacts) -> None:
    replaced = {KeyRole.CONTENT: candidate.replaces_content, KeyRole.METADATA: candidate.replaces_metadata}
    for role, digest in replaced.items():
        standing = facts.standing.get(Place(version.document, version.version, role, None))
        if standing is None:
            raise AssertionError("internal: a version without a capsule for its compartment")
        if standing.digest != digest or standing.compartment != candidate.compartment:
            raise ConflictError("capsule_replaced_meanwhile")
    if facts.newest.get(candidate.compartment) != candidate.compartment_statement:
        raise StaleError("epoch_superseded")


def _check_personal(candidate: ResealCandidate, facts: ResealFacts) -> None:
    document, version = candidate.content_capsule.document, candidate.content_capsule.version
    lasting = {
        place: standing.digest
        for place, standing in facts.standing.items()
        if (place.document, place.version) == (document, version) and place.grant in facts.grants
    }
    for swap in candidate.personal_capsules:
        if swap.capsule.personal is None:
            raise AssertionError("internal: a personal capsule for nobody")
        check_grantee(document, swap.capsule.personal, facts.grants)
        if lasting.pop(Place.of(swap.capsule), None) != swap.replaces:
            raise ConflictError("capsule_replaced_meanwhile")
    if not candidate.drops.issuperset(lasting.values()):
        raise ConflictError("personal_capsule_left_out")
