"""Searching every byte that a server keeps for what it must never hold.

A needle is searched in the spellings in which programs write bytes down: as it is, in hexadecimal, in base64 (at each
of its three alignments, both alphabets), in UTF-16, escaped as in JSON and in addresses. A search that finds nothing
proves nothing by itself, so `plant` first puts needles where servers put things, and they must all be found.
"""

import base64
import json
import os
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 20
MOST_SPELLINGS: Final = 13
SHORTEST_NEEDLE: Final = 8
"""A shorter one would be found by chance."""


@dataclass(frozen=True, slots=True)
class Needle:
    """Something secret that is searched for: `secret` is its UTF-8, `name` says what it is without saying it."""

    name: str
    secret: bytes

    def __post_init__(self) -> None:
        """Check that finding it would mean something."""
        if len(self.secret) < SHORTEST_NEEDLE:
            raise AssertionError("internal: a needle that is found by chance")

    def __repr__(self) -> str:
        """No secret."""
        return f"Needle({self.name!r})"


@dataclass(frozen=True, slots=True)
class Finding:
    """A needle in a file: where, which, and in which spelling."""

    path: Path
    offset: int
    needle: str
    spelling: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a search read and found."""

    files: int
    size: int
    findings: tuple[Finding, ...]


def spell(needle: Needle) -> dict[str, bytes]:
    """Every spelling of `needle` that is searched for, by its name."""
    secret = needle.secret
    text = secret.decode("utf-8", errors="surrogateescape")
    spellings = {
        "plain": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "JSON": json.dumps(text)[1:-1].encode(),
        "URL": urllib.parse.quote(secret).encode(),
    }
    spellings |= _spell_base64(secret)
    if text.isprintable():
        spellings |= {"UTF-16LE": text.encode("utf-16-le"), "UTF-16BE": text.encode("utf-16-be")}
    by_spelling: dict[bytes, str] = {}
    for name, spelling in spellings.items():
        by_spelling.setdefault(spelling, name)
    return {name: spelling for spelling, name in by_spelling.items()}


def search(folders: Sequence[Path], needles: Sequence[Needle]) -> Search:
    """Read every byte of every file under `folders` and look for every spelling of `needles`, names of files too."""
    patterns = _Patterns(needles)
    findings: list[Finding] = []
    files = size = 0
    for path in _files(folders):
        files += 1
        base = size
        in_name = patterns.find_in(os.fsencode(path.name))
        findings += [Finding(path, 0, what, f"{how}, in the file's name") for what, how, _ in in_name]
        for start, chunk in _chunks(path, patterns.overlap):
            size = max(size, base + start + len(chunk))
            findings += [Finding(path, start + at, what, how) for what, how, at in patterns.find_in(chunk)]
    return Search(files, size, tuple(dict.fromkeys(findings)))


class _Patterns:
    """The spellings of all needles, by the smallest alphabet that each is written in.

    What is written in a small alphabet is first looked for in the characters of that alphabet alone: what stands
    together in a text still does once everything else is taken out, and of encrypted bytes little is left.
    """

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._by_alphabet: dict[bytes, list[tuple[str, str, bytes]]] = {alphabet: [] for alphabet in _ALPHABETS}
        self.overlap = 0
        for needle in needles:
            for how, spelling in spell(needle).items():
                alphabet = next(one for one in _ALPHABETS if set(spelling) <= set(one))
                self._by_alphabet[alphabet].append((needle.name, how, spelling))
                self.overlap = max(self.overlap, len(spelling) - 1)

    def find_in(self, chunk: bytes) -> Iterator[tuple[str, str, int]]:
        """The needle, the spelling and the place of each pattern in `chunk`."""
        for alphabet, patterns in self._by_alphabet.items():
            if not patterns:
                continue
            rest = chunk.translate(None, delete=bytes(_EVERY - set(alphabet)))
            for what, how, spelling in patterns:
                if spelling in rest and (at := chunk.find(spelling)) >= 0:
                    yield what, how, at


_EVERY: Final = frozenset(range(256))
_HEX: Final = b"0123456789abcdef"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_ALPHABETS: Final = (_HEX, _HEX.upper(), _BASE64, bytes(range(0x20, 0x7F)), bytes(range(256)))


def _spell_base64(secret: bytes) -> dict[str, bytes]:
    """The characters of base64 that `secret` alone decides, wherever in a longer text of bytes it begins."""
    spellings: dict[str, bytes] = {}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret + bytes(3))
        inside = encoded[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
        spellings[f"base64+{shift}"] = inside
        spellings[f"base64url+{shift}"] = inside.replace(b"+", b"-").replace(b"/", b"_")
    return spellings


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _chunks(path: Path, overlap: int) -> Iterator[tuple[int, bytes]]:
    """The file at `path` in chunks that fit a processor's cache, each with the end of the one before."""
    tail = b""
    position = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield position - len(tail), tail + piece
            position += len(piece)
            tail = (tail + piece)[-overlap:] if overlap else b""
