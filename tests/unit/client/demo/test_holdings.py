"""What a server holds is told by kinds, counts, sizes and first bytes, and by nothing that could be read."""

import sqlite3
from contextlib import closing
from pathlib import Path

from carnet.demo.holdings import FIRST_BYTES, list_holdings


def make_server(folder: Path) -> Path:
    (folder / "objects" / "objects" / "ab").mkdir(parents=True)
    (folder / "objects" / "format").write_text("1")
    (folder / "objects" / "objects" / "ab" / "one").write_bytes(b"\x01" * 100)
    (folder / "objects" / "objects" / "ab" / "two").write_bytes(b"\x02" * 300)
    with closing(sqlite3.connect(folder / "database.sqlite")) as connection:
        connection.execute("CREATE TABLE capsules (id BLOB, sealed BLOB, number INTEGER) STRICT")
        connection.execute("CREATE TABLE other (value TEXT, empty BLOB) STRICT")
        connection.executemany(
            "INSERT INTO capsules VALUES (?, ?, 7)", [(bytes(16), bytes([n]) * 2320) for n in (1, 2)]
        )
        connection.execute("INSERT INTO other VALUES (?, NULL)", ("x" * 90,))
        connection.commit()
    return folder


def test_kinds_are_counted_and_measured(tmp_path: Path) -> None:
    holdings = {one.kind: one for one in list_holdings(make_server(tmp_path))}
    assert list(holdings) == ["sealed documents", "keys in both locks", "other.value", "ids, hashes, salts, keys"]
    documents = holdings["sealed documents"]
    assert (documents.count, documents.smallest, documents.largest) == (2, 100, 300)
    assert documents.first == b"\x02" * FIRST_BYTES
    assert (holdings["keys in both locks"].count, holdings["keys in both locks"].largest) == (2, 2320)
    assert holdings["ids, hashes, salts, keys"].count == 2


def test_empty_server_holds_nothing(tmp_path: Path) -> None:
    assert list_holdings(tmp_path) == []
