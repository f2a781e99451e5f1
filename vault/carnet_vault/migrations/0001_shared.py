"""The tables of the nouns that both servers share."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "events",
        sa.Column("position", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("time", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sqlite_strict=True,
    )
    op.create_table(
        "event_records",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("position", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["position"], ["events.position"], name="fk_event_records_position_events"),
        sa.PrimaryKeyConstraint("record", "position", name="pk_event_records"),
        sqlite_strict=True,
    )
    op.create_table(
        "officers",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("retired", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["enrolled"], ["events.position"], name="fk_officers_enrolled_events"),
        sa.ForeignKeyConstraint(["retired"], ["events.position"], name="fk_officers_retired_events"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_officers"),
        sqlite_strict=True,
    )
    op.create_table(
        "statements",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("received_at", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("event", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.position"], name="fk_statements_event_events"),
        sa.PrimaryKeyConstraint("hash", name="pk_statements"),
        sqlite_strict=True,
    )
    op.create_index("ix_statements_event", "statements", ["event"], unique=False)
    op.create_table(
        "people",
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("current", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("root_key", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["current"], ["statements.hash"], name="fk_people_current_statements"),
        sa.PrimaryKeyConstraint("identity", name="pk_people"),
        sqlite_strict=True,
    )
    op.create_index("ix_people_current", "people", ["current"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_erasures_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_erasures_record_people"),
        sa.PrimaryKeyConstraint("record", name="pk_erasures"),
        sa.UniqueConstraint("hash", name="uq_erasures_hash"),
        sqlite_strict=True,
    )
    op.create_table(
        "registrars",
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("newest_list", sa.LargeBinary(), nullable=False),
        sa.Column("number", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("issued_at", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("next_update", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["newest_list"], ["statements.hash"], name="fk_registrars_newest_list_statements"),
        sa.PrimaryKeyConstraint("registrar", name="pk_registrars"),
        sqlite_strict=True,
    )
    op.create_table(
        "devices",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("device_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_by", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("void_from", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["enrolled_by"], ["devices.hash"], name="fk_devices_enrolled_by_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_devices_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_devices_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_devices"),
        sqlite_strict=True,
    )
    op.create_index("ix_devices_enrolled_by", "devices", ["enrolled_by"], unique=False)
    op.create_index("ix_devices_identity", "devices", ["identity"], unique=False)
    op.create_table(
        "compartments",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("suite", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("closed", _WHOLE, autoincrement=False, nullable=True),
        sa.Column("superseded", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["closed"], ["events.position"], name="fk_compartments_closed_events"),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_compartments_device_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_compartments_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_compartments_record_people"),
        sa.ForeignKeyConstraint(["superseded"], ["events.position"], name="fk_compartments_superseded_events"),
        sa.PrimaryKeyConstraint("hash", name="pk_compartments"),
        sqlite_strict=True,
    )
    op.create_index("ix_compartments_record", "compartments", ["record"], unique=False)
    op.create_index(
        "ix_compartments_place",
        "compartments",
        ["record", "compartment", "epoch"],
        unique=True,
        sqlite_where=sa.text("superseded IS NULL"),
        postgresql_where=sa.text("superseded IS NULL"),
    )
    op.create_table(
        "filings",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_filings_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_filings_record_people"),
        sa.PrimaryKeyConstraint("record", "document", "serial", name="pk_filings"),
        sa.UniqueConstraint("hash", name="uq_filings_hash"),
        sqlite_strict=True,
    )
    op.create_table(
        "identities",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("suite", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_identities_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_identities_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_identities"),
        sa.UniqueConstraint("identity", "serial", name="uq_identities_identity_serial"),
        sqlite_strict=True,
    )
    op.create_table(
        "revoked_attestations",
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registrar"], ["registrars.registrar"], name="fk_revoked_attestations_registrar_registrars"
        ),
        sa.PrimaryKeyConstraint("registrar", "id", name="pk_revoked_attestations"),
        sqlite_strict=True,
    )
    op.create_table(
        "successions",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("predecessor", sa.LargeBinary(), nullable=False),
        sa.Column("successor", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_successions_hash_statements"),
        sa.ForeignKeyConstraint(["predecessor"], ["people.identity"], name="fk_successions_predecessor_people"),
        sa.ForeignKeyConstraint(["successor"], ["people.identity"], name="fk_successions_successor_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_successions"),
        sa.UniqueConstraint("predecessor", name="uq_successions_predecessor"),
        sqlite_strict=True,
    )
    op.create_index("ix_successions_successor", "successions", ["successor"], unique=False)
    op.create_table(
        "tombstones",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("by", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["by"], ["people.identity"], name="fk_tombstones_by_people"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_tombstones_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_tombstones_record_people"),
        sa.PrimaryKeyConstraint("record", "document", "by", name="pk_tombstones"),
        sa.UniqueConstraint("hash", name="uq_tombstones_hash"),
        sqlite_strict=True,
    )
    op.create_table(
        "attestations",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("subject_statement", sa.LargeBinary(), nullable=False),
        sa.Column("succeeds", sa.LargeBinary(), nullable=True),
        sa.Column("not_before", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("expires", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_attestations_hash_statements"),
        sa.ForeignKeyConstraint(["subject"], ["people.identity"], name="fk_attestations_subject_people"),
        sa.ForeignKeyConstraint(
            ["subject_statement"], ["identities.hash"], name="fk_attestations_subject_statement_identities"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_attestations"),
        sa.UniqueConstraint("registrar", "id", name="uq_attestations_registrar_id"),
        sqlite_strict=True,
    )
    op.create_index("ix_attestations_subject", "attestations", ["subject"], unique=False)
    op.create_table(
        "closings",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("compartment_statement", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["compartment_statement"], ["compartments.hash"], name="fk_closings_compartment_statement_compartments"
        ),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_closings_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_closings_record_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_closings"),
        sa.UniqueConstraint("compartment_statement", name="uq_closings_compartment_statement"),
        sqlite_strict=True,
    )
    op.create_index("ix_closings_record", "closings", ["record"], unique=False)
    op.create_table(
        "grants",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("grantee", sa.LargeBinary(), nullable=False),
        sa.Column("grantee_statement", sa.LargeBinary(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("not_before", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("expires", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _WHOLE, autoincrement=False, nullable=False),
        sa.Column("ended", _WHOLE, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_grants_device_devices"),
        sa.ForeignKeyConstraint(["ended"], ["events.position"], name="fk_grants_ended_events"),
        sa.ForeignKeyConstraint(["grantee"], ["people.identity"], name="fk_grants_grantee_people"),
        sa.ForeignKeyConstraint(
            ["grantee_statement"], ["identities.hash"], name="fk_grants_grantee_statement_identities"
        ),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_grants_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_grants_record_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_grants"),
        sa.UniqueConstraint("record", "id", name="uq_grants_record_id"),
        sqlite_strict=True,
    )
    op.create_index("ix_grants_device", "grants", ["device"], unique=False)
    op.create_index("ix_grants_grantee_grants_hash", "grants", ["grantee", "hash"], unique=False)
    op.create_index("ix_grants_record_grants_expires", "grants", ["record", "expires"], unique=False)
    op.create_index("ix_grants_record_grants_received_at", "grants", ["record", "received_at"], unique=False)
    op.create_table(
        "removals",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("since", _WHOLE, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_removals_device_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_removals_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_removals_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_removals"),
        sqlite_strict=True,
    )
    op.create_index("ix_removals_identity", "removals", ["identity"], unique=False)
    op.create_table(
        "grant_compartments",
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_grant_compartments_grant_grants"),
        sa.PrimaryKeyConstraint("grant", "compartment", name="pk_grant_compartments"),
        sqlite_strict=True,
    )
    op.create_table(
        "grant_documents",
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_grant_documents_grant_grants"),
        sa.PrimaryKeyConstraint("grant", "document", name="pk_grant_documents"),
        sqlite_strict=True,
    )
    op.create_table(
        "revocations",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_revocations_grant_grants"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_revocations_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_revocations_record_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_revocations"),
        sqlite_strict=True,
    )
    op.create_index("ix_revocations_grant", "revocations", ["grant"], unique=False)
    op.create_index("ix_revocations_record", "revocations", ["record"], unique=False)
