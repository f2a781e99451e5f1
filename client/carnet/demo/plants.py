"""Needles put on purpose where servers put things, so that a search which misses them is told from a clean server.

In the folder of each server: a row in a database whose write-ahead log was not yet folded in, a line in a log, and a
large file, across the border of two chunks. Each is a scratch file beside the real ones and gone afterwards.
"""

import base64
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from carnet.demo.canaries import Needle
from carnet.samples import make_canary

_OBJECT_BYTES: Final = 1 << 20
_PREFIX: Final = "planted-"


@contextmanager
def planted(folders: Sequence[Path]) -> Iterator[list[Needle]]:
    """Plant three needles in each of `folders`; what is yielded must be found while the block lasts."""
    files: list[Path] = []
    databases: list[sqlite3.Connection] = []
    needles: list[Needle] = []

    def place(folder: Path, what: str) -> tuple[Path, bytes]:
        path = folder / f"{_PREFIX}{secrets.token_hex(4)}"
        files.append(path)
        needle = Needle(f"planted {what} of {folder.name}", make_canary())
        needles.append(needle)
        return path, needle.secret

    try:
        for folder in folders:
            database, secret = place(folder, "row")
            databases.append(_plant_row(database, secret))
            log, secret = place(folder, "line")
            log.write_text(f'{{"event":"planted","value":"{secret.hex()}"}}\n')
            file, secret = place(folder, "object")
            _plant_object(file, secret)
        yield needles
    finally:
        for connection in databases:
            connection.close()
        for path in files:
            for left in path.parent.glob(path.name + "*"):
                left.unlink()


def _plant_row(path: Path, secret: bytes) -> sqlite3.Connection:
    """A database with `secret` in its write-ahead log, open until it is closed."""
    connection = sqlite3.connect(path)
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA wal_autocheckpoint=0")
        cursor.execute("CREATE TABLE planted (value BLOB)")
        cursor.execute("INSERT INTO planted VALUES (?)", (secret,))
    connection.commit()
    return connection


def _plant_object(path: Path, secret: bytes) -> None:
    encoded = base64.b64encode(b"?" + secret)
    before = _OBJECT_BYTES - len(encoded) // 2
    path.write_bytes(secrets.token_bytes(before) + encoded + secrets.token_bytes(_OBJECT_BYTES))
