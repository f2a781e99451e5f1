"""What makes a capsule well-formed, and which swaps of capsules are allowed. Values in, verdict out.

A capsule has a place: the version and the key role, and either the version's compartment or a single-document grant. A
swap names what it replaces by digest, so that of two devices that remake the same capsule one is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carnet_protocol.api import Capsule, CapsuleSwap
from carnet_protocol.api.capsules import PersonalRecipient
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, Sha256Digest, StatementHash
from carnet_protocol.sealed_box import BoxKind, inner_size, parse_header
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.errors import BadRequestError, ConflictError, RefusedError, StaleError
from carnet_vault.locks.decide import require_good
from carnet_vault.locks.queries import LockRow


@dataclass(frozen=True, slots=True)
class Place:
    """Where a capsule stands; `grant` is None for the one under the version's compartment."""

    document: DocumentId
    version: int
    role: KeyRole
    grant: StatementHash | None

    @classmethod
    def of(cls, capsule: Capsule) -> "Place":
        """The place of `capsule`."""
        grant = None if capsule.personal is None else capsule.personal.grant
        return cls(capsule.document, capsule.version, capsule.role, grant)


@dataclass(frozen=True, slots=True)
class Standing:
    """The capsule that stands in a place now; `compartment` is None for a personal one."""

    digest: Sha256Digest
    compartment: CompartmentId | None


@dataclass(frozen=True, slots=True)
class DocumentGrant:
    """A grant of single documents that is neither ended nor past."""

    grantee: IdentityHash
    grantee_statements: frozenset[StatementHash]
    documents: frozenset[DocumentId]


@dataclass(frozen=True, slots=True)
class SwapFacts:
    """What decides about swaps: `filed` has every document that is there and has no tombstone."""

    filed: Mapping[DocumentId, CompartmentId]
    versions: frozenset[tuple[DocumentId, int]]
    standing: Mapping[Place, Standing]
    newest: Mapping[CompartmentId, StatementHash]
    grants: Mapping[StatementHash, DocumentGrant]
    locks: Mapping[StatementHash, LockRow]
    highest_lock: int


@dataclass(frozen=True, slots=True)
class AcceptedSwap:
    """A capsule to be written: in the place of another, or, with `is_new`, where none stands."""

    capsule: Capsule
    digest: Sha256Digest
    is_new: bool


def check_box(capsule: Capsule) -> None:
    """Check what the sealed bytes show of themselves: kind, suites, length. Raises `BadRequestError`."""
    kind = BoxKind.OUTER_LOCK if capsule.personal is None else BoxKind.PERSONAL_OUTER_LOCK
    try:
        suite = parse_header(capsule.sealed, kind, plaintext_size=inner_size(Suite(capsule.inner_suite)))
    except ProtocolError as error:
        raise BadRequestError("capsule_malformed") from error
    if suite != capsule.outer_suite:
        raise BadRequestError("capsule_suite")


def decide_swaps(swaps: Sequence[CapsuleSwap], facts: SwapFacts, *, now: int) -> tuple[AcceptedSwap, ...]:
    """The swaps that are to be written; those that were written before are left out.

    For each:

    1. Its box is well-formed, and no other swap of the request has its place.
    2. Its version is there, and its document has no tombstone.
    3. What stands in its place is what it replaces; or is this very capsule, which is then left out.
    4. Its lock statement is known, not expired, and of the highest version seen.
    5. A compartment's: it stays in its compartment, or goes to the one where the document is filed; under the newest
       statement. A personal one's: its grant is in force or will be, covers the document, and names the grantee.

    Raises `BadRequestError`, `RefusedError`, `ConflictError` or `StaleError`.
    """
    places: set[Place] = set()
    accepted: list[AcceptedSwap] = []
    for swap in swaps:
        capsule, place = swap.capsule, Place.of(swap.capsule)
        # 1
        check_box(capsule)
        if place in places:
            raise BadRequestError("place_twice")
        places.add(place)
        # 2
        if capsule.document not in facts.filed or (capsule.document, capsule.version) not in facts.versions:
            raise RefusedError("version_unknown")
        # 3
        digest = Sha256Digest.of(capsule.sealed)
        standing = facts.standing.get(place)
        if standing is not None and standing.digest == digest:
            continue
        if swap.replaces != (None if standing is None else standing.digest):
            raise ConflictError("capsule_replaced_meanwhile")
        # 4
        require_good(facts.locks.get(capsule.lock_statement), highest=facts.highest_lock, now=now)
        # 5
        _check_recipient(capsule, standing, facts)
        accepted.append(AcceptedSwap(capsule, digest, is_new=standing is None))
    return tuple(accepted)


def _check_recipient(capsule: Capsule, standing: Standing | None, facts: SwapFacts) -> None:
    if capsule.compartment is not None:
        if standing is None:
            raise AssertionError("internal: a version without a capsule for its compartment")
        if capsule.compartment.compartment not in {standing.compartment, facts.filed[capsule.document]}:
            raise ConflictError("filed_elsewhere")
        if facts.newest.get(capsule.compartment.compartment) != capsule.compartment.compartment_statement:
            raise StaleError("epoch_superseded")
    elif capsule.personal is not None:
        check_grantee(capsule.document, capsule.personal, facts.grants)


def check_grantee(
    document: DocumentId, recipient: PersonalRecipient, grants: Mapping[StatementHash, DocumentGrant]
) -> None:
    """Check that one of `grants` covers `document` and lets `recipient` read. Raises `RefusedError` or `StaleError`."""
    grant = grants.get(recipient.grant)
    if grant is None or document not in grant.documents or recipient.grantee != grant.grantee:
        raise RefusedError("grant_does_not_cover")
    if recipient.grantee_statement not in grant.grantee_statements:
        raise StaleError("grantee_statement_superseded")
