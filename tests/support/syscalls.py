"""System calls of a program that runs, counted, and then failed one by one, or fatal to it as it enters them.

with traced(pid, file, CALLS):                # of a run that goes well
    ...
for point in points(count_calls(file), KILL):
    with point.set(pid):                      # the program dies at that call
        ...

strace counts the calls of each thread by itself: the n-th is that of the thread which comes to n first, and an error
comes once in every thread that comes so far. A kill is not a power cut: unsynced bytes survive it.
"""

import collections
import contextlib
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.support.programs import require_program

KILL: Final = "signal=KILL"
EIO: Final = "error=EIO"
ENOSPC: Final = "error=ENOSPC"
PATIENCE_SECONDS: Final = 30
_CALL: Final = re.compile(r"^\d+ +(\w+)\(", re.ASCII)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`-th `call`, which comes to grief by `fault`."""

    call: str
    number: int
    fault: str
    is_lasting: bool = False
    """Whether every later call comes to grief too."""

    def set(self, pid: int, paths: Sequence[Path] = ()) -> AbstractContextManager[None]:
        """Have the program come to grief here, where calls on `paths` count; on none: all."""
        inject = f"inject={self.call}:{self.fault}:when={self.number}{'+' if self.is_lasting else ''}"
        return _attached(pid, paths, "-o", "/dev/null", "-e", f"trace={self.call}", "-e", inject)


def traced(pid: int, file: Path, calls: Iterable[str], paths: Sequence[Path] = ()) -> AbstractContextManager[None]:
    """Note in `file` which of `calls` the program makes, on `paths` if there are any."""
    return _attached(pid, paths, "-o", str(file), "-e", f"trace={','.join(calls)}")


def count_calls(file: Path) -> dict[str, int]:
    """How often each call was made by the thread that made it most often."""
    by_thread: collections.Counter[tuple[str, str]] = collections.Counter()
    for line in file.read_text().splitlines():
        found = _CALL.match(line)
        if found is not None:
            by_thread[found[1], line.split(maxsplit=1)[0]] += 1
    counts: dict[str, int] = {}
    for (call, _), count in by_thread.items():
        counts[call] = max(count, counts.get(call, 0))
    return counts


def points(counts: Mapping[str, int], fault: str) -> list[Point]:
    """Every point of a run, call by call."""
    return [Point(call, number, fault) for call in sorted(counts) for number in range(1, counts[call] + 1)]


def spread(every: Sequence[T], count: int) -> list[T]:
    """At most `count` of `every`, from the first to the last."""
    if len(every) <= count:
        return list(every)
    return [every[index * (len(every) - 1) // (count - 1)] for index in range(count)]


@contextlib.contextmanager
def _attached(pid: int, paths: Sequence[Path], *words: str) -> Iterator[None]:
    """Every thread of the program under strace; strace lets go at the end of the block."""
    strace = require_program("strace", package="strace")
    where = [word for path in paths for word in ("-P", str(path))]
    tracer = subprocess.Popen([strace, "-f", "-qq", *where, *words, "-p", str(pid)])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _is_traced(pid, by=tracer.pid):
            assert tracer.poll() is None, "strace may not attach to a program of its own user here"
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.005)
        yield
    finally:
        tracer.terminate()  # it lets go of what lives
        tracer.wait(PATIENCE_SECONDS)


def _is_traced(pid: int, *, by: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/status")
    return all(f"\nTracerPid:\t{by}\n" in status.read_text() for status in threads)
