"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "nonces",
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nonces_seen_at", "nonces", ["seen_at"])
    op.create_table(
        "keys",
        sa.Column("key_id", sa.LargeBinary(), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("identity", sa.LargeBinary()),
        sqlite_strict=True,
    )
    op.create_table(
        "notes",
        sa.Column("note", sa.LargeBinary(), primary_key=True),
        sa.Column("author", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("written_at", _INTEGER, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "events",
        sa.Column("position", _INTEGER, primary_key=True, autoincrement=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("happened_at", _INTEGER, nullable=False),
        sqlite_strict=True,
    )
