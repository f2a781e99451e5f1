"""When the environment is made, when it is only added to, when it is left alone, and what mends a broken one."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.children import hearing_interrupts
from tests.support.small_project import Project

EVERYTHING = ["environment", "runtime", "project"]


def test_first_start_makes_everything_and_says_so_on_standard_error(project: Project) -> None:
    result = project.run("demo", "--json")
    assert project.steps() == EVERYTHING
    assert result.stdout == f"carnet {project.folder} demo --json\n"
    assert "Making the environment" in result.stderr


def test_second_start_installs_nothing_and_says_nothing(project: Project) -> None:
    project.run("demo")
    project.steps()
    result = project.run("demo")
    assert project.steps() == []
    assert result.stderr == ""


def test_word_of_a_developer_adds_to_what_a_user_has(project: Project) -> None:
    project.run("demo")
    project.steps()
    project.run("test")
    assert project.steps() == ["dev"]


def test_word_of_a_user_is_content_with_what_a_developer_has(project: Project) -> None:
    project.run("test")
    assert project.steps() == ["environment", "dev", "project"]
    project.run("demo")
    assert project.steps() == []


def test_changed_pyproject_installs_the_project_alone(project: Project) -> None:
    project.run("test")
    project.steps()
    (project.folder / "pyproject.toml").write_text("[project]\nname = 'carnet'\n")
    project.run("demo")
    assert project.steps() == ["project"]
    project.run("test")
    assert project.steps() == []


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_changed_lock_makes_everything_anew(project: Project, name: str) -> None:
    word = {"runtime": "demo", "dev": "test"}[name]
    project.run(word)
    project.steps()
    left_over = project.folder / ".venv" / "left-over"
    left_over.touch()
    (project.folder / "requirements" / f"{name}.txt").write_text("changed\n")
    project.run(word)
    assert project.steps() == ["environment", name, "project"]
    assert not left_over.exists()


def test_moved_folder_makes_everything_anew(project: Project) -> None:
    project.run("demo")
    project.steps()
    moved = Project(Path(shutil.move(project.folder, project.folder.with_name("moved"))), project.variables)
    moved.run("demo")
    assert moved.steps() == EVERYTHING


def remove_python(environment: Path) -> None:
    (environment / "bin/python").unlink()
    (environment / "bin/python").symlink_to("/nonexistent/python3.11")


def edit_stamp(old: str, new: str) -> object:
    def edit(environment: Path) -> None:
        stamp = environment / "carnet-stamp.json"
        text = stamp.read_text()
        assert old in text
        stamp.write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(shutil.rmtree, id="removed"),
        pytest.param(remove_python, id="its Python has gone"),
        pytest.param(lambda environment: (environment / "carnet-stamp.json").unlink(), id="no stamp"),
        pytest.param(lambda environment: (environment / "carnet-stamp.json").write_text("{"), id="stamp cut"),
        pytest.param(
            lambda environment: (environment / "carnet-stamp.json").write_text("[]"), id="stamp of another form"
        ),
        pytest.param(edit_stamp('"cpython-', '"cpython-9'), id="made by another Python"),
        pytest.param(edit_stamp('"installed": "runtime"', '"installed": "nothing"'), id="stamp of an unknown set"),
    ],
)
def test_spoilt_environment_is_made_anew(project: Project, spoil: object) -> None:
    project.run("demo")
    project.steps()
    assert callable(spoil)
    spoil(project.folder / ".venv")
    result = project.run("demo")
    assert project.steps() == EVERYTHING
    assert result.returncode == 0


@pytest.mark.parametrize("step", ["venv", "--require-hashes", "-e"])
def test_killed_install_is_mended_by_the_next_start(project: Project, step: str) -> None:
    killed = project.run("demo", DURING=f'case "$*" in *{step}*) kill -9 $PPID;; esac')
    assert killed.returncode == -signal.SIGKILL
    project.steps()
    result = project.run("demo")
    assert project.steps() == EVERYTHING
    assert result.stdout == f"carnet {project.folder} demo\n"


def test_killed_addition_is_mended_by_the_next_start(project: Project) -> None:
    project.run("demo")
    project.run("test", DURING="kill -9 $PPID")
    project.steps()
    project.run("demo")
    assert project.steps() == EVERYTHING


def test_two_at_once_make_the_environment_once(project: Project) -> None:
    gate = project.folder / "gate"
    os.mkfifo(gate)
    hold = f'case "$*" in *--require-hashes*) read line < "{gate}";; esac'
    with project.started("demo", "first", DURING=hold) as first:
        while "Installing" not in read_line(first):
            pass
        with project.started("demo", "second") as second:
            assert read_line(second) == "Another ./run is making the environment; waiting for it.\n"
            gate.write_text("go\n")
            assert first.communicate()[0] == f"carnet {project.folder} demo first\n"
            assert second.communicate()[0] == f"carnet {project.folder} demo second\n"
    assert project.steps() == EVERYTHING


def read_line(process: subprocess.Popen[str]) -> str:
    """Returns the next line that the process says to a person; fails at its end."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line
    return line


def test_interrupt_of_a_person_is_answered_with_one_sentence(project: Project) -> None:
    with hearing_interrupts():
        stopped = project.run("demo", DURING="kill -INT $PPID")
    assert stopped.returncode == 130
    assert stopped.stderr.endswith("Stopped. The same command, started again, does what is left.\n")
    project.steps()
    project.run("demo")
    assert project.steps() == EVERYTHING
