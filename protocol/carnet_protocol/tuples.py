"""What is bound where: the identity tuple and the wrap tuple (spec `keys.md`, "What is bound where").

Both are encoded injectively. The identity tuple of a version never changes; the wrap tuple names one lock around one
key of that version and changes whenever the lock does.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from carnet_protocol import labels
from carnet_protocol.encoding import pack
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.limits import MAX_VERSIONS
from carnet_protocol.sealed_box import BoxKind, format_header
from carnet_protocol.suites import Suite


@unique
class KeyRole(StrEnum):
    """Which of a version's two keys a capsule holds."""

    CONTENT = "content"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class IdentityTuple:
    """Content suite, record, document, version and author of one version of a document."""

    suite: Suite
    record: RecordId
    document: DocumentId
    version: int
    author: IdentityHash

    def __post_init__(self) -> None:
        """Refuse a version outside 1 to 10,000 with `MalformedError`."""
        if not 1 <= self.version <= MAX_VERSIONS:
            raise MalformedError("a version is a number from 1 to 10,000")

    def packed(self) -> bytes:
        """Injective encoding."""
        return pack(
            labels.IDENTITY_TUPLE,
            int(self.suite),
            self.record.raw,
            self.document.raw,
            self.version,
            self.author.raw,
        )

    def content_context(self) -> bytes:
        """Cobblestone context of the version's content."""
        return pack(labels.CONTENT_CONTEXT, self.packed())

    def metadata_context(self) -> bytes:
        """Cobblestone context of the version's metadata."""
        return pack(labels.METADATA_CONTEXT, self.packed())


@dataclass(frozen=True, slots=True)
class CompartmentLock:
    """The inner lock's recipient: a compartment at the epoch that `compartment_statement` names."""

    compartment: CompartmentId
    compartment_statement: StatementHash


@dataclass(frozen=True, slots=True)
class PersonalLock:
    """The inner lock's recipient under a single-document grant: the grantee, with the account key in that statement."""

    grant: StatementHash
    grantee: IdentityHash
    grantee_statement: StatementHash


@dataclass(frozen=True, slots=True)
class WrapTuple:
    """One capsule's place: version, key role, recipient of the inner lock, lock statement of the outer lock.

    `inner_suite` is that of the recipient's key, `outer_suite` that of the lock: a record lock that moved on to a newer
    suite without the patient goes around inner locks of the older one.
    """

    identity: IdentityTuple
    role: KeyRole
    recipient: CompartmentLock | PersonalLock
    inner_suite: Suite
    outer_suite: Suite
    lock_statement: StatementHash

    def inner_info(self) -> bytes:
        """HPKE `info` of the inner lock."""
        match self.recipient:
            case CompartmentLock(compartment, compartment_statement):
                return pack(
                    labels.INNER_LOCK,
                    format_header(BoxKind.INNER_LOCK, self.inner_suite),
                    self.identity.packed(),
                    self.role.encode(),
                    compartment.raw,
                    compartment_statement.raw,
                )
            case PersonalLock(grant, grantee, grantee_statement):
                return pack(
                    labels.PERSONAL_INNER_LOCK,
                    format_header(BoxKind.PERSONAL_INNER_LOCK, self.inner_suite),
                    self.identity.packed(),
                    self.role.encode(),
                    grant.raw,
                    grantee.raw,
                    grantee_statement.raw,
                )

    def outer_info(self) -> bytes:
        """HPKE `info` of the outer lock."""
        match self.recipient:
            case CompartmentLock(compartment, compartment_statement):
                return pack(
                    labels.OUTER_LOCK,
                    format_header(BoxKind.OUTER_LOCK, self.outer_suite),
                    self.identity.packed(),
                    self.role.encode(),
                    compartment.raw,
                    compartment_statement.raw,
                    self.lock_statement.raw,
                )
            case PersonalLock(grant, grantee, grantee_statement):
                return pack(
                    labels.PERSONAL_OUTER_LOCK,
                    format_header(BoxKind.PERSONAL_OUTER_LOCK, self.outer_suite),
                    self.identity.packed(),
                    self.role.encode(),
                    grant.raw,
                    grantee.raw,
                    grantee_statement.raw,
                    self.lock_statement.raw,
                )

    def inner_kind(self) -> BoxKind:
        """Kind in the header of the inner lock."""
        return BoxKind.INNER_LOCK if isinstance(self.recipient, CompartmentLock) else BoxKind.PERSONAL_INNER_LOCK

    def outer_kind(self) -> BoxKind:
        """Kind in the header of the outer lock."""
        return BoxKind.OUTER_LOCK if isinstance(self.recipient, CompartmentLock) else BoxKind.PERSONAL_OUTER_LOCK


def sealed_compartment_key_info(
    suite: Suite, *, compartment_statement: StatementHash, grant: StatementHash | None, reader_statement: StatementHash
) -> bytes:
    """HPKE `info` of a compartment key sealed to a reader.

    `grant` is None for the patient's own copy; `reader_statement` is the identity statement whose account key it is
    sealed to, which names the reader.
    """
    return pack(
        labels.SEALED_COMPARTMENT_KEY,
        format_header(BoxKind.SEALED_COMPARTMENT_KEY, suite),
        compartment_statement.raw,
        b"" if grant is None else grant.raw,
        reader_statement.raw,
    )


def compartment_name_info(suite: Suite, *, record: RecordId, compartment: CompartmentId, epoch: int) -> bytes:
    """HPKE `info` of a compartment's name, sealed to the compartment key of `epoch`."""
    return pack(
        labels.COMPARTMENT_NAME,
        format_header(BoxKind.COMPARTMENT_NAME, suite),
        record.raw,
        compartment.raw,
        epoch,
    )


def readers_opening_info(suite: Suite, *, record: RecordId, compartment: CompartmentId, epoch: int) -> bytes:
    """HPKE `info` of the opening of a readers commitment, sealed to the patient's account key."""
    return pack(
        labels.READERS_OPENING,
        format_header(BoxKind.READERS_OPENING, suite),
        record.raw,
        compartment.raw,
        epoch,
    )


def grant_note_info(suite: Suite, *, record: RecordId, grant_id: bytes, grantee_statement: StatementHash) -> bytes:
    """HPKE `info` of the patient's note in a grant, sealed to the grantee's account key."""
    return pack(
        labels.GRANT_NOTE,
        format_header(BoxKind.GRANT_NOTE, suite),
        record.raw,
        grant_id,
        grantee_statement.raw,
    )
