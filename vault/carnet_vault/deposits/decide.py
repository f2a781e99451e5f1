"""Whether deposits are accepted, and where their versions then stand. Values in, verdict out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, StatementHash, UploadId
from carnet_protocol.limits import MIB
from carnet_protocol.statements import Manifest
from carnet_server.errors import (
    BadRequestError,
    ConflictError,
    InvalidStatementError,
    RefusedError,
    StaleError,
    TooLargeError,
)
from carnet_server.grants.queries import GrantRow
from carnet_server.people.decide import require_recent
from carnet_vault.deposits.candidate import Candidate
from carnet_vault.locks.decide import require_current
from carnet_vault.uploads.queries import UploadRow

MAX_DOCUMENT_METADATA_BYTES: Final = 16 * MIB
"""Metadata of all versions of one document, which one answer lists."""


@dataclass(frozen=True, slots=True)
class Head:
    """A document as it stands: its newest version, where it is filed, its newest version with capsules there."""

    author: IdentityHash
    version: int
    manifest: StatementHash
    compartment: CompartmentId
    listed: int | None
    is_tombstoned: bool


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """What decides about deposits into one record.

    `grants` are deposit grants that the author holds, in force now; `accepted` has the event of each statement that
    stands already; `metadata_bytes` how much metadata the versions of a document have together.
    """

    grants: Mapping[StatementHash, GrantRow]
    heads: Mapping[DocumentId, Head]
    uploads: Mapping[UploadId, UploadRow]
    newest: Mapping[CompartmentId, StatementHash]
    accepted: Mapping[StatementHash, int]
    highest_lock: int
    metadata_bytes: Mapping[DocumentId, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """A version to be written, the upload that brings its object, and the document as it stands then."""

    candidate: Candidate
    upload: UploadRow
    head: Head
    is_first: bool


@dataclass(frozen=True, slots=True)
class Repeat:
    """A version that was accepted before, by the event `event`."""

    event: int


Verdict: TypeAlias = Placement | Repeat


def decide_deposits(
    candidates: Sequence[Candidate], facts: DepositFacts, *, author: IdentityHash, now: int
) -> tuple[Verdict, ...]:
    """What becomes of each of `candidates`, which `author` deposits.

    For each, with those before it already written:

    1. No other of the request brings the same manifest or upload.
    2. It relies on a deposit grant in force, unless it is the patient's, and goes where that grant says.
    3. Its manifest stands already: nothing more is asked.
    4. It was made neither too long ago nor in the future, and while the grant was in force.
    5. Its compartment statement is the newest one.
    6. Its lock statement is good for sealing now.
    7. It is version 1 of a new document, or continues the newest version of one that has no tombstone.
    8. The metadata of all versions together fits into one answer.
    9. Its upload was begun by its author and has the manifest's size.

    Raises `BadRequestError`, `RefusedError`, `InvalidStatementError`, `StaleError`, `ConflictError` or `TooLargeError`.
    """
    # 1
    if len({item.manifest.hash for item in candidates}) != len(candidates):
        raise BadRequestError("manifest_twice")
    if len({item.upload for item in candidates}) != len(candidates):
        raise BadRequestError("upload_twice")
    heads, metadata_bytes = dict(facts.heads), Counter(facts.metadata_bytes)
    highest_lock = facts.highest_lock
    verdicts: list[Verdict] = []
    for candidate in candidates:
        manifest = candidate.manifest.body
        # 2
        grant = _require_grant(candidate, facts.grants)
        # 3
        event = facts.accepted.get(candidate.manifest.hash)
        if event is not None:
            verdicts.append(Repeat(event))
            continue
        # 4
        check_times(manifest, grant, now=now)
        # 5
        if facts.newest.get(candidate.compartment) != candidate.compartment_statement:
            raise StaleError("epoch_superseded")
        # 6
        require_current(candidate.lock.body, highest=highest_lock, now=now)
        highest_lock = max(highest_lock, candidate.lock.body.version)
        # 7
        head = _advance(heads.get(manifest.document), candidate)
        is_first = manifest.document not in heads
        heads[manifest.document] = head
        # 8
        metadata_bytes[manifest.document] += len(candidate.metadata)
        if metadata_bytes[manifest.document] > MAX_DOCUMENT_METADATA_BYTES:
            raise TooLargeError("metadata_of_all_versions")
        # 9
        upload = find_upload(facts.uploads, candidate.upload, by=author, size=manifest.ciphertext_size)
        verdicts.append(Placement(candidate, upload, head, is_first))
    return tuple(verdicts)


def find_upload(uploads: Mapping[UploadId, UploadRow], wanted: UploadId, *, by: IdentityHash, size: int) -> UploadRow:
    """The upload `wanted`, begun by `by` for `size` bytes. Raises `RefusedError` or `ConflictError`."""
    upload = uploads.get(wanted)
    if upload is None or upload.by != by:
        raise RefusedError("upload_unknown")
    if upload.stored.size_bytes != size:
        raise ConflictError("upload_of_another_size")
    return upload


def check_times(manifest: Manifest, grant: GrantRow | None, *, now: int) -> None:
    """Check when a manifest says it was made. Raises `InvalidStatementError`."""
    require_recent(manifest.created_at, now=now)
    if grant is not None and not grant.not_before <= manifest.created_at < grant.expires:
        raise InvalidStatementError("manifest_outside_of_grant")


def _require_grant(candidate: Candidate, grants: Mapping[StatementHash, GrantRow]) -> GrantRow | None:
    """The grant that `candidate` relies on, None for the patient. Raises `RefusedError`."""
    named = candidate.manifest.body.grant
    if named is None:
        return None
    # Told apart from an unknown compartment, another one would say which compartments there are.
    grant = grants.get(named)
    if grant is None or candidate.compartment not in grant.compartments:
        raise RefusedError("compartment_not_granted")
    return grant


def _advance(head: Head | None, candidate: Candidate) -> Head:
    """The document after `candidate`. A new version leaves it filed where it is. Raises `ConflictError`."""
    manifest = candidate.manifest.body
    if head is None or head.is_tombstoned:
        # A document with a tombstone is to its author as one that never was: there is nothing to continue.
        if manifest.version != 1 or head is not None:
            raise ConflictError("head_moved")
        return Head(manifest.author, 1, candidate.manifest.hash, candidate.compartment, 1, is_tombstoned=False)
    if manifest.version != head.version + 1 or manifest.previous != head.manifest:
        raise ConflictError("head_moved")
    listed = manifest.version if candidate.compartment == head.compartment else head.listed
    return replace(head, version=manifest.version, manifest=candidate.manifest.hash, listed=listed)
