"""Without uv the environment is made by venv and pip: really, and offline, out of a folder with one tiny wheel."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.small_project import ROOT, Project
from tests.support.tiny_wheel import write_wheel

PYPROJECT = """\
[build-system]
requires = []
build-backend = "tiny_wheel"
backend-path = ["."]

[project]
name = "carnet"
version = "1"
"""
STORY = "import sys, tiny\ndef main():\n    print('told by', tiny.NAME, *sys.argv[1:])\n"


@pytest.fixture
def offline(project: Project, tmp_path: Path) -> Project:
    """The small project without uv, with one library that pip finds in a folder and may not look for elsewhere."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = write_wheel(shelf, "tiny", {"tiny.py": "NAME = 'tiny'\n"})
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for name in ("runtime", "dev"):
        (project.folder / "requirements" / f"{name}.txt").write_text(f"tiny==1 --hash=sha256:{digest}\n")
    shutil.copy(ROOT / "tests/support/tiny_wheel.py", project.folder)
    (project.folder / "carnet_story.py").write_text(STORY)
    (project.folder / "pyproject.toml").write_text(PYPROJECT)
    variables = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}
    return replace(project, variables=project.variables | variables)


def test_pip_makes_the_environment_where_uv_fails_and_the_word_is_spoken(offline: Project, project: Project) -> None:
    result = offline.run("demo", "--json", PATH=project.variables["PATH"], DURING="exit 1")
    assert result.stdout == "told by tiny demo --json\n"
    assert "uv could not do it; trying with venv and pip" in result.stderr
    assert not (offline.folder / ".venv.log").exists()
    again = offline.run("demo")
    assert (again.stdout, again.stderr) == ("told by tiny demo\n", "")


def test_library_with_another_hash_is_refused(offline: Project) -> None:
    write_wheel(Path(offline.variables["PIP_FIND_LINKS"]), "tiny", {"tiny.py": "NAME = 'evil'\n"})
    result = offline.run("demo")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "A package that came is not the one that requirements/ names" in result.stderr
    assert not (offline.folder / ".venv/carnet-stamp.json").exists()
    assert f"({offline.folder}/.venv.log has the details.)" in result.stderr


def test_environment_that_a_uv_made_which_has_gone_is_made_anew(offline: Project) -> None:
    offline.run("demo")
    (offline.folder / ".venv/bin/pip").unlink()  # uv puts none into what it makes
    (offline.folder / "pyproject.toml").write_text(PYPROJECT + 'description = "changed"\n')
    result = offline.run("demo")
    assert (result.returncode, result.stdout) == (0, "told by tiny demo\n")
    assert "Making the environment" in result.stderr
