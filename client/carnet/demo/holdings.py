"""What a server holds, as somebody sees it who took its disk: kinds of things, how many, how large, their first bytes.

Nothing is opened or interpreted: tables and columns by the names that the server gave them, files by their folders.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FIRST_BYTES: Final = 8
_ID_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Holding:
    """One kind of thing that a server holds; `first` are the first bytes of one of them."""

    kind: str
    count: int
    smallest: int
    largest: int
    first: bytes


def list_holdings(folder: Path) -> list[Holding]:
    """What lies in the folder of one server: its objects, then what its databases hold, largest kinds first."""
    columns: list[Holding] = []
    for database in sorted(folder.glob("*.sqlite")):
        columns += _columns(database)
    small = [one for one in columns if one.largest <= _ID_BYTES]
    large = sorted((one for one in columns if one.largest > _ID_BYTES), key=lambda one: -one.largest)
    return [*_objects(folder / "objects" / "objects"), *large, *_together(small)]


def _together(holdings: list[Holding]) -> Iterator[Holding]:
    """All short values in one line."""
    if holdings:
        yield Holding(
            "ids, hashes, salts, keys",
            sum(one.count for one in holdings),
            min(one.smallest for one in holdings if one.smallest),
            max(one.largest for one in holdings),
            holdings[0].first,
        )


def _objects(folder: Path) -> Iterator[Holding]:
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    if files:
        with files[-1].open("rb") as file:
            first = file.read(FIRST_BYTES)
        yield Holding("sealed documents", len(files), files[0].stat().st_size, files[-1].stat().st_size, first)


def _columns(database: Path) -> Iterator[Holding]:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        for (table,) in tables:
            for column in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                yield from _column(connection, table, column[1])


def _column(connection: sqlite3.Connection, table: str, column: str) -> Iterator[Holding]:
    """The values of one column, if it holds bytes or long text."""
    # Names of tables and columns come from the database's own schema.
    held = f'FROM "{table}" WHERE typeof("{column}") = \'blob\' OR length("{column}") > {_ID_BYTES}'
    count, smallest, largest = connection.execute(
        f'SELECT count(*), min(length("{column}")), max(length("{column}")) {held}'
    ).fetchone()
    if not count or not largest:
        return
    (first,) = connection.execute(
        f'SELECT "{column}" FROM "{table}" WHERE length("{column}") = ? LIMIT 1',  # noqa: S608  as said above
        (largest,),
    ).fetchone()
    raw = first if isinstance(first, bytes) else str(first).encode()
    name = f"{table}.{column}"
    yield Holding(_WORDS.get(name, name), count, smallest, largest, raw[:FIRST_BYTES])


_WORDS: Final = {
    "capsules.sealed": "keys in both locks",
    "events.body": "entries of the log",
    "lock_seals.sealed_seed": "record locks, sealed",
    "master_keys.check_value": "check of the master key",
    "personal_capsules.sealed": "keys in both locks, personal",
    "record_locks.lock_key": "record locks, public halves",
    "sealed_keys.sealed": "compartment keys, sealed to readers",
    "statements.jws": "signed statements",
    "versions.leaf_digests": "digests of ciphertext",
    "versions.metadata": "titles and kinds, sealed",
}
