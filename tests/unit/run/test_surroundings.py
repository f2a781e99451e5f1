"""What somebody exported in their shell changes no test."""

import os
import subprocess
import sys

import pytest

from tests.support.surroundings import pytest_sessionstart

EXPORTED = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "all_proxy", "NO_PROXY", "FORCE_COLOR", "NO_COLOR", "COLUMNS")
SHOW = "import os; print(*os.environ)"


def test_this_run_began_without_them() -> None:
    assert not set(EXPORTED) & set(os.environ)


def test_they_are_gone_for_programs_as_well_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*EXPORTED, "CARNET_OTHER"):
        monkeypatch.setenv(name, "1")
    pytest_sessionstart()
    assert not set(EXPORTED) & set(os.environ)
    seen = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout.split()
    assert not set(EXPORTED) & set(seen)
    assert "CARNET_OTHER" in seen
