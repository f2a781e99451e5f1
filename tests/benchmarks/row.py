"""A row of the table of benchmarks: what is promised, and what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol


class Bound(Enum):
    """On which side of the mark a figure must lie."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: `name` on the command line, `what` in the table, and the mark that a figure must reach."""

    name: str
    what: str
    bound: Bound
    mark: float
    unit: str

    def is_met(self, value: float) -> bool:
        """Tells whether `value` is on the right side of the mark."""
        return value >= self.mark if self.bound is Bound.AT_LEAST else value <= self.mark


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured for the row called `name`; `detail` says from which figures."""

    name: str
    value: float
    detail: str


class NotMeasuredError(Exception):
    """Something is missing on this machine; the message is the sentence that says what to install."""


class Benchmark(Protocol):
    """A module of this folder: rows, and how to measure those of them that were asked for."""

    ROWS: tuple[Row, ...]

    def measure(self, names: frozenset[str], folder: Path) -> Iterator[Measurement | tuple[str, NotMeasuredError]]:
        """Measures the rows called `names`, with `folder` on a real disk to work in."""
