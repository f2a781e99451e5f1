"""A run in CI fails if anything was left out, with workers and without, and every run prints its counts."""

from pathlib import Path

import pytest

from tests.support.counts import FOLDERS, is_ci

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[3]
PASSING = "def test_passes(): pass\n"

LEFT_OUT = {
    "skipped mark": "import pytest\n@pytest.mark.skip(reason='no database')\ndef test_left_out(): pass\n",
    "skipped inside": "import pytest\ndef test_left_out(): pytest.skip('no database')\n",
    "skipped in a fixture": (
        "import pytest\n@pytest.fixture\ndef database(): pytest.skip('none')\ndef test_left_out(database): pass\n"
    ),
    "skipped without parameters": (
        "import pytest\n@pytest.mark.parametrize('n', [])\ndef test_left_out(n): raise AssertionError\n"
    ),
    "skipped file": "import pytest\npytest.skip('no database', allow_module_level=True)\n",
    "xfail": "import pytest\n@pytest.mark.xfail\ndef test_left_out(): raise AssertionError\n",
    "xfail that passes": "import pytest\n@pytest.mark.xfail(strict=False)\ndef test_left_out(): pass\n",
    "xfail inside": "import pytest\ndef test_left_out(): pytest.xfail('some day')\n",
    "empty file": "def helper(): pass\n",
    "hidden class": "class TestHidden:\n    __test__ = False\n    def test_left_out(self): pass\n",
}


@pytest.fixture
def tree(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A small project with one passing test in each folder, run as in CI.

    Its files have names that no test of ours has: run in this process, a namesake would be taken for one of ours.
    """
    monkeypatch.setenv("CARNET_CI", "1")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(
        "[pytest]\naddopts = --import-mode=importlib -p tests.support.counts -p no:cacheprovider -p no:schemathesis\n"
    )
    for folder in FOLDERS:
        plant(pytester, f"tests/{folder}/test_planted_{folder}.py", PASSING)
    return pytester


def plant(pytester: pytest.Pytester, path: str, text: str) -> None:
    file = pytester.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_complete_run_passes_and_prints_counts(tree: pytest.Pytester) -> None:
    plant(tree, "tests/unit/deep/test_planted_more.py", PASSING)
    result = tree.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["unit 2, system 1, claims 1, attacks 1, vectors 1"])


@pytest.mark.parametrize("text", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_run_with_a_test_left_out_fails(tree: pytest.Pytester, text: str) -> None:
    plant(tree, "tests/unit/test_planted_other.py", text)
    result = tree.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left out, which fails a run in CI*", "*tests/unit/test_planted_other.py*"])


@pytest.mark.parametrize("text", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_run_with_a_test_left_out_passes_on_a_persons_machine(
    tree: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.delenv("CARNET_CI")
    plant(tree, "tests/unit/test_planted_other.py", text)
    result = tree.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["unit 1, system 1, claims 1, attacks 1, vectors 1"])


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "not system"],
        ["--deselect", "tests/system/test_planted_system.py"],
        ["--ignore", "tests/system"],
        ["tests/unit"],
        ["--collect-only"],
    ],
)
def test_run_of_a_part_fails(tree: pytest.Pytester, options: list[str]) -> None:
    result = tree.runpytest_inprocess("tests" if options[0].startswith("-") else "-q", *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left out, which fails a run in CI*", "nothing passed in: tests/system"])


def test_run_that_names_no_folder_at_all_fails(tree: pytest.Pytester) -> None:
    plant(tree, "empty/readme.txt", "")
    assert tree.runpytest_inprocess("empty").ret == pytest.ExitCode.TESTS_FAILED


def test_failing_test_keeps_its_own_exit_code_and_is_not_counted(tree: pytest.Pytester) -> None:
    plant(tree, "tests/unit/test_planted_other.py", "def test_fails(): raise AssertionError\n")
    result = tree.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["unit 1, *"])


def test_test_that_fails_after_its_end_counts_as_a_failure(tree: pytest.Pytester) -> None:
    plant(
        tree,
        "tests/unit/test_planted_unit.py",
        "import pytest\n@pytest.fixture\ndef late():\n    yield\n    raise AssertionError\ndef test_ends(late): pass\n",
    )
    assert tree.runpytest_inprocess("tests").ret == pytest.ExitCode.TESTS_FAILED


def test_benchmarks_and_support_are_not_asked_for_tests(tree: pytest.Pytester) -> None:
    plant(tree, "tests/benchmarks/test_speed.py", "")
    plant(tree, "tests/support/test_card.py", "")
    assert tree.runpytest_inprocess("tests").ret == pytest.ExitCode.OK


def test_complete_run_with_workers_passes_and_prints_counts(tree: pytest.Pytester) -> None:
    plant(tree, "tests/unit/deep/test_planted_more.py", PASSING)
    result = tree.runpytest_subprocess("-n", "2", "tests")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["unit 2, system 1, claims 1, attacks 1, vectors 1"])


def test_run_with_workers_fails_on_everything_left_out(tree: pytest.Pytester) -> None:
    for number, text in enumerate(LEFT_OUT.values()):
        plant(tree, f"tests/unit/test_planted_other_{number}.py", text)
    result = tree.runpytest_subprocess("-n", "2", "tests", "--deselect", "tests/claims/test_planted_claims.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for number in range(len(LEFT_OUT)):
        result.stdout.fnmatch_lines([f"*tests/unit/test_planted_other_{number}.py*"])
    result.stdout.fnmatch_lines(["deselected: tests/claims/test_planted_claims.py::test_passes"])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CI": "true"}, True),
        ({"CI": "True"}, True),
        ({"CI": "1"}, True),
        ({"CARNET_CI": "1"}, True),
        ({"CI": "false"}, False),
        ({"CI": ""}, False),
        ({"CARNET_CI": "0"}, False),
        ({}, False),
    ],
)
def test_is_ci(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool) -> None:
    for name in ("CI", "CARNET_CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_ci() is expected
