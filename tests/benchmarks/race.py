"""Contestants that write a file, timed in turns.

Whatever else the machine does only ever adds time, so each contestant's figure is its best round; the rounds of all are
mixed, so that a slow minute hits all of them. Before each round the source is read once, so that it lies in the page
cache, and a file as large as the result is written and removed, so that the memory that the result will take is at
hand: a virtual machine gives freed memory back to its host, and to get it anew costs up to ten times the copy itself.
"""

import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = bytes(1 << 20)


@dataclass(frozen=True)
class Contestant:
    """`run` reads `source` and makes `result`, a file or a folder; `prepare` is not timed."""

    source: Path
    result: Path
    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    rounds: int = 9
    cores: int | None = None


@dataclass
class Times:
    """The seconds of each round."""

    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The round that was least disturbed."""
        return min(self.seconds)

    def __str__(self) -> str:
        return f"{self.best:.3f} s (median {statistics.median(self.seconds):.3f} of {len(self.seconds)})"


def race(contestants: Mapping[str, Contestant]) -> dict[str, Times]:
    """Times every contestant as often as it asks for, in turns."""
    times = {name: Times() for name in contestants}
    turns = [name for name, contestant in contestants.items() for _ in range(contestant.rounds)]
    random.Random(1).shuffle(turns)
    for name in turns:
        contestant = contestants[name]
        _settle(contestant)
        with _on_cores(contestant.cores):
            start = time.perf_counter()
            contestant.run()
            times[name].seconds.append(time.perf_counter() - start)
        remove(contestant.result)
    return times


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _settle(contestant: Contestant) -> None:
    remove(contestant.result)
    contestant.prepare()
    buffer = bytearray(len(BLOCK))
    with contestant.source.open("rb", buffering=0) as source:
        blocks = 0
        while source.readinto(buffer):
            blocks += 1
    scratch = contestant.source.with_suffix(".scratch")
    with scratch.open("wb", buffering=0) as file:
        for _ in range(blocks + blocks // 8):
            file.write(BLOCK)
    scratch.unlink()


@contextmanager
def _on_cores(count: int | None) -> "Iterator[None]":
    every_core = os.sched_getaffinity(0)
    if count is not None:
        os.sched_setaffinity(0, sorted(every_core)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every_core)
