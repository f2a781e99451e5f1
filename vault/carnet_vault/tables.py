"""Tables of the vault, beside the shared ones (spec `api.md`, "Routes of the vault").

Everything that a reader needs to decrypt stands here sealed, and nothing here opens it. An object's bytes are in the
store under `objects.name`: its row is written after them and deleted before them. Times are UTC seconds.

What grows with documents and changes with them is partitioned by record on PostgreSQL (`carnet_server.partitions`), and
each unique constraint there names the record. That says no less: a manifest's hash covers its record, and an object's
row, whose name is unique by itself, has one record, which the foreign key compares.
"""

from typing import Any

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint, text

from carnet_protocol.ids import (
    CompartmentId,
    DocumentId,
    FixedBytes,
    IdentityHash,
    RecordId,
    Sha256Digest,
    StatementHash,
    UploadId,
)
from carnet_server.database import BYTES, INTEGER, OBJECT_NAME, TEXT, Identifier
from carnet_server.nonces import make_nonces_table
from carnet_server.partitions import PARTITION_KEY
from carnet_server.tables import NAMING, copy_tables

metadata = MetaData(naming_convention=NAMING)
copy_tables(metadata)
nonces = make_nonces_table(metadata)


_Item = Column[Any] | ForeignKeyConstraint | UniqueConstraint | Index


def _table(name: str, *items: _Item) -> Table:
    return Table(name, metadata, *items, sqlite_strict=True)


def _partitioned(name: str, *items: _Item) -> Table:
    return Table(name, metadata, *items, sqlite_strict=True, postgresql_partition_by=PARTITION_KEY)


def _id(
    name: str, kind: type[FixedBytes], *, key: bool = False, to: str | None = None, null: bool = False
) -> Column[Any]:
    return Column(name, Identifier(kind), *([ForeignKey(to)] if to else []), primary_key=key, nullable=null)


def _bytes(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, BYTES, nullable=null)


def _whole(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, INTEGER, primary_key=key, nullable=null, autoincrement=False)


def _word(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, TEXT, primary_key=key, nullable=null)


def _object(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, OBJECT_NAME, primary_key=key, nullable=null)


# Uploads under way: what the store needs to go on with them, and who began them. Deleted by the deposit that uses them.
uploads = _table(
    "uploads",
    _id("upload", UploadId, key=True),
    _id("record", RecordId, to="people.identity"),
    _id("by", IdentityHash, to="people.identity"),
    _id("grant", StatementHash, to="grants.hash", null=True),
    _object("object"),
    _word("token"),
    _whole("size"),
    _whole("part_size"),
    _whole("begun_at"),
    UniqueConstraint("object"),
    Index(None, "by"),
    Index(None, "grant"),
    Index(None, "record"),
    Index(None, "begun_at"),
)

_RETIRED = text("retired_at IS NOT NULL")
_TOMBSTONED = text("tombstoned_at IS NOT NULL")

# Objects that a version has, or had until `retired_at`. The row goes first, then the object.
objects = _table(
    "objects",
    _object("name", key=True),
    _id("record", RecordId, to="people.identity"),
    _whole("size"),
    _whole("retired_at", null=True),
    UniqueConstraint("record", "name"),
    Index(None, "retired_at", sqlite_where=_RETIRED, postgresql_where=_RETIRED),
)

# Objects that have no row, with the time when `gc` first saw them so; removed once they have been so for long enough.
orphans = _table(
    "orphans",
    _object("name", key=True),
    _whole("seen_at"),
)

# Objects of records that were erased, and uploads under way of theirs, by their tokens: to be removed from the store at
# once. A row goes once its object is gone.
erased_objects = _table(
    "erased_objects",
    _word("name", key=True),
    _word("token", null=True),
)

# Lock statements of the key service under which capsules came.
locks = _table(
    "locks",
    _id("hash", StatementHash, key=True, to="statements.hash"),
    _id("record", RecordId, to="people.identity"),
    _whole("version"),
    _whole("expires"),
    Index(None, "record", "version"),
)

# One row per document: its head, where it is filed, and its newest version with capsules there (null: none has).
documents = _partitioned(
    "documents",
    _id("record", RecordId, key=True, to="people.identity"),
    _id("document", DocumentId, key=True),
    _id("author", IdentityHash, to="people.identity"),
    _whole("head"),
    _id("head_manifest", StatementHash, to="statements.hash"),
    _id("compartment", CompartmentId),
    _whole("listed", null=True),
    _whole("tombstoned_at", null=True),
    Index(None, "head_manifest"),
    Index(None, "record", "author", "document"),
    Index(None, "record", "compartment", "document"),
    Index(
        "ix_documents_tombstoned",
        *("tombstoned_at", "record", "document"),
        sqlite_where=_TOMBSTONED,
        postgresql_where=_TOMBSTONED,
    ),
)

# One row per version; `suite` is the manifest's. Object, metadata, leaf list and `digest_suite` are those of the newest
# reseal, if there is one; the first three are null once the grace of a tombstone is over.
versions = _partitioned(
    "versions",
    _id("record", RecordId, key=True),
    _id("document", DocumentId, key=True),
    _whole("version", key=True),
    _id("manifest", StatementHash, to="statements.hash"),
    _id("grant", StatementHash, to="grants.hash", null=True),
    _whole("suite"),
    _whole("digest_suite"),
    _id("reseal", StatementHash, to="statements.hash", null=True),
    _whole("reseals"),
    _object("object", null=True),
    _bytes("metadata", null=True),
    _bytes("leaf_digests", null=True),
    ForeignKeyConstraint(["record", "document"], ["documents.record", "documents.document"]),
    ForeignKeyConstraint(["record", "object"], ["objects.record", "objects.name"]),
    UniqueConstraint("record", "manifest"),
    UniqueConstraint("record", "object"),
    Index(None, "grant"),
    Index(None, "manifest"),
    Index(None, "reseal"),
)

# Capsules by their place: each version has one per role for its compartment, and one per role for each single-document
# grant that covers it. `digest` is the SHA-256 of `sealed`, by which a swap names what it replaces.
capsules = _partitioned(
    "capsules",
    _id("record", RecordId, key=True),
    _id("document", DocumentId, key=True),
    _whole("version", key=True),
    _word("role", key=True),
    _id("compartment", CompartmentId),
    _id("compartment_statement", StatementHash, to="compartments.hash"),
    _id("lock_statement", StatementHash, to="locks.hash"),
    _whole("inner_suite"),
    _whole("outer_suite"),
    _id("digest", Sha256Digest),
    _bytes("sealed"),
    ForeignKeyConstraint(
        ["record", "document", "version"], ["versions.record", "versions.document", "versions.version"]
    ),
    Index("ix_capsules_lock_statement", "record", "lock_statement", "document", "version", "role"),
    Index(None, "record", "compartment_statement"),
    Index(None, "compartment_statement"),
    Index("ix_capsules_lock", "lock_statement"),
)
personal_capsules = _partitioned(
    "personal_capsules",
    _id("record", RecordId, key=True),
    _id("document", DocumentId, key=True),
    _whole("version", key=True),
    _id("grant", StatementHash, key=True, to="grants.hash"),
    _word("role", key=True),
    _id("grantee", IdentityHash),
    _id("grantee_statement", StatementHash),
    _id("lock_statement", StatementHash, to="locks.hash"),
    _whole("inner_suite"),
    _whole("outer_suite"),
    _id("digest", Sha256Digest),
    _bytes("sealed"),
    ForeignKeyConstraint(
        ["record", "document", "version"], ["versions.record", "versions.document", "versions.version"]
    ),
    Index("ix_personal_capsules_lock_statement", "record", "lock_statement", "document", "version", "grant", "role"),
    Index("ix_personal_capsules_grant", "record", "grant", "document", "version"),
    Index("ix_personal_capsules_of_grant", "grant"),
    Index("ix_personal_capsules_lock", "lock_statement"),
)
