"""What is missing on the machine is told in one sentence, with the command that mends it."""

import importlib.util
import shutil
from importlib.machinery import SourceFileLoader
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.small_project import Project


@pytest.fixture
def script(project: Project) -> ModuleType:
    """The `run` script of the small project as a module."""
    loader = SourceFileLoader("run_script", str(project.folder / "run"))
    spec = importlib.util.spec_from_loader("run_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_venv_module(script: ModuleType, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else object())
    with pytest.raises(SystemExit, match=r"sudo apt-get install python3\.\d+-venv$"):
        script.refuse_without_venv()


def test_venv_module_that_is_there(script: ModuleType) -> None:
    script.refuse_without_venv()


@pytest.mark.parametrize(("free", "is_enough"), [(0, False), (699_999_999, False), (700_000_000, True)])
def test_space_is_asked_for_before_a_long_install(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, free: int, is_enough: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    if is_enough:
        script.refuse_without_space()
    else:
        with pytest.raises(SystemExit, match=r"needs 0\.7 GB .* free: make room \(du "):
            script.refuse_without_space()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "The disk is full: ",
        ),
        ("error: failed to write to file: Disk quota exceeded (os error 122)", "The disk is full: "),
        (
            "[Errno -3] Temporary failure in name resolution\nERROR: No matching distribution found for idna",
            "The package index cannot be reached: ",
        ),
        ("ReadTimeoutError: HTTPSConnectionPool: Read timed out.", "The package index cannot be reached: "),
        ("error: Failed to fetch: `alembic`\n  cause: dns error", "The package index cannot be reached: "),
        ("SSLError: certificate verify failed: unable to get local issuer", "The package index cannot be reached: "),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "A package that came is not the one",
        ),
        ("error: Hash mismatch for `tiny==1`", "A package that came is not the one"),
        ("PermissionError: [Errno 13] Permission denied: '.venv'", "/project cannot be written: "),
        ("[Errno 30] Read-only file system: '.venv.lock'", "/project cannot be written: "),
        ("Traceback\nSomethingNew: odd\n", "The environment could not be made: SomethingNew: odd"),
        ("", "The environment could not be made: it said nothing"),
    ],
)
def test_failure_of_an_installer_is_explained(script: ModuleType, output: str, sentence: str) -> None:
    explanation = script.explain(output)
    assert sentence in explanation
    assert "\n" not in explanation


def test_full_disk_is_told_before_a_full_network(script: ModuleType) -> None:
    assert "The disk is full" in script.explain("connection reset\nNo space left on device")


def test_folder_that_cannot_be_written_is_told(project: Project) -> None:
    (project.folder / ".venv.lock").mkdir()
    result = project.run("demo")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert ".venv.lock" in result.stderr
