"""What each word of `./run` becomes, and what is said to a person who mistypes one or whose Python is too old."""

import ast
import subprocess
import sys

import pytest

from tests.support.small_project import ROOT, Project

WORDS = ["demo", "up", "carnet", "test", "lint", "bench", "vectors", "schema", "lock"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_word_and_makes_nothing(project: Project, arguments: list[str]) -> None:
    result = project.run(*arguments)
    assert result.returncode == 0
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert listed == WORDS
    assert project.steps() == []


def test_unknown_word_is_refused_with_the_one_that_was_meant(project: Project) -> None:
    result = project.run("tset")
    assert result.returncode == 2
    assert result.stderr == "There is no word 'tset'; did you mean 'test'? ./run lists them all.\n"
    assert project.steps() == []


@pytest.mark.parametrize("word", ["lint", "lock"])
def test_word_that_does_the_whole_takes_no_arguments(project: Project, word: str) -> None:
    result = project.run(word, "client")
    assert result.returncode == 2
    assert "takes no arguments" in result.stderr
    assert project.steps() == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("demo", "carnet {cwd} demo --keep here"),
        ("up", "carnet {cwd} up --keep here"),
        ("carnet", "carnet {cwd} --keep here"),
    ],
)
def test_word_of_a_user_becomes_the_carnet_command_where_the_person_stands(
    project: Project, word: str, expected: str
) -> None:
    elsewhere = project.folder.parent
    result = project.run(word, "--keep", "here", cwd=elsewhere)
    assert result.stdout == expected.format(cwd=elsewhere) + "\n"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("test", "-m pytest -n 2 --dist loadfile --check"),
        ("bench", "-m tests.benchmarks --check"),
        ("vectors", "tests/vectors/make.py --check"),
        ("schema", "tests/support/schema.py --check"),
    ],
)
def test_word_of_a_developer_becomes_its_program_in_the_project(project: Project, word: str, expected: str) -> None:
    result = project.run(word, "--check", cwd=project.folder.parent)
    assert result.stdout == f"python {project.folder} {expected}\n"


def test_exit_code_is_that_of_the_program(project: Project) -> None:
    assert project.run("demo", ANSWER="7").returncode == 7


def test_lint_runs_every_check_even_after_a_failure(project: Project) -> None:
    result = project.run("lint", ANSWER="1")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"python {project.folder} -m {check}" for check in ("ruff check .", "ruff format --check .", "mypy")
    ]
    assert result.stderr.endswith("Failed: ruff check ., ruff format --check ., mypy\n")


def test_lint_passes_when_every_check_does(project: Project) -> None:
    assert project.run("lint").returncode == 0


def test_programs_see_no_modules_from_outside(project: Project) -> None:
    project.run("demo")
    (project.folder / ".venv/bin/carnet").write_text('#!/bin/sh\necho "[$PYTHONPATH$PYTHONHOME]" "${PATH%%:*}"\n')
    result = project.run("demo", PYTHONPATH="/outside")
    assert result.stdout == f"[] {project.folder}/.venv/bin\n"


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 99)])
def test_older_python_is_told_what_is_missing(version: tuple[int, int, int]) -> None:
    old = f"import runpy, sys; sys.version_info = {version}; sys.argv = ['./run', 'demo']; runpy.run_path('run')"
    result = subprocess.run([sys.executable, "-c", old], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"this is {version[0]}.{version[1]}: install one" in result.stderr
    assert result.stderr.endswith("then start: python3.11 run demo\n")
    assert result.stderr.count("\n") == 1


def test_older_python_can_read_the_script_as_far_as_that() -> None:
    ast.parse((ROOT / "run").read_text(), feature_version=(3, 6))
