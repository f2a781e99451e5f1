"""Tables of the key service: the shared nouns, and locks, sealed keys, recoveries, master keys.

Nothing here opens a document. `sealed_seed` is sealed under a master key that the database does not hold, `sealed` to
keys that no server holds.
"""

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, MetaData, Table, UniqueConstraint, text

from carnet_keyservice.ids import ProcessId
from carnet_protocol.ids import Fingerprint, IdentityHash, JobId, RecordId, StatementHash
from carnet_server.database import BYTES, INTEGER, TEXT, Identifier
from carnet_server.nonces import make_nonces_table
from carnet_server.tables import NAMING, copy_tables

OWN_COPY = b""
"""In the place of a grant's hash: the patient's own copy of a compartment key."""

IN_USE = text("retired IS NULL AND destroyed IS NULL")
"""Of record locks: those that may still be released. The oldest of them is the first in their index."""

metadata = MetaData(naming_convention=NAMING)
copy_tables(metadata)
nonces = make_nonces_table(metadata)

# Versions of the master key: who keeps each and under which token, a known value sealed under it, by which a wrong key
# is told, and its state (`master_keys/state.py`) since `changed_at`. New locks are sealed under all that are sealing.
master_keys = Table(
    "master_keys",
    metadata,
    Column("version", INTEGER, primary_key=True, autoincrement=False),
    Column("provider", TEXT, nullable=False),
    Column("token", BYTES, nullable=False),
    Column("check_value", BYTES, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("is_sealing", INTEGER, nullable=False),
    Column("made_at", INTEGER, nullable=False),
    Column("changed_at", INTEGER, nullable=False),
    sqlite_strict=True,
)
# `made`, `retired` and `destroyed` are events. A retired lock is never released again; it is kept for rotation and
# restore. One that is destroyed has no seal left.
record_locks = Table(
    "record_locks",
    metadata,
    Column("record", Identifier(RecordId), ForeignKey("people.identity"), primary_key=True),
    Column("version", INTEGER, primary_key=True, autoincrement=False),
    Column("suite", INTEGER, nullable=False),
    Column("lock_key", BYTES, nullable=False),
    Column("made", INTEGER, ForeignKey("events.position"), nullable=False),
    Column("retired", INTEGER, ForeignKey("events.position"), nullable=True),
    Column("destroyed", INTEGER, ForeignKey("events.position"), nullable=True),
    Index("ix_record_locks_made", "made", sqlite_where=IN_USE, postgresql_where=IN_USE),
    sqlite_strict=True,
)
# The private seed of a lock, sealed once under each master key in use. A rotation adds rows and never writes over one.
lock_seals = Table(
    "lock_seals",
    metadata,
    Column("record", Identifier(RecordId), primary_key=True),
    Column("version", INTEGER, primary_key=True, autoincrement=False),
    Column("master_key_version", INTEGER, ForeignKey("master_keys.version"), primary_key=True, autoincrement=False),
    Column("sealed_seed", BYTES, nullable=False),
    ForeignKeyConstraint(["record", "version"], ["record_locks.record", "record_locks.version"]),
    Index(None, "master_key_version"),
    sqlite_strict=True,
)
lock_statements = Table(
    "lock_statements",
    metadata,
    Column("hash", Identifier(StatementHash), ForeignKey("statements.hash"), primary_key=True),
    Column("record", Identifier(RecordId), nullable=False),
    Column("version", INTEGER, nullable=False),
    Column("expires", INTEGER, nullable=False),
    Column("event", INTEGER, ForeignKey("events.position"), nullable=False),
    ForeignKeyConstraint(["record", "version"], ["record_locks.record", "record_locks.version"]),
    UniqueConstraint("record", "event"),
    sqlite_strict=True,
)
# A row may come before the compartment statement that it names: the patient stages keys, reads them back, publishes.
# `device` brought it at `kept_at`: what is staged goes after a day, or with the device.
sealed_keys = Table(
    "sealed_keys",
    metadata,
    Column("compartment_statement", Identifier(StatementHash), primary_key=True),
    Column("grant", BYTES, primary_key=True),
    Column("reader_statement", Identifier(StatementHash), ForeignKey("identities.hash"), primary_key=True),
    Column("record", Identifier(RecordId), ForeignKey("people.identity"), nullable=False),
    Column("sealed", BYTES, nullable=False),
    Column("device", Identifier(StatementHash), ForeignKey("devices.hash"), nullable=False),
    Column("kept_at", INTEGER, nullable=False),
    Index(None, "record", "grant"),
    Index(None, "grant"),
    sqlite_strict=True,
)
# `root_fingerprint` is that of the root key that signed, which proves that whoever brought the statement holds it; its
# newest, by `event`, says whom it recovers.
recoveries = Table(
    "recoveries",
    metadata,
    Column("hash", Identifier(StatementHash), ForeignKey("statements.hash"), primary_key=True),
    Column("identity", Identifier(IdentityHash), ForeignKey("people.identity"), nullable=False),
    Column("identity_statement", Identifier(StatementHash), ForeignKey("identities.hash"), nullable=False),
    Column("root_fingerprint", Identifier(Fingerprint), nullable=False),
    Column("event", INTEGER, ForeignKey("events.position"), nullable=False),
    UniqueConstraint("identity_statement"),
    Index(None, "identity"),
    Index(None, "root_fingerprint", "event"),
    sqlite_strict=True,
)
# Jobs of rotation: how far each is, and each of its shards. `parameters` is canonical JSON, `report` a statement.
jobs = Table(
    "jobs",
    metadata,
    Column("job", Identifier(JobId), primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("phase", TEXT, nullable=False),
    Column("parameters", TEXT, nullable=False),
    Column("by", Identifier(Fingerprint), nullable=True),
    Column("old_version", INTEGER, ForeignKey("master_keys.version"), nullable=True),
    Column("new_version", INTEGER, ForeignKey("master_keys.version"), nullable=True),
    Column("total", INTEGER, nullable=False),
    Column("begun", INTEGER, ForeignKey("events.position"), nullable=False),
    Column("begun_at", INTEGER, nullable=False),
    Column("phase_at", INTEGER, nullable=False),
    Column("ended_at", INTEGER, nullable=True),
    Column("problem", TEXT, nullable=True),
    Column("report", TEXT, nullable=True),
    sqlite_strict=True,
)
job_shards = Table(
    "job_shards",
    metadata,
    Column("job", Identifier(JobId), ForeignKey("jobs.job"), primary_key=True),
    Column("phase", TEXT, primary_key=True),
    Column("shard", INTEGER, primary_key=True, autoincrement=False),
    Column("after", BYTES, nullable=False),
    Column("done", INTEGER, nullable=False),
    Column("skipped", INTEGER, nullable=False),
    Column("is_done", INTEGER, nullable=False),
    sqlite_strict=True,
)
job_skips = Table(
    "job_skips",
    metadata,
    Column("job", Identifier(JobId), ForeignKey("jobs.job"), primary_key=True),
    Column("record", Identifier(RecordId), primary_key=True),
    Column("version", INTEGER, primary_key=True, autoincrement=False),
    Column("reason", TEXT, nullable=False),
    sqlite_strict=True,
)
# Programs that run on this database now, and which master keys each could load: none is left behind by a flip.
processes = Table(
    "processes",
    metadata,
    Column("process", Identifier(ProcessId), primary_key=True),
    Column("program", TEXT, nullable=False),
    Column("started_at", INTEGER, nullable=False),
    Column("seen_at", INTEGER, nullable=False),
    sqlite_strict=True,
)
process_keys = Table(
    "process_keys",
    metadata,
    Column("process", Identifier(ProcessId), ForeignKey("processes.process"), primary_key=True),
    Column("master_key_version", INTEGER, ForeignKey("master_keys.version"), primary_key=True, autoincrement=False),
    Column("problem", TEXT, nullable=True),
    sqlite_strict=True,
)
