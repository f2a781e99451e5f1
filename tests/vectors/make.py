"""Makes the vectors of every format: `./run vectors` writes them, `./run vectors --check` compares.

Vectors are never removed: `--check` fails where a file on disk is not made any more, and writing keeps it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.vectors.formats import answers, boxes, documents, encodings, logs, persons, requests, secrets, statements
from tests.vectors.scenario import DATA, Scenario


def make_scenarios() -> Iterator[Scenario]:
    """Every scenario of every format."""
    for module in (encodings, statements, persons, boxes, documents, secrets, requests, answers, logs):
        yield from module.make()


def check() -> list[str]:
    """What differs between the files and what is made now: one line each."""
    made = {DATA / scenario.path(): scenario.text() for scenario in make_scenarios()}
    on_file = set(DATA.glob("*/*.json"))
    lines = [f"missing: {path.relative_to(DATA)}" for path in sorted(made.keys() - on_file)]
    lines += [f"not made any more: {path.relative_to(DATA)}" for path in sorted(on_file - made.keys())]
    lines += [
        f"differs: {path.relative_to(DATA)}"
        for path in sorted(made.keys() & on_file)
        if path.read_text("ascii") != made[path]
    ]
    return lines


def write() -> int:
    """Write every scenario; return how many."""
    count = 0
    names: set[Path] = set()
    for scenario in make_scenarios():
        path = DATA / scenario.path()
        if path in names:
            raise AssertionError(f"internal: two scenarios are called {scenario.path()}")
        names.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scenario.text(), "ascii")
        count += 1
    return count


def main(arguments: list[str]) -> int:
    """Write, or compare with `--check`; exit code 1 where something differs."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: make.py [--check]\n")
        return 2
    if arguments:
        lines = check()
        sys.stdout.write("".join(f"{line}\n" for line in lines) or "the vectors are as they should be\n")
        return 1 if lines else 0
    sys.stdout.write(f"{write()} vectors written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
