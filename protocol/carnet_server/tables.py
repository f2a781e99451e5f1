"""Tables of the nouns that both servers share (spec `api.md`, "What a server keeps").

Each server has a database and a `MetaData` of its own: `copy_tables` puts these tables there, and the server adds its
own beside them. Queries name the tables of this module; they read alike in both databases.

Every accepted statement is one row of `statements`, accepted by the event `event`; event indices are the order of
acceptance. The tables of a noun hold what decisions read. Times are UTC seconds.
"""

from typing import Any

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, UniqueConstraint, text

from carnet_protocol.ids import (
    AttestationId,
    Commitment,
    CompartmentId,
    DocumentId,
    Ed25519PublicKey,
    Fingerprint,
    FixedBytes,
    GrantId,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
)
from carnet_server.database import BYTES, INTEGER, TEXT, Identifier

NAMING = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


def _table(name: str, *items: Column[Any] | UniqueConstraint | Index) -> Table:
    return Table(name, metadata, *items, sqlite_strict=True)


def _id(
    name: str, kind: type[FixedBytes], *, key: bool = False, to: str | None = None, null: bool = False
) -> Column[Any]:
    return Column(name, Identifier(kind), *([ForeignKey(to)] if to else []), primary_key=key, nullable=null)


def _bytes(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, BYTES, nullable=null)


def _whole(name: str, *, key: bool = False, to: str | None = None, null: bool = False) -> Column[int]:
    return Column(name, INTEGER, *([ForeignKey(to)] if to else []), primary_key=key, nullable=null, autoincrement=False)


def _word(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, TEXT, nullable=null)


# The log: no row is ever deleted, positions (an event.s index) have no gap. None is changed, but that those of a record
# lose kind, salt and body, and their rows in `event_records`, with its erasure.
events = _table(
    "events",
    _whole("position", key=True),
    _whole("time"),
    _word("kind", null=True),
    _bytes("salt", null=True),
    _id("commitment", Commitment),
    _id("leaf_hash", Sha256Digest),
    _bytes("body", null=True),
)
event_records = _table(
    "event_records",
    _id("record", RecordId, key=True),
    _whole("position", key=True, to="events.position"),
)

# Every accepted statement, once. `kind` is the statement's KIND; `jws` its first accepted spelling.
statements = _table(
    "statements",
    _id("hash", StatementHash, key=True),
    _word("kind"),
    _word("jws"),
    _whole("received_at"),
    _whole("event", to="events.position"),
    Index(None, "event"),
)

# People: `people` points to the newest identity statement of each. A root key may stand with several people: whoever
# names it in a later statement need not hold it.
people = _table(
    "people",
    _id("identity", IdentityHash, key=True),
    _word("role"),
    _id("current", StatementHash, to="statements.hash"),
    _whole("serial"),
    _id("root_key", Ed25519PublicKey),
    Index(None, "current"),
)
identities = _table(
    "identities",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("identity", IdentityHash, to="people.identity"),
    _whole("serial"),
    _whole("suite"),
    UniqueConstraint("identity", "serial"),
)
# `void_from` is set once a device is shut out: from then on it may do nothing, whatever the time says.
devices = _table(
    "devices",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("identity", IdentityHash, to="people.identity"),
    _id("device_key", Ed25519PublicKey),
    _id("enrolled_by", StatementHash, to="devices.hash", null=True),
    _whole("received_at"),
    _whole("void_from", null=True),
    Index(None, "identity"),
    Index(None, "enrolled_by"),
)
removals = _table(
    "removals",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("identity", IdentityHash, to="people.identity"),
    _id("device", StatementHash, to="devices.hash"),
    _whole("since"),
    Index(None, "identity"),
)

# The directory. `revoked_attestations` holds the newest list of each registrar, nothing older.
registrars = _table(
    "registrars",
    _id("registrar", Fingerprint, key=True),
    _id("newest_list", StatementHash, to="statements.hash"),
    _whole("number"),
    _whole("issued_at"),
    _whole("next_update"),
)
revoked_attestations = _table(
    "revoked_attestations",
    _id("registrar", Fingerprint, key=True, to="registrars.registrar"),
    _id("id", AttestationId, key=True),
)
attestations = _table(
    "attestations",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("registrar", Fingerprint),
    _id("id", AttestationId),
    _id("subject", IdentityHash, to="people.identity"),
    _id("subject_statement", StatementHash, to="identities.hash"),
    _id("succeeds", IdentityHash, null=True),
    _whole("not_before"),
    _whole("expires"),
    UniqueConstraint("registrar", "id"),
    Index(None, "subject"),
)
successions = _table(
    "successions",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("predecessor", IdentityHash, to="people.identity"),
    _id("successor", IdentityHash, to="people.identity"),
    UniqueConstraint("predecessor"),
    Index(None, "successor"),
)

# Records: compartments, filings, tombstones. `closed` is the event that closed the epoch; `superseded`, at the vault
# alone, the one that put another in the place of an epoch of a device that was shut out.
_STANDS = text("superseded IS NULL")
compartments = _table(
    "compartments",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("record", RecordId, to="people.identity"),
    _id("compartment", CompartmentId),
    _whole("epoch"),
    _whole("suite"),
    _id("device", StatementHash, to="devices.hash"),
    _whole("closed", to="events.position", null=True),
    _whole("superseded", to="events.position", null=True),
    Index(None, "record"),
    Index(
        "ix_compartments_place",
        *("record", "compartment", "epoch"),
        unique=True,
        sqlite_where=_STANDS,
        postgresql_where=_STANDS,
    ),
)
closings = _table(
    "closings",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("record", RecordId, to="people.identity"),
    _id("compartment_statement", StatementHash, to="compartments.hash"),
    UniqueConstraint("compartment_statement"),
    Index(None, "record"),
)
filings = _table(
    "filings",
    _id("record", RecordId, key=True, to="people.identity"),
    _id("document", DocumentId, key=True),
    _whole("serial", key=True),
    _id("hash", StatementHash, to="statements.hash"),
    _id("compartment", CompartmentId),
    UniqueConstraint("hash"),
)
tombstones = _table(
    "tombstones",
    _id("record", RecordId, key=True, to="people.identity"),
    _id("document", DocumentId, key=True),
    _id("by", IdentityHash, key=True, to="people.identity"),
    _id("hash", StatementHash, to="statements.hash"),
    UniqueConstraint("hash"),
)

# Grants: `ended` is the event that revoked or voided the grant.
grants = _table(
    "grants",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("record", RecordId, to="people.identity"),
    _id("id", GrantId),
    _id("grantee", IdentityHash, to="people.identity"),
    _id("grantee_statement", StatementHash, to="identities.hash"),
    _word("permission"),
    _whole("not_before"),
    _whole("expires"),
    _id("device", StatementHash, to="devices.hash"),
    _whole("received_at"),
    _whole("ended", to="events.position", null=True),
    UniqueConstraint("record", "id"),
    Index(None, "grantee", "hash"),
    Index(None, "device"),
    Index(None, "record", "expires"),
    Index(None, "record", "received_at"),
)
grant_compartments = _table(
    "grant_compartments",
    _id("grant", StatementHash, key=True, to="grants.hash"),
    _id("compartment", CompartmentId, key=True),
)
grant_documents = _table(
    "grant_documents",
    _id("grant", StatementHash, key=True, to="grants.hash"),
    _id("document", DocumentId, key=True),
)
revocations = _table(
    "revocations",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("record", RecordId, to="people.identity"),
    _id("grant", StatementHash, to="grants.hash"),
    Index(None, "record"),
    Index(None, "grant"),
)

# Records that were erased: of them nothing else is here but the person.
erasures = _table(
    "erasures",
    _id("record", RecordId, key=True, to="people.identity"),
    _id("hash", StatementHash, to="statements.hash"),
    UniqueConstraint("hash"),
)

# Security officers, by the fingerprint of their key.
officers = _table(
    "officers",
    _id("fingerprint", Fingerprint, key=True),
    _id("public_key", Ed25519PublicKey),
    _whole("enrolled", to="events.position"),
    _whole("retired", to="events.position", null=True),
)


def copy_tables(target: MetaData) -> None:
    """Put a copy of every shared table into `target`, so that a server's own tables may refer to them."""
    for table in metadata.sorted_tables:
        table.to_metadata(target)
