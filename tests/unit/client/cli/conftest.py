"""Speaking to the command in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from carnet.cli.entry import main


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        value: dict[str, Any] = json.loads(self.out)
        return value

    def error(self) -> dict[str, str]:
        """The error on standard error."""
        value: dict[str, dict[str, str]] = json.loads(self.err)
        return value["error"]


@pytest.fixture
def carnet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs the command with some words, and no home or passphrase of the machine."""
    monkeypatch.delenv("CARNET_HOME", raising=False)
    monkeypatch.delenv("CARNET_PASSPHRASE_FILE", raising=False)

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
