"""A small checkout to plant files in."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty folder that git keeps."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path
