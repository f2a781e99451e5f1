"""An event before and after it is logged (spec `log.md`). Values only; `queries` keeps them.

A new event's `body` is what the commitment hides: canonical JSON with every member present.
"""

import hashlib
from dataclasses import dataclass

from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.ids import (
    Commitment,
    DocumentId,
    Fingerprint,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
    pack_event_leaf,
)
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Receipt, Signed
from carnet_protocol.tuples import KeyRole

SALT_SIZE = 32


@dataclass(frozen=True, slots=True)
class VersionKey:
    """One key of one version of a document, as an event names it."""

    document: DocumentId
    version: int
    role: KeyRole


@dataclass(frozen=True, slots=True)
class NewEvent:
    """What is about to be logged. `by` is a person, or an officer's fingerprint; `device` the key that signed."""

    kind: str
    record: RecordId | None = None
    by: IdentityHash | Fingerprint | None = None
    device: StatementHash | None = None
    grant: StatementHash | None = None
    statement: StatementHash | None = None
    documents: tuple[VersionKey, ...] | None = None
    detail: dict[str, str | int] | None = None

    def body(self) -> bytes:
        """Canonical JSON of the event."""
        documents = None
        if self.documents is not None:
            documents = [
                {"document": str(key.document), "role": key.role.value, "version": key.version}
                for key in self.documents
            ]
        return format_canonical_json(
            {
                "kind": self.kind,
                "record": _text(self.record),
                "by": _text(self.by),
                "device": _text(self.device),
                "grant": _text(self.grant),
                "statement": _text(self.statement),
                "documents": documents,
                "detail": self.detail,
            }
        )


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """Where an event stands in the log: what its receipt promises."""

    index: int
    time: int
    leaf: Sha256Digest

    def receipt(self, *, server: Fingerprint, log_key: Signer) -> str:
        """The receipt of this event as a compact JWS; the same bytes each time."""
        body = Receipt(server=server, index=self.index, time=self.time, leaf=self.leaf)
        return Signed.sign(body, log_key).text


def derive_leaf_hash(*, server: Fingerprint, index: int, time: int, commitment: Commitment) -> Sha256Digest:
    """The RFC 6962 leaf hash of the event at `index`."""
    return Sha256Digest(hashlib.sha256(b"\0" + pack_event_leaf(server, index, time, commitment)).digest())


def _text(value: RecordId | IdentityHash | Fingerprint | StatementHash | None) -> str | None:
    return None if value is None else str(value)
