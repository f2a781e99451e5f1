"""Fills a key service's PostgreSQL database with record locks, as many as one likes, by COPY.

python -m tests.support.many_locks SETTINGS COUNT

Each has a patient and a seal of its own under the active master key, which opens. What the locks share, for the sake of
speed, are a few hundred key pairs, and statements that nobody reads: so `fsck` is not for such a database.
"""

import hashlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy.engine import make_url

from carnet_keyservice.locks.keys import derive_aad
from carnet_keyservice.master_keys import FileProvider
from carnet_keyservice.sealing import Secret, make_lock_seed, open_lock_key, seal_at_rest
from carnet_keyservice.settings import PREFIX, KeyServiceSettings
from carnet_protocol.ids import RecordId
from carnet_protocol.suites import WRITE_SUITE
from carnet_server.settings import load_settings

KEY_PAIRS: Final = 256
_TABLES: Final = {
    "people": "COPY people (identity, role, current, serial, root_key) FROM STDIN WITH (FORMAT BINARY)",
    "record_locks": "COPY record_locks (record, version, suite, lock_key, made) FROM STDIN WITH (FORMAT BINARY)",
    "lock_seals": "COPY lock_seals (record, version, master_key_version, sealed_seed) FROM STDIN WITH (FORMAT BINARY)",
}
_TYPES: Final = {
    "people": ("bytea", "text", "bytea", "int8", "bytea"),
    "record_locks": ("bytea", "int8", "int8", "bytea", "int8"),
    "lock_seals": ("bytea", "int8", "int8", "bytea"),
}


def fill_locks(database_url: str, master_key: Secret, *, version: int, count: int) -> None:
    """Add `count` record locks, sealed under `master_key`, to a database that the key service has served once."""
    url = make_url(database_url)
    seeds = [make_lock_seed() for _ in range(KEY_PAIRS)]
    publics = [open_lock_key(seed, WRITE_SUITE).public_key for seed in seeds]
    salt = secrets.token_bytes(16)
    records = [hashlib.sha256(salt + number.to_bytes(8, "big")).digest() for number in range(count)]
    where = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(where) as connection:
        first = connection.execute("SELECT hash FROM statements LIMIT 1").fetchone()
        if first is None:
            raise SystemExit("somebody must be known here first: one statement is everybody's")
        (statement,) = first

        def rows(table: str) -> Iterator[tuple[object, ...]]:
            for number, record in enumerate(records):
                match table:
                    case "people":
                        yield record, "patient", statement, 0, record
                    case "record_locks":
                        yield record, 1, int(WRITE_SUITE), publics[number % KEY_PAIRS], 0
                    case _:
                        aad = derive_aad(RecordId(record), 1, version)
                        yield record, 1, version, seal_at_rest(master_key, seeds[number % KEY_PAIRS], aad=aad)

        for table, statement_text in _TABLES.items():
            with connection.cursor().copy(statement_text.encode()) as copy:
                copy.set_types(_TYPES[table])
                for row in rows(table):
                    copy.write_row(row)
        connection.commit()
        connection.autocommit = True
        for table in _TABLES:
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def main(settings_file: str, count: str) -> None:
    """Fill the database of a key service whose master key 1 is in a file."""
    settings = load_settings(KeyServiceSettings, file=Path(settings_file), environment={}, prefix=PREFIX, arguments={})
    key = FileProvider(settings.keys_dir).load(1, b"")
    fill_locks(settings.database, key, version=1, count=int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
