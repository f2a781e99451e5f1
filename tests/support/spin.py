"""Runs a SPIN model: what holds in every run, and what does not."""

import subprocess
from pathlib import Path
from typing import Final

from tests.support.programs import require_program

_FAIR_WORDS: Final = 3
"""Memory for fairness, in words: enough for more processes than any model has."""


class Model:
    """A Promela model, compiled once with the given definitions."""

    def __init__(self, source: Path, folder: Path, *definitions: str, level: str = "-O1") -> None:
        """Generate and compile the verifier of `source` in the empty `folder`.

        `level` is the compiler's: `-O0` compiles in a third of the time, and searches for three times as long.
        """
        self._spin = require_program("spin", package="spin")
        compiler = require_program("gcc", package="gcc")
        self._source = source
        self._folder = folder
        self._defines = [f"-D{definition}" for definition in definitions]
        self._searches: dict[tuple[str, ...], str] = {}
        _run([self._spin, *self._defines, "-a", str(source)], folder)
        _run([compiler, level, "-w", f"-DNFAIR={_FAIR_WORDS}", "-o", "pan", "pan.c"], folder)

    def count_errors(self, claim: str) -> int:
        """How many errors the search for counterexamples to `claim` finds: 0 means that it holds in every run.

        Raises `AssertionError` if the search did not come to its end.
        """
        return _read_errors(self._search("-N", claim))

    def count_errors_under_fairness(self, claim: str) -> int:
        """Like `count_errors`, in those runs where no process that can go on for ever waits for ever."""
        return _read_errors(self._search("-f", "-N", claim))

    def find_trail(self) -> str:
        """The run that the last search found against its claim, replayed step by step.

        Raises `AssertionError` if it found none.
        """
        trail = self._folder / f"{self._source.name}.trail"
        if not trail.exists():
            raise AssertionError("no trail was written")
        return _run([self._spin, *self._defines, "-t", "-p", "-k", str(trail), str(self._source)], self._folder)

    def list_unreached(self, claim: str) -> frozenset[str]:
        """The steps, by line, that no run has taken when `claim` was searched to the end."""
        marked = [line.partition(f"{self._source.name}:")[2] for line in self._search("-N", claim).splitlines()]
        return frozenset(step for step in marked if ", state " in step and '"-end-"' not in step)

    def _search(self, *options: str) -> str:
        if options not in self._searches:
            printed = _run(["./pan", "-a", "-m1000000", *options], self._folder)
            if "max search depth too small" in printed or "out of memory" in printed:
                raise AssertionError(f"the search was cut short:\n{printed}")
            self._searches[options] = printed
        return self._searches[options]


def _read_errors(printed: str) -> int:
    for line in printed.splitlines():
        if "errors: " in line:
            return int(line.rpartition("errors: ")[2])
    raise AssertionError(f"the verifier said nothing of errors:\n{printed}")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout
