"""The locks name every library once, by version and hash, and tell no address; pyproject.toml agrees with them."""

import importlib.metadata
import itertools
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.small_project import ROOT

SETS = ["runtime", "dev"]
NAMED = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9-]*)(?:\[(?P<extras>[a-z0-9,-]+)\])?==(?P<version>[a-z0-9.]+)"
    r"(?: ; (?P<marker>[^\\]+))? \\$"
)
HASHED = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def read_lock(needs: str) -> dict[str, str]:
    """Returns the text of each library in a lock; fails on a line of another form and on a library without a hash."""
    libraries: dict[str, str] = {}
    name = ""
    for line in (ROOT / "requirements" / f"{needs}.txt").read_text().splitlines():
        if named := NAMED.match(line):
            assert named["name"] not in libraries
            name = named["name"]
            libraries[name] = line
        else:
            assert HASHED.match(line), line
            libraries[name] += line
    assert all("--hash=" in text for text in libraries.values())
    return libraries


@pytest.mark.parametrize("needs", SETS)
def test_lock_holds_nothing_but_versions_and_hashes(needs: str) -> None:
    assert len(read_lock(needs)) > 20


def test_dev_holds_all_of_runtime_in_the_same_versions() -> None:
    runtime, dev = read_lock("runtime"), read_lock("dev")
    assert {name: dev.get(name) for name in runtime} == runtime


def test_locks_agree_with_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    extras = itertools.chain.from_iterable(project["project"]["optional-dependencies"].values())
    ours = [*project["project"]["dependencies"], *extras]
    wanted = {
        "runtime": [*ours, *groups["build"], *project["build-system"]["requires"]],
        "dev": [*ours, *groups["build"], *groups["dev"]],
    }
    for needs, requirements in wanted.items():
        lock = read_lock(needs)
        for requirement in map(Requirement, requirements):
            named = NAMED.match(lock[requirement.name].split("    --hash")[0])
            assert named is not None
            assert requirement.specifier.contains(named["version"]), requirement


def extras_in(lock: dict[str, str]) -> dict[str, set[str]]:
    """Returns the extras that a lock names, for each library."""
    named = {name: NAMED.match(text.split("    --hash")[0]) for name, text in lock.items()}
    return {name: set((line["extras"] or "").split(",")) - {""} for name, line in named.items() if line}


def test_extras_that_libraries_ask_of_each_other_stand_in_the_lock() -> None:
    # Else pip before 23.3 looks for the newest version of them, and fails on the day that there is one
    locked = extras_in(read_lock("dev"))
    missing = []
    for distribution in importlib.metadata.distributions():
        asker = canonicalize_name(distribution.name)
        for requirement in map(Requirement, distribution.requires or ()):
            is_active = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in {"", *locked.get(asker, ())}
            )
            if asker in locked and is_active and requirement.extras - locked[canonicalize_name(requirement.name)]:
                missing.append((asker, str(requirement)))
    assert missing == []
