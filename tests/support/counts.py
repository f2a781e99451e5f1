"""Counts the tests that passed, folder by folder, and in CI fails the run if any test was left out.

Left out means: skipped, expected to fail, deselected, in a file of which nothing passed, or in a folder that is empty.
Each of these makes a run green that proves less than it seems to. On a person's own machine a missing database may well
skip a test; there the run only says so. CI is where `CI` is true or `CARNET_CI` is 1.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import pytest

FOLDERS = ("unit", "system", "claims", "attacks", "vectors")
NOT_TESTS = ("benchmarks", "support")


def pytest_configure(config: pytest.Config) -> None:
    """Starts to count, in the process that leads and in each worker."""
    config.pluginmanager.register(Tally(config), "carnet-tally")


def is_ci() -> bool:
    """Tells whether this run decides over a change, so that nothing may be left out."""
    return os.environ.get("CARNET_CI") == "1" or os.environ.get("CI", "").lower() in ("true", "1")


class Tally:
    """What became of each test of one run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._passed: set[str] = set()
        self._left_out: dict[str, str] = {}
        self._complaints: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notes a whole file that skips itself."""
        if report.skipped:
            self._left_out[report.nodeid] = "skipped"

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Notes tests that an option or a plugin took away."""
        self._left_out.update((item.nodeid, "deselected") for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes what became of a test; with workers, these reports reach the process that leads."""
        if hasattr(report, "wasxfail"):
            self._left_out[report.nodeid] = "expected to fail"
        elif report.skipped:
            self._left_out[report.nodeid] = "skipped"
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Takes over what a worker noted while collecting, which no report tells."""
        self._left_out.update(getattr(node, "workeroutput", {}).get("carnet_left_out", {}))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hands over the notes of a worker; in the process that leads, turns what was left out into a failure in CI."""
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["carnet_left_out"] = self._left_out
            return
        self._complaints = [f"{what}: {node}" for node, what in sorted(self._left_out.items())]
        self._complaints += missing(self._config.rootpath / "tests", self._passed)
        if (
            is_ci()
            and self._complaints
            and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the counts, always, and in CI what fails the run."""
        counts = Counter(folder_of(node) for node in self._passed)
        terminalreporter.section("passed by folder")
        terminalreporter.line(", ".join(f"{folder} {counts[folder]}" for folder in FOLDERS))
        if is_ci() and self._complaints:
            terminalreporter.section("left out, which fails a run in CI", red=True)
            for complaint in self._complaints:
                terminalreporter.line(complaint)
        elif self._left_out:
            terminalreporter.line(f"{len(self._left_out)} left out; in CI that would fail")


def folder_of(node: str) -> str:
    """Returns the folder of `tests` that the test named `node` stands in."""
    parts = PurePosixPath(node.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else ""


def missing(tests: Path, passed: Iterable[str]) -> list[str]:
    """Returns a complaint for each folder and each file under `tests` of which no test is among the `passed`."""
    files = {node.partition("::")[0] for node in passed}
    folders = {folder_of(file) for file in files}
    there = (path.relative_to(tests.parent).as_posix() for path in sorted(tests.rglob("test_*.py")))
    return [f"nothing passed in: tests/{folder}" for folder in FOLDERS if folder not in folders] + [
        f"nothing passed in: {file}" for file in there if folder_of(file) not in NOT_TESTS and file not in files
    ]
