"""A small project around a copy of the `run` script, with an installer that only writes down what it is asked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Makes programs that print their name, folder and arguments; DURING is a line of shell that spoils a step.
FAKE_UV = r"""#!/bin/sh
echo "$@" >> "$CALLS"
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  for name in python carnet; do
    printf '#!/bin/sh\necho %s "$PWD" "$@"\nexit ${ANSWER:-0}\n' $name > "$folder/bin/$name"
    chmod +x "$folder/bin/$name"
  done
fi
eval "$DURING"
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a `run` script in it, and what its installer was asked."""

    folder: Path
    variables: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.folder / "run"), *arguments]

    def run(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.folder,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Starts the script and leaves it running; it is stopped at the end of the `with` block if it still runs."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            yield process
            process.kill()

    def steps(self) -> list[str]:
        """Returns what the installer did since this was last asked."""
        calls = Path(self.variables["CALLS"])
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [step_of(line) for line in lines]


def step_of(call: str) -> str:
    """Names the step that a call of the installer is."""
    if call.startswith("venv "):
        return "environment"
    if "--require-hashes" in call:
        return Path(call.rsplit(maxsplit=1)[-1]).stem
    return "project" if call.split()[-2] == "-e" and "--no-deps" in call else call


def make_small_project(parent: Path) -> Project:
    """Makes a project in `parent`, with a `uv` on its PATH that installs nothing."""
    folder = parent / "project"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "run", folder / "run")
    for name in ("runtime", "dev"):
        (folder / "requirements" / f"{name}.txt").write_text(f"# {name}\n")
    (folder / "pyproject.toml").write_text("[project]\n")
    programs = parent / "programs"
    programs.mkdir()
    (programs / "uv").write_text(FAKE_UV)
    (programs / "uv").chmod(0o755)
    path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
    return Project(folder, {"PATH": path, "CALLS": str(parent / "calls"), "HOME": str(parent)})
