"""Runs a SPIN model: what holds in every run, and what does not."""

import subprocess
from pathlib import Path

from tests.support.programs import require_program


class Model:
    """A Promela model, compiled once with the given definitions."""

    def __init__(self, source: Path, folder: Path, *definitions: str) -> None:
        """Generate and compile the verifier of `source` in the empty `folder`."""
        spin = require_program("spin", package="spin")
        compiler = require_program("gcc", package="gcc")
        self._folder = folder
        defines = [f"-D{definition}" for definition in definitions]
        _run([spin, *defines, "-a", str(source)], folder)
        _run([compiler, "-O2", "-w", "-o", "pan", "pan.c"], folder)

    def count_errors(self, claim: str) -> int:
        """How many errors the search for counterexamples to `claim` finds: 0 means that it holds in every run.

        Raises `AssertionError` if the search did not come to its end.
        """
        printed = _run(["./pan", "-a", "-m100000", "-N", claim], self._folder)
        if "max search depth too small" in printed or "out of memory" in printed:
            raise AssertionError(f"the search was cut short:\n{printed}")
        for line in printed.splitlines():
            if "errors: " in line:
                return int(line.rpartition("errors: ")[2])
        raise AssertionError(f"the verifier said nothing of errors:\n{printed}")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout
