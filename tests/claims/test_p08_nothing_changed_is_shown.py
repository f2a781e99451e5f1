"""P08, as far as it needs no log: what was swapped, cut, moved or taken back on the servers' own disks is refused.

Damage on the way is attacks 7 to 12 in `tests/attacks/test_is_this_it.py`; here the databases and the store themselves
are changed, below the programs. What only a log with witnesses shows (omission to who saw nothing before, freeze at an
old state) is unproven: see `threat-model/limits.md`.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.errors import CarnetError
from carnet_protocol.ids import DocumentId
from tests.support.story import Story

Change = Callable[[sqlite3.Connection], None]


@contextmanager
def _changed(story: Story, change: Change) -> Iterator[None]:
    """The vault's database, changed below the program, and put back."""
    path = story.world.root / "vault.sqlite"
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(":memory:")) as before:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.backup(before)
        change(connection)
        connection.commit()
        try:
            yield
        finally:
            before.backup(connection)


def _swap(table: str, column: str, where: str = "1") -> Change:
    """Give every row of `table` the value that another one has."""

    def change(connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {where} ORDER BY rowid").fetchall()  # noqa: S608  ours
        update = _update(table, column)
        values = [value for _, value in rows]
        assert len(set(values)) > 1
        for rowid, value in rows:  # where no two may be alike, none may be so in between either
            connection.execute(update, (value[::-1], rowid))
        for (rowid, _), value in zip(rows, [*values[1:], values[0]], strict=True):
            connection.execute(update, (value, rowid))

    return change


def _swap_roles(connection: sqlite3.Connection) -> None:
    """Give each version's content capsule the place of its metadata capsule, and the other way round."""
    rows = connection.execute("SELECT rowid, document, role, sealed FROM capsules").fetchall()
    others = {(document, role): sealed for _, document, role, sealed in rows}
    for rowid, document, role, _ in rows:
        other = others[document, "content" if role == "metadata" else "metadata"]
        connection.execute("UPDATE capsules SET sealed = ? WHERE rowid = ?", (other, rowid))


def _flip(table: str, column: str) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()  # noqa: S608  names of ours
        update = _update(table, column)
        for rowid, value in rows:
            damaged = value[:-20] + bytes([value[-20] ^ 1]) + value[-19:]
            connection.execute(update, (damaged, rowid))

    return change


def _update(table: str, column: str) -> str:
    return f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608  names of ours


def _opens(story: Story, document: DocumentId) -> bytes | None:
    try:
        opened = open_document(story.bob, story.access(story.bob), document)
        content = b"".join(opened.stream())
        opened.check()
    except CarnetError:
        return None
    return content


def _titles(story: Story) -> set[str]:
    try:
        listing = list_documents(story.bob, story.access(story.bob))
    except CarnetError:
        return set()
    return {document.metadata.title for document in listing.documents}


def test_unchanged_it_is_shown(story: Story) -> None:
    assert _titles(story) == {"letter", "result"}
    assert _opens(story, story.letter) == b"letter content"


@pytest.mark.parametrize(
    "change",
    [
        _swap("versions", "metadata"),
        _flip("versions", "metadata"),
        _swap("versions", "manifest"),
        _swap("capsules", "sealed", "role = 'metadata'"),
        _flip("capsules", "sealed"),
        _swap_roles,
    ],
    ids=["metadata swapped", "metadata flipped", "manifests swapped", "capsules swapped", "capsules flipped", "roles"],
)
def test_no_change_in_the_database_shows_a_title(story: Story, change: Change) -> None:
    with _changed(story, change):
        assert _titles(story) < {"letter", "result"}
    assert _titles(story) == {"letter", "result"}


@pytest.mark.parametrize(
    "change",
    [
        _swap("versions", "object"),
        _swap("versions", "leaf_digests"),
        _flip("versions", "leaf_digests"),
        _swap("capsules", "sealed", "role = 'content'"),
        _flip("capsules", "sealed"),
    ],
    ids=["objects swapped", "leaf lists swapped", "leaf lists flipped", "capsules swapped", "capsules flipped"],
)
def test_no_change_in_the_database_opens_content(story: Story, change: Change) -> None:
    with _changed(story, change):
        assert _opens(story, story.letter) is None
    assert _opens(story, story.letter) == b"letter content"


def test_no_change_in_the_store_is_opened(story: Story) -> None:
    objects = sorted(path for path in (story.world.root / "objects" / "objects").rglob("*") if path.is_file())
    bodies = {path: path.read_bytes() for path in objects}
    assert len(objects) == 3

    def write(changed: dict[Path, bytes]) -> None:
        for path, body in changed.items():
            path.chmod(0o600)
            path.write_bytes(body)
            path.chmod(0o400)

    for change in (
        lambda body: body[:-1],
        lambda body: body[:4_000] + bytes([body[4_000] ^ 1]) + body[4_001:],
        lambda body: bytes(len(body)),
        lambda body: body[16_456:] + body[:16_456],
    ):
        write({path: change(body) for path, body in bodies.items()})
        assert _opens(story, story.letter) is None
    # What is added behind the end that the author signed is never asked for.
    write({path: body + b"\0" for path, body in bodies.items()})
    assert _opens(story, story.letter) == b"letter content"
    rotated = [bodies[path] for path in [*objects[1:], objects[0]]]
    write(dict(zip(objects, rotated, strict=True)))
    assert _opens(story, story.letter) is None
    write(bodies)
    assert _opens(story, story.letter) == b"letter content"
