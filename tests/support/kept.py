"""Everything that two live servers keep: databases, store, logs, temporary files, and the memory of their processes.

A `Place` knows the folders in which its world lies, as bytes on a disk, and a way to put something there on purpose:
what a search of it does not find counts only if it finds that.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Engine, LargeBinary, MetaData, Table, inspect, text

from carnet.demo.canaries import Needle
from carnet.samples import make_canary
from tests.support.live import LiveWorld
from tests.support.surfaces import inflate, spellings

_PIECE: Final = 1 << 20
_PLANTED: Final = Table("planted", MetaData(), Column("value", LargeBinary))


@dataclass(slots=True)
class Place:
    """Where a live world keeps things: on `disks`, and in a store that `put` and `remove` reach.

    `settle` brings to the disks what is on its way; `collect` makes files, in the folder that it is given, of what lies
    on no disk.
    """

    world: LiveWorld
    disks: list[Path]
    put: Callable[[str, bytes], object]
    remove: Callable[[str], object]
    collect: Callable[[Path], None] = field(default=lambda _: None)
    settle: Callable[[], None] = field(default=lambda: None)

    def folders(self, scratch: Path) -> list[Path]:
        """The folders with every byte that is kept now; what is on no disk as it stands goes to the empty `scratch`."""
        self.settle()
        for name in ("collected", "expanded"):
            (scratch / name).mkdir()
        for server, engine in self.world.engines.items():
            _write_rows(engine, scratch / "collected" / f"rows of the {server}")
        self.collect(scratch / "collected")
        folders = [*self.disks, scratch / "collected"]
        _expand(folders, scratch / "expanded")
        return [*folders, scratch / "expanded"]

    @contextlib.contextmanager
    def planted(self) -> Iterator[list[Needle]]:
        """Needles that lie in every spelling in both databases, both folders and the store, while the block lasts."""
        needles: list[Needle] = []

        def plant(where: str) -> list[bytes]:
            needles.append(Needle(f"planted in the {where}", make_canary()))
            return list(spellings(needles[-1].secret).values())

        with contextlib.ExitStack() as cleared:
            for server, engine in self.world.engines.items():
                cleared.enter_context(_planted_rows(engine, plant(f"database of the {server}")))
            for server, folder in self.world.folders().items():
                path = folder / "tmp" / "planted"
                path.write_bytes(b"\n".join(plant(f"folder of the {server}")))
                cleared.callback(path.unlink)
            self.put("planted", b"\n".join(plant("store")))
            cleared.callback(self.remove, "planted")
            yield needles


def keep_uncompressed(engine: Engine) -> None:
    """Tell PostgreSQL to store long values as they are, so that a search of its files sees them."""
    with engine.begin() as connection:
        seen = inspect(connection)
        for table in seen.get_table_names():
            for column in seen.get_columns(table):
                if _is_long(column["type"]):
                    connection.execute(
                        text(f'ALTER TABLE "{table}" ALTER COLUMN "{column["name"]}" SET STORAGE EXTERNAL')
                    )


def dump_memory(pid: int, target: Path) -> int:
    """Write what the process `pid` has in memory to `target`, as a core dump would; return its size in bytes.

    Files that are only read, such as programs and libraries, are left out, and so is what is zero.
    """
    size = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory, target.open("wb") as dump:
        for start, end in _own_memory(Path(f"/proc/{pid}/maps").read_text()):
            for at in range(start, end, _PIECE):
                memory.seek(at)
                try:
                    piece = memory.read(min(_PIECE, end - at))
                except OSError:
                    continue  # given back meanwhile
                if piece.count(0) != len(piece):
                    size += dump.write(piece)
    return size


def _own_memory(maps: str) -> Iterator[tuple[int, int]]:
    for line in maps.splitlines():
        addresses, rights, _, _, inode, *name = line.split(maxsplit=5)
        is_own = inode == "0" and name not in (["[vvar]"], ["[vvar_vclock]"], ["[vsyscall]"])
        if rights.startswith("r") and (is_own or "w" in rights):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)


@contextlib.contextmanager
def _planted_rows(engine: Engine, values: Sequence[bytes]) -> Iterator[None]:
    with engine.begin() as connection:
        _PLANTED.create(connection)
    try:
        if engine.dialect.name == "postgresql":
            keep_uncompressed(engine)
        with engine.begin() as connection:
            # Many bytes that say little: those are the ones that a database would compress.
            connection.execute(_PLANTED.insert(), [{"value": value + bytes(10_000)} for value in values])
        yield
    finally:
        with engine.begin() as connection:
            _PLANTED.drop(connection)


def _write_rows(engine: Engine, target: Path) -> None:
    """Write every value of every row, whole: a database's own files cut a long one into pieces."""
    with engine.connect() as connection, target.open("wb") as file:
        for table in sorted(inspect(connection).get_table_names()):
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608  a name out of the database
                file.writelines(
                    (bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode()) + b"\n" for v in row
                )


def _is_long(kind: Any) -> bool:
    return isinstance(kind, LargeBinary) or kind.python_type is str


def _expand(folders: Sequence[Path], target: Path) -> None:
    """Write what is compressed in the files of `folders` to files in `target`, decompressed."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    for number, path in enumerate(paths):
        data = b""
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile by the server that made it
            data = path.read_bytes()
        texts = inflate.__wrapped__(data)
        if any(texts):
            (target / str(number)).write_bytes(b"\n".join(texts))
