"""Programs of the machine that some tests need: Debian packages that `.ci/run` installs."""

import shutil

import pytest


def require_program(name: str, *, package: str) -> str:
    """The path of the program `name`; skips the test with the command that mends it. In CI a skip fails the run."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return path
