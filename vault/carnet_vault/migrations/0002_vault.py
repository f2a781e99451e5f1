"""The vault's own tables."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OBJECT_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_RETIRED = sa.text("retired_at IS NOT NULL")
_TOMBSTONED = sa.text("tombstoned_at IS NOT NULL")
_BY_RECORD = "HASH (record)"
_PARTITIONS = 16


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "nonces",
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce", name="pk_nonces"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nonces_seen_at", "nonces", ["seen_at"], unique=False)
    op.create_table(
        "orphans",
        sa.Column("name", _OBJECT_NAME, nullable=False),
        sa.Column("seen_at", _WHOLE, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_orphans"),
        sqlite_strict=True,
    )
    op.create_table(
        "erased_objects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_erased_objects"),
        sqlite_strict=True,
    )
    op.create_table(
        "documents",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("author", sa.LargeBinary(), nullable=False),
        sa.Column("head", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("head_manifest", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.Column("listed", _WHOLE, autoincrement=False, nullable=True),
        sa.Column("tombstoned_at", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["author"], ["people.identity"], name="fk_documents_author_people"),
        sa.ForeignKeyConstraint(["head_manifest"], ["statements.hash"], name="fk_documents_head_manifest_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_documents_record_people"),
        sa.PrimaryKeyConstraint("record", "document", name="pk_documents"),
        sqlite_strict=True,
        postgresql_partition_by=_BY_RECORD,
    )
    op.create_index(
        "ix_documents_record_documents_author_documents_document",
        "documents",
        ["record", "author", "document"],
        unique=False,
    )
    op.create_index("ix_documents_head_manifest", "documents", ["head_manifest"], unique=False)
    op.create_index(
        "ix_documents_record_documents_compartment_documents_document",
        "documents",
        ["record", "compartment", "document"],
        unique=False,
    )
    op.create_index(
        "ix_documents_tombstoned",
        "documents",
        ["tombstoned_at", "record", "document"],
        unique=False,
        sqlite_where=_TOMBSTONED,
        postgresql_where=_TOMBSTONED,
    )
    op.create_table(
        "locks",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("version", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("expires", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_locks_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_locks_record_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_locks"),
        sqlite_strict=True,
    )
    op.create_index("ix_locks_record_locks_version", "locks", ["record", "version"], unique=False)
    op.create_table(
        "objects",
        sa.Column("name", _OBJECT_NAME, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("size", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("retired_at", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_objects_record_people"),
        sa.PrimaryKeyConstraint("name", name="pk_objects"),
        sa.UniqueConstraint("record", "name", name="uq_objects_record_name"),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_objects_retired_at",
        "objects",
        ["retired_at"],
        unique=False,
        sqlite_where=_RETIRED,
        postgresql_where=_RETIRED,
    )
    op.create_table(
        "uploads",
        sa.Column("upload", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("by", sa.LargeBinary(), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=True),
        sa.Column("object", _OBJECT_NAME, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("size", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("part_size", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("begun_at", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["by"], ["people.identity"], name="fk_uploads_by_people"),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_uploads_grant_grants"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_uploads_record_people"),
        sa.PrimaryKeyConstraint("upload", name="pk_uploads"),
        sa.UniqueConstraint("object", name="uq_uploads_object"),
        sqlite_strict=True,
    )
    op.create_index("ix_uploads_begun_at", "uploads", ["begun_at"], unique=False)
    op.create_index("ix_uploads_by", "uploads", ["by"], unique=False)
    op.create_index("ix_uploads_grant", "uploads", ["grant"], unique=False)
    op.create_index("ix_uploads_record", "uploads", ["record"], unique=False)
    op.create_table(
        "versions",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("version", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=True),
        sa.Column("suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("digest_suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("reseal", sa.LargeBinary(), nullable=True),
        sa.Column("reseals", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("object", _OBJECT_NAME, nullable=True),
        sa.Column("metadata", sa.LargeBinary(), nullable=True),
        sa.Column("leaf_digests", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_versions_grant_grants"),
        sa.ForeignKeyConstraint(["manifest"], ["statements.hash"], name="fk_versions_manifest_statements"),
        sa.ForeignKeyConstraint(
            ["record", "object"], ["objects.record", "objects.name"], name="fk_versions_record_object_objects"
        ),
        sa.ForeignKeyConstraint(
            ["record", "document"],
            ["documents.record", "documents.document"],
            name="fk_versions_record_document_documents",
        ),
        sa.ForeignKeyConstraint(["reseal"], ["statements.hash"], name="fk_versions_reseal_statements"),
        sa.PrimaryKeyConstraint("record", "document", "version", name="pk_versions"),
        sa.UniqueConstraint("record", "manifest", name="uq_versions_record_manifest"),
        sa.UniqueConstraint("record", "object", name="uq_versions_record_object"),
        sqlite_strict=True,
        postgresql_partition_by=_BY_RECORD,
    )
    op.create_index("ix_versions_grant", "versions", ["grant"], unique=False)
    op.create_index("ix_versions_manifest", "versions", ["manifest"], unique=False)
    op.create_index("ix_versions_reseal", "versions", ["reseal"], unique=False)
    op.create_table(
        "capsules",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("version", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.Column("compartment_statement", sa.LargeBinary(), nullable=False),
        sa.Column("lock_statement", sa.LargeBinary(), nullable=False),
        sa.Column("inner_suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("outer_suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["compartment_statement"], ["compartments.hash"], name="fk_capsules_compartment_statement_compartments"
        ),
        sa.ForeignKeyConstraint(["lock_statement"], ["locks.hash"], name="fk_capsules_lock_statement_locks"),
        sa.ForeignKeyConstraint(
            ["record", "document", "version"],
            ["versions.record", "versions.document", "versions.version"],
            name="fk_capsules_record_document_version_versions",
        ),
        sa.PrimaryKeyConstraint("record", "document", "version", "role", name="pk_capsules"),
        sqlite_strict=True,
        postgresql_partition_by=_BY_RECORD,
    )
    op.create_index(
        "ix_capsules_record_capsules_compartment_statement",
        "capsules",
        ["record", "compartment_statement"],
        unique=False,
    )
    op.create_index(
        "ix_capsules_lock_statement",
        "capsules",
        ["record", "lock_statement", "document", "version", "role"],
        unique=False,
    )
    op.create_index("ix_capsules_compartment_statement", "capsules", ["compartment_statement"], unique=False)
    op.create_index("ix_capsules_lock", "capsules", ["lock_statement"], unique=False)
    op.create_table(
        "personal_capsules",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("version", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("grantee", sa.LargeBinary(), nullable=False),
        sa.Column("grantee_statement", sa.LargeBinary(), nullable=False),
        sa.Column("lock_statement", sa.LargeBinary(), nullable=False),
        sa.Column("inner_suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("outer_suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_personal_capsules_grant_grants"),
        sa.ForeignKeyConstraint(["lock_statement"], ["locks.hash"], name="fk_personal_capsules_lock_statement_locks"),
        sa.ForeignKeyConstraint(
            ["record", "document", "version"],
            ["versions.record", "versions.document", "versions.version"],
            name="fk_personal_capsules_record_document_version_versions",
        ),
        sa.PrimaryKeyConstraint("record", "document", "version", "grant", "role", name="pk_personal_capsules"),
        sqlite_strict=True,
        postgresql_partition_by=_BY_RECORD,
    )
    op.create_index("ix_personal_capsules_of_grant", "personal_capsules", ["grant"], unique=False)
    op.create_index("ix_personal_capsules_lock", "personal_capsules", ["lock_statement"], unique=False)
    op.create_index(
        "ix_personal_capsules_lock_statement",
        "personal_capsules",
        ["record", "lock_statement", "document", "version", "grant", "role"],
        unique=False,
    )
    op.create_index(
        "ix_personal_capsules_grant",
        "personal_capsules",
        ["record", "grant", "document", "version"],
        unique=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in ("documents", "versions", "capsules", "personal_capsules"):
            _make_partitions(table)


def _make_partitions(table: str) -> None:
    for remainder in range(_PARTITIONS):
        bound = f"(MODULUS {_PARTITIONS}, REMAINDER {remainder})"
        op.execute(f"CREATE TABLE {table}_p{remainder:02} PARTITION OF {table} FOR VALUES WITH {bound}")
