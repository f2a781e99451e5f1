"""A vector: one scenario of one format, with what a reader must make of it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario; `output` is what an accepting reader finds, None where the input must be refused."""

    format: str
    name: str
    input: dict[str, Any]
    output: dict[str, Any] | None

    def text(self) -> str:
        """The file's text."""
        expected = "refuse" if self.output is None else "accept"
        document = {"expected": expected, "format": self.format, "input": self.input, "scenario": self.name}
        if self.output is not None:
            document["output"] = self.output
        return json.dumps(document, ensure_ascii=True, indent=1, sort_keys=True) + "\n"

    def path(self) -> Path:
        """Where the file lies under the data folder."""
        return Path(self.format) / f"{self.name}.json"


def load_scenarios() -> Iterator[Scenario]:
    """Every scenario on file, by path."""
    for path in sorted(DATA.glob("*/*.json")):
        document = json.loads(path.read_text("ascii"))
        output = document["output"] if document["expected"] == "accept" else None
        yield Scenario(document["format"], document["scenario"], document["input"], output)


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def flip(text: str, position: int = -1) -> str:
    """The base64url `text` with one bit of one byte flipped."""
    data = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    data[position] ^= 1
    return b64(bytes(data))


def cut(text: str) -> str:
    """The base64url `text` without its last byte."""
    return b64(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-1])


def extend(text: str) -> str:
    """The base64url `text` with a zero byte after it."""
    return b64(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) + b"\0")
