"""Measures speed and memory, and says which promises hold: `./run bench [--check] [--only NAME] [--folder DIR]`.

Every figure is a ratio to something measured in the same run, or an absolute bound. README.md says how and why.
"""

import argparse
import os
import platform
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.benchmarks.row import Benchmark, Measurement, NotMeasuredError, Row

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("sealing", "service", "rotation", "master_rotation", "jobs")


def main() -> int:
    """Runs what was asked for, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="fail if any row misses its mark or cannot be measured")
    parser.add_argument("--only", metavar="NAME", help="measure only the rows whose name contains NAME")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where to work: a real disk with 6 GiB to spare")
    parser.add_argument("--list", action="store_true", help="name the rows, measure nothing")
    arguments = parser.parse_args()
    benchmarks: list[Benchmark] = [import_module(f"tests.benchmarks.{module}") for module in MODULES]
    chosen = {
        row.name: row
        for benchmark in benchmarks
        for row in benchmark.ROWS
        if arguments.only is None or arguments.only in row.name
    }
    if not chosen:
        parser.error(f"no row is called like {arguments.only}: --list names them")
    if arguments.list:
        for row in chosen.values():
            say(f"{row.name:24} {row.what}")
        return 0
    say(f"{len(os.sched_getaffinity(0))} cores, {platform.processor() or platform.machine()}, {platform.platform()}")
    missed = 0
    with tempfile.TemporaryDirectory(prefix=".carnet-bench-", dir=arguments.folder) as folder:
        for benchmark in benchmarks:
            names = frozenset(row.name for row in benchmark.ROWS) & chosen.keys()
            for result in benchmark.measure(names, Path(folder)) if names else ():
                missed += report(chosen, result)
    say(f"{len(chosen)} rows, {missed} missed")
    return 1 if arguments.check and missed else 0


def report(rows: dict[str, Row], result: Measurement | tuple[str, NotMeasuredError]) -> bool:
    """Prints one line of the table; returns whether the row missed its mark."""
    match result:
        case Measurement(name, value, detail):
            row = rows[name]
            is_missed = not row.is_met(value)
            verdict = "MISSED" if is_missed else "met"
            say(f"{name:20} {value:8.2f} {row.unit:5} {row.bound.value} {row.mark:g}  {verdict:6}  {detail}")
            return is_missed
        case (name, reason):
            say(f"{name:20} not measured: {reason}")
            return True


def say(line: str) -> None:
    """Prints `line` now, for runs take minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
