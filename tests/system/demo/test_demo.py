"""The demo tells the truth, leaves nothing behind, and what it keeps can be played with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from carnet.cli.entry import main
from carnet.samples.story import HOSPITAL
from tests.support.children import ending, hearing_interrupts
from tests.support.patience import PATIENCE_SECONDS, wait_until

PROGRAM = [sys.executable, "-m", "carnet.cli", "demo"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A demo that was played once for this file, and left its folder."""

    folder: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose temporary files can be counted."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARNET_")}
    return {**kept, "TMPDIR": str(tmp_path_factory.mktemp("temporary"))}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Kept:
    folder = tmp_path_factory.mktemp("demo") / "kept"
    done = subprocess.run([*PROGRAM, "--json", "--keep", folder], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout
    return Kept(folder, json.loads(done.stdout))


def test_every_step_went_as_expected(kept: Kept) -> None:
    steps = kept.said["steps"]
    assert len(steps) == 30
    for step in steps:
        assert set(step) == {"name", "who", "seconds", "expected", "verdict"}
        assert step["verdict"] == "ok"
        assert step["seconds"] >= 0
    assert {"Alice", "Dr Bob", "laboratory", "thief", "registrar", "operators", "search"} == {s["who"] for s in steps}
    assert sum(step["expected"] == "refused" for step in steps) == 8


def test_nothing_is_left_running_or_lying_about(kept: Kept, environment: dict[str, str]) -> None:
    assert processes_of(kept.folder) == []
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_kept_servers_hold_nothing_that_can_be_read(kept: Kept) -> None:
    """Looked for once more, by other means than the demo's own search."""
    titles = (b"Scanner thoracique", b"Lettre de liaison", b"scanner-thoracique.dcm", HOSPITAL.encode())
    files = [path for path in (kept.folder / "servers").rglob("*") if path.is_file()]
    assert len(files) > 15
    for path in files:
        content = path.read_bytes()
        assert not any(title in content for title in titles), path
    originals = b"".join(path.read_bytes() for path in (kept.folder / "documents").iterdir())
    assert HOSPITAL.encode() in originals


def test_what_is_kept_can_be_played_with(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    servers = subprocess.Popen(
        [*PROGRAM[:-1], "up", "--data", kept.folder / "servers", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ending(servers):
        assert servers.stdout is not None
        assert "vault" in json.loads(servers.stdout.readline())
        passphrase = ["--passphrase-file", str(kept.folder / "passphrase"), "--json"]
        assert main(["list", "--home", str(kept.folder / "alices-new-laptop"), *passphrase]) == 0
        assert len(json.loads(capsys.readouterr().out)["documents"]) == 4
        assert main(["list", "--home", str(kept.folder / "thief"), *passphrase]) == 1
        assert main(["list", "--home", str(kept.folder / "dr-bob"), *passphrase]) == 1
        servers.send_signal(signal.SIGTERM)
        servers.communicate(timeout=PATIENCE_SECONDS)
        assert servers.returncode == 0


def test_folder_with_something_in_it_is_refused(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--keep", str(kept.folder), "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"
    assert processes_of(kept.folder) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_demo_leaves_nothing(environment: dict[str, str], number: signal.Signals, code: int) -> None:
    temporary = Path(environment["TMPDIR"])
    with hearing_interrupts():
        command = [*PROGRAM, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    with ending(process):
        wait_until(lambda: any(temporary.glob("*/alice/keyring.json")), "keys of Alice", process=process)
        running = processes_of(temporary)
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert len(running) == 2
    assert (process.returncode, out) == (code, b"")
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []


def processes_of(folder: Path) -> list[int]:
    """The servers whose settings lie in `folder`."""
    return [pid for pid, words in _commands() if str(folder) in words and "serve" in words]


def _commands() -> Iterator[tuple[int, str]]:
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        pid, _, words = line.strip().partition(" ")
        yield int(pid), words
