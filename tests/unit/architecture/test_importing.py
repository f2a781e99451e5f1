"""Importing a module starts nothing: no program, no connection, no thread, no file written, no warning."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.architecture.source import PACKAGES, ROOT, imports, modules, plant

# Imports the modules that its arguments name, in an interpreter of their own, and ends at the first thing that starts.
# The libraries come first and unwatched: urllib3, for one, binds a socket to learn whether there is IPv6.
WATCH = """
import importlib, sys, threading

STARTING = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "socket.bind",
            "sqlite3.connect", "os.mkdir", "os.rename", "os.remove"}

def watch(event, arguments):
    is_writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event in STARTING or is_writing:
        sys.exit(f"{name}: {event} {arguments}")

def refuse_thread(thread):
    sys.exit(f"{name}: {thread}")

for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except ImportError:
        pass
threading.Thread.start = refuse_thread
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
# What is started, not imported: programs, and the scripts that Alembic runs in a context of its own.
SCRIPTS = {"__main__", "env", "versions"}


def importable(root: Path) -> list[str]:
    """Returns the names of the modules under `root` that are made to be imported."""
    return [module.name for module in modules(root) if not SCRIPTS & set(module.name.split("."))]


def import_all(root: Path, names: list[str]) -> subprocess.CompletedProcess[str]:
    """Imports `names` from the packages under `root`, and ends at the first thing that starts, or warns."""
    paths = [str(root / component) for component in dict.fromkeys(PACKAGES.values())]
    program = f"import sys; sys.path[:0] = {paths!r}\n{WATCH}"
    command = [sys.executable, "-B", "-W", "error", "-c", program, *names]
    libraries = "\n".join(sorted(foreign_modules(root)))
    return subprocess.run(command, cwd=root, input=libraries, capture_output=True, text=True, check=False)


def foreign_modules(root: Path) -> set[str]:
    """Returns the names that our modules import from elsewhere, each with what it is inside of."""
    found = {one.name for module in modules(root) for one in imports(module)}
    return {
        name for one in found for name in (one, one.rpartition(".")[0]) if name and one.split(".")[0] not in PACKAGES
    }


def test_importing_every_module_starts_nothing() -> None:
    result = import_all(ROOT, importable(ROOT))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess\nsubprocess.run(['true'])",
        "import os\nos.system('true')",
        "import socket\nsocket.socket().bind(('127.0.0.1', 0))",
        "import sqlite3\nsqlite3.connect(':memory:')",
        "import threading\nthreading.Thread(target=print).start()",
        "open('log.txt', 'a')",
        "from pathlib import Path\nPath('data').mkdir()",
        "import warnings\nwarnings.warn('old', DeprecationWarning)",
        "raise RuntimeError",
    ],
)
def test_module_that_starts_something_is_found(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "client/carnet/__init__.py", "")
    names = importable(plant(tmp_path, "client/carnet/eager.py", text))
    assert names == ["carnet", "carnet.eager"]
    assert import_all(tmp_path, names).returncode == 1


def test_module_that_only_defines_is_let_be(tmp_path: Path) -> None:
    plant(tmp_path, "client/carnet/__init__.py", "")
    names = importable(plant(tmp_path, "client/carnet/calm.py", "def start():\n    open('log.txt', 'a')\n"))
    assert import_all(tmp_path, names).returncode == 0
