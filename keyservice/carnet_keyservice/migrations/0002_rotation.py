"""Tables of the jobs of rotation, and of the programs that run; on PostgreSQL the queue that hands shards out."""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"

_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "jobs",
        sa.Column("job", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("by", sa.LargeBinary(), nullable=True),
        sa.Column("old_version", _INTEGER, nullable=True),
        sa.Column("new_version", _INTEGER, nullable=True),
        sa.Column("total", _INTEGER, nullable=False),
        sa.Column("begun", _INTEGER, nullable=False),
        sa.Column("begun_at", _INTEGER, nullable=False),
        sa.Column("phase_at", _INTEGER, nullable=False),
        sa.Column("ended_at", _INTEGER, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["begun"], ["events.position"], name="fk_jobs_begun_events"),
        sa.ForeignKeyConstraint(["new_version"], ["master_keys.version"], name="fk_jobs_new_version_master_keys"),
        sa.ForeignKeyConstraint(["old_version"], ["master_keys.version"], name="fk_jobs_old_version_master_keys"),
        sa.PrimaryKeyConstraint("job", name="pk_jobs"),
        sqlite_strict=True,
    )
    op.create_table(
        "job_shards",
        sa.Column("job", sa.LargeBinary(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("shard", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("after", sa.LargeBinary(), nullable=False),
        sa.Column("done", _INTEGER, nullable=False),
        sa.Column("skipped", _INTEGER, nullable=False),
        sa.Column("is_done", _INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.job"], name="fk_job_shards_job_jobs"),
        sa.PrimaryKeyConstraint("job", "phase", "shard", name="pk_job_shards"),
        sqlite_strict=True,
    )
    op.create_table(
        "job_skips",
        sa.Column("job", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.job"], name="fk_job_skips_job_jobs"),
        sa.PrimaryKeyConstraint("job", "record", "version", name="pk_job_skips"),
        sqlite_strict=True,
    )
    op.create_table(
        "processes",
        sa.Column("process", sa.LargeBinary(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("started_at", _INTEGER, nullable=False),
        sa.Column("seen_at", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_processes"),
        sqlite_strict=True,
    )
    op.create_table(
        "process_keys",
        sa.Column("process", sa.LargeBinary(), nullable=False),
        sa.Column("master_key_version", _INTEGER, autoincrement=False, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["master_key_version"], ["master_keys.version"], name="fk_process_keys_master_key_version_master_keys"
        ),
        sa.ForeignKeyConstraint(["process"], ["processes.process"], name="fk_process_keys_process_processes"),
        sa.PrimaryKeyConstraint("process", "master_key_version", name="pk_process_keys"),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        make_queue(connection)


def make_queue(connection: sa.Connection) -> None:
    """The tables of procrastinate, in a schema of their own."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise AssertionError("internal: a connection without its driver's")
    driver.execute("CREATE SCHEMA procrastinate")
    driver.execute("SET LOCAL search_path TO procrastinate")
    driver.execute(SchemaManager.get_schema())
    driver.execute("SET LOCAL search_path TO DEFAULT")
