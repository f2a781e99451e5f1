"""The first tables of the key service."""

import functools

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IN_USE = sa.text("retired IS NULL AND destroyed IS NULL")
_create_table = functools.partial(op.create_table, sqlite_strict=True)


def upgrade() -> None:  # noqa: PLR0915  a statement for each table and each index
    """Make them."""
    _create_table(
        "events",
        sa.Column("position", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("time", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
    )
    _create_table(
        "master_keys",
        sa.Column("version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("check_value", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_sealing", _INTEGER, nullable=False),
        sa.Column("made_at", _INTEGER, nullable=False),
        sa.Column("changed_at", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_master_keys"),
    )
    _create_table(
        "nonces",
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce", name="pk_nonces"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nonces_seen_at", "nonces", ["seen_at"], unique=False)
    _create_table(
        "event_records",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("position", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["position"], ["events.position"], name="fk_event_records_position_events"),
        sa.PrimaryKeyConstraint("record", "position", name="pk_event_records"),
    )
    _create_table(
        "officers",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("retired", _INTEGER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["enrolled"], ["events.position"], name="fk_officers_enrolled_events"),
        sa.ForeignKeyConstraint(["retired"], ["events.position"], name="fk_officers_retired_events"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_officers"),
    )
    _create_table(
        "statements",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("received_at", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("event", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.position"], name="fk_statements_event_events"),
        sa.PrimaryKeyConstraint("hash", name="pk_statements"),
    )
    op.create_index("ix_statements_event", "statements", ["event"], unique=False)
    _create_table(
        "people",
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("current", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("root_key", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["current"], ["statements.hash"], name="fk_people_current_statements"),
        sa.PrimaryKeyConstraint("identity", name="pk_people"),
    )
    op.create_index("ix_people_current", "people", ["current"], unique=False)
    _create_table(
        "erasures",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_erasures_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_erasures_record_people"),
        sa.PrimaryKeyConstraint("record", name="pk_erasures"),
        sa.UniqueConstraint("hash", name="uq_erasures_hash"),
    )
    _create_table(
        "registrars",
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("newest_list", sa.LargeBinary(), nullable=False),
        sa.Column("number", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("issued_at", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("next_update", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["newest_list"], ["statements.hash"], name="fk_registrars_newest_list_statements"),
        sa.PrimaryKeyConstraint("registrar", name="pk_registrars"),
    )
    _create_table(
        "devices",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("device_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_by", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("void_from", _INTEGER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["enrolled_by"], ["devices.hash"], name="fk_devices_enrolled_by_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_devices_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_devices_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_devices"),
    )
    op.create_index("ix_devices_enrolled_by", "devices", ["enrolled_by"], unique=False)
    op.create_index("ix_devices_identity", "devices", ["identity"], unique=False)
    _create_table(
        "compartments",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("suite", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("closed", _INTEGER, autoincrement=False, nullable=True),
        sa.Column("superseded", _INTEGER, autoincrement=False, nullable=True),
        sa.ForeignKeyConstraint(["closed"], ["events.position"], name="fk_compartments_closed_events"),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_compartments_device_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_compartments_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_compartments_record_people"),
        sa.ForeignKeyConstraint(["superseded"], ["events.position"], name="fk_compartments_superseded_events"),
        sa.PrimaryKeyConstraint("hash", name="pk_compartments"),
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
    _create_table(
        "filings",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_filings_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_filings_record_people"),
        sa.PrimaryKeyConstraint("record", "document", "serial", name="pk_filings"),
        sa.UniqueConstraint("hash", name="uq_filings_hash"),
    )
    _create_table(
        "identities",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("serial", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("suite", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_identities_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_identities_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_identities"),
        sa.UniqueConstraint("identity", "serial", name="uq_identities_identity_serial"),
    )
    _create_table(
        "record_locks",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("suite", _INTEGER, nullable=False),
        sa.Column("lock_key", sa.LargeBinary(), nullable=False),
        sa.Column("made", _INTEGER, nullable=False),
        sa.Column("retired", _INTEGER, nullable=True),
        sa.Column("destroyed", _INTEGER, nullable=True),
        sa.ForeignKeyConstraint(["destroyed"], ["events.position"], name="fk_record_locks_destroyed_events"),
        sa.ForeignKeyConstraint(["made"], ["events.position"], name="fk_record_locks_made_events"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_record_locks_record_people"),
        sa.ForeignKeyConstraint(["retired"], ["events.position"], name="fk_record_locks_retired_events"),
        sa.PrimaryKeyConstraint("record", "version", name="pk_record_locks"),
    )
    op.create_index("ix_record_locks_made", "record_locks", ["made"], sqlite_where=_IN_USE, postgresql_where=_IN_USE)
    _create_table(
        "lock_seals",
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("master_key_version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["master_key_version"], ["master_keys.version"], name="fk_lock_seals_master_key_version_master_keys"
        ),
        sa.ForeignKeyConstraint(
            ["record", "version"],
            ["record_locks.record", "record_locks.version"],
            name="fk_lock_seals_record_version_record_locks",
        ),
        sa.PrimaryKeyConstraint("record", "version", "master_key_version", name="pk_lock_seals"),
    )
    op.create_index("ix_lock_seals_master_key_version", "lock_seals", ["master_key_version"], unique=False)
    _create_table(
        "revoked_attestations",
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["registrar"], ["registrars.registrar"], name="fk_revoked_attestations_registrar_registrars"
        ),
        sa.PrimaryKeyConstraint("registrar", "id", name="pk_revoked_attestations"),
    )
    _create_table(
        "successions",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("predecessor", sa.LargeBinary(), nullable=False),
        sa.Column("successor", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_successions_hash_statements"),
        sa.ForeignKeyConstraint(["predecessor"], ["people.identity"], name="fk_successions_predecessor_people"),
        sa.ForeignKeyConstraint(["successor"], ["people.identity"], name="fk_successions_successor_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_successions"),
        sa.UniqueConstraint("predecessor", name="uq_successions_predecessor"),
    )
    op.create_index("ix_successions_successor", "successions", ["successor"], unique=False)
    _create_table(
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
    )
    _create_table(
        "attestations",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("registrar", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("subject_statement", sa.LargeBinary(), nullable=False),
        sa.Column("succeeds", sa.LargeBinary(), nullable=True),
        sa.Column("not_before", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("expires", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_attestations_hash_statements"),
        sa.ForeignKeyConstraint(["subject"], ["people.identity"], name="fk_attestations_subject_people"),
        sa.ForeignKeyConstraint(
            ["subject_statement"], ["identities.hash"], name="fk_attestations_subject_statement_identities"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_attestations"),
        sa.UniqueConstraint("registrar", "id", name="uq_attestations_registrar_id"),
    )
    op.create_index("ix_attestations_subject", "attestations", ["subject"], unique=False)
    _create_table(
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
    )
    op.create_index("ix_closings_record", "closings", ["record"], unique=False)
    _create_table(
        "grants",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("grantee", sa.LargeBinary(), nullable=False),
        sa.Column("grantee_statement", sa.LargeBinary(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.Column("not_before", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("expires", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("ended", _INTEGER, autoincrement=False, nullable=True),
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
    )
    op.create_index("ix_grants_device", "grants", ["device"], unique=False)
    op.create_index("ix_grants_grantee_grants_hash", "grants", ["grantee", "hash"], unique=False)
    op.create_index("ix_grants_record_grants_expires", "grants", ["record", "expires"], unique=False)
    op.create_index("ix_grants_record_grants_received_at", "grants", ["record", "received_at"], unique=False)
    _create_table(
        "lock_statements",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("version", _INTEGER, nullable=False),
        sa.Column("expires", _INTEGER, nullable=False),
        sa.Column("event", _INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.position"], name="fk_lock_statements_event_events"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_lock_statements_hash_statements"),
        sa.ForeignKeyConstraint(
            ["record", "version"],
            ["record_locks.record", "record_locks.version"],
            name="fk_lock_statements_record_version_record_locks",
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_lock_statements"),
        sa.UniqueConstraint("record", "event", name="uq_lock_statements_record_event"),
    )
    _create_table(
        "recoveries",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("identity_statement", sa.LargeBinary(), nullable=False),
        sa.Column("root_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("event", _INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["event"], ["events.position"], name="fk_recoveries_event_events"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_recoveries_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_recoveries_identity_people"),
        sa.ForeignKeyConstraint(
            ["identity_statement"], ["identities.hash"], name="fk_recoveries_identity_statement_identities"
        ),
        sa.PrimaryKeyConstraint("hash", name="pk_recoveries"),
        sa.UniqueConstraint("identity_statement", name="uq_recoveries_identity_statement"),
    )
    op.create_index("ix_recoveries_identity", "recoveries", ["identity"], unique=False)
    op.create_index(
        "ix_recoveries_root_fingerprint_recoveries_event", "recoveries", ["root_fingerprint", "event"], unique=False
    )
    _create_table(
        "removals",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("since", _INTEGER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_removals_device_devices"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_removals_hash_statements"),
        sa.ForeignKeyConstraint(["identity"], ["people.identity"], name="fk_removals_identity_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_removals"),
    )
    op.create_index("ix_removals_identity", "removals", ["identity"], unique=False)
    _create_table(
        "sealed_keys",
        sa.Column("compartment_statement", sa.LargeBinary(), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("reader_statement", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", _INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.hash"], name="fk_sealed_keys_device_devices"),
        sa.ForeignKeyConstraint(
            ["reader_statement"], ["identities.hash"], name="fk_sealed_keys_reader_statement_identities"
        ),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_sealed_keys_record_people"),
        sa.PrimaryKeyConstraint("compartment_statement", "grant", "reader_statement", name="pk_sealed_keys"),
    )
    op.create_index("ix_sealed_keys_grant", "sealed_keys", ["grant"], unique=False)
    op.create_index("ix_sealed_keys_record_sealed_keys_grant", "sealed_keys", ["record", "grant"], unique=False)
    _create_table(
        "grant_compartments",
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("compartment", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_grant_compartments_grant_grants"),
        sa.PrimaryKeyConstraint("grant", "compartment", name="pk_grant_compartments"),
    )
    _create_table(
        "grant_documents",
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_grant_documents_grant_grants"),
        sa.PrimaryKeyConstraint("grant", "document", name="pk_grant_documents"),
    )
    _create_table(
        "revocations",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("grant", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grants.hash"], name="fk_revocations_grant_grants"),
        sa.ForeignKeyConstraint(["hash"], ["statements.hash"], name="fk_revocations_hash_statements"),
        sa.ForeignKeyConstraint(["record"], ["people.identity"], name="fk_revocations_record_people"),
        sa.PrimaryKeyConstraint("hash", name="pk_revocations"),
    )
    op.create_index("ix_revocations_grant", "revocations", ["grant"], unique=False)
    op.create_index("ix_revocations_record", "revocations", ["record"], unique=False)
