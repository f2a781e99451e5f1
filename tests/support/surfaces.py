"""Every byte that a server stores, logs and sends, by kind of place; and a scratch place of each kind to plant in.

A search that finds nothing proves nothing by itself: first it has to find what was planted in a place of the same kind,
in the same spelling.
"""

import base64
import gzip
import io
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path

from carnet.demo.canaries import Needle, spell
from carnet.transport import ServerName
from carnet_server.logs import make_log
from tests.support.whole_story import WholeStory

KINDS = ("database", "store", "log", "traffic")
_COMPRESSED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_MOST_BYTES = 1 << 20


def surface(whole: WholeStory, server: ServerName, kind: str) -> bytes:
    """Every byte of `kind` that `server` has; the store is the vault's."""
    match kind:
        case "database":
            name = "vault" if server is ServerName.VAULT else "keyservice"
            return b"\n".join(path.read_bytes() for path in sorted(whole.root.glob(f"{name}.sqlite*")))
        case "store":
            paths = (path for path in sorted((whole.root / "objects").rglob("*")) if path.is_file())
            return b"\n".join(str(path).encode() + b"\n" + path.read_bytes() for path in paths)
        case "log":
            return whole.logs()[str(server)]
        case "traffic":
            return b"\n".join(exchange.bytes_seen() for exchange in whole.exchanges if exchange.server is server)
        case _:
            raise AssertionError(kind)


def scratch(folder: Path, kind: str, data: bytes) -> bytes:
    """Every byte of a place of `kind`, made in the empty `folder`, which holds `data`."""
    match kind:
        case "database":
            path = folder / "scratch.sqlite"
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("CREATE TABLE planted (value BLOB)")
                connection.execute("INSERT INTO planted VALUES (?)", (data,))
                connection.commit()
                found = b"\n".join(path.read_bytes() for path in sorted(folder.glob("scratch.sqlite*")))
            for path in folder.glob("scratch.sqlite*"):
                path.unlink()
            return found
        case "store":
            path = folder / "object"
            path.write_bytes(bytes(range(256)) * 8 + data + bytes(range(256)) * 8)
            return path.read_bytes()
        case "log":
            stream = io.StringIO()
            make_log(stream, "debug").info("answer", route=data.decode("latin-1"))
            # What is not plain is left out of a log; what is, is there.
            return stream.getvalue().encode() if data.isascii() and data.decode().isprintable() else data
        case "traffic":
            return json.dumps({"sealed": data.decode("latin-1")}).encode("latin-1") + b"\n" + data
        case _:
            raise AssertionError(kind)


def spellings(canary: bytes) -> dict[str, bytes]:
    """How programs write `canary` down: as it is, in hexadecimal, base64, UTF-16, compressed, and so on."""
    written = spell(Needle("canary", canary))
    return written | {
        "zlib": zlib.compress(b"before " + canary + b" after"),
        "gzip": gzip.compress(canary * 3),
        "base64 of all": base64.b64encode(b"?" + canary),
    }


def finder(canary: bytes) -> Callable[[bytes], list[str]]:
    """A search for `canary` in every spelling, in what is compressed as well."""
    patterns = spell(Needle("canary", canary))

    def find(data: bytes) -> list[str]:
        found = [name for name, pattern in patterns.items() if pattern in data]
        return found + [f"{name}, compressed" for text in inflate(data) for name in patterns if patterns[name] in text]

    return find


@lru_cache(maxsize=16)
def inflate(data: bytes) -> tuple[bytes, ...]:
    """What may be compressed in `data`, decompressed."""
    return tuple(_inflate(data))


def _inflate(data: bytes) -> Iterator[bytes]:
    for match in _COMPRESSED.finditer(data):
        expander = zlib.decompressobj(47)
        try:
            yield expander.decompress(data[match.start() : match.start() + _MOST_BYTES], _MOST_BYTES)
        except zlib.error:
            continue
