"""A command that is interrupted, or killed, is simply run again."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import ending, hearing_interrupts
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.system.cli.conftest import Person, quiet_environment

SIZE = 48 << 20
ENDLESS = """
import sys, time
from carnet.cli import main
from carnet.documents import spool
spool.commit = lambda *_: time.sleep(3600)
sys.exit(main())
"""
"""The command, which seals and sends as ever and never commits: however late a signal comes, it is not too late."""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that takes a moment."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for number in range(SIZE >> 20):
            file.write(bytes([number]) * (1 << 20))
    return path


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command that can be interrupted."""
    with hearing_interrupts():
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=quiet_environment())


def cut(person: Person, large: Path, number: signal.Signals) -> int:
    """Start to add `large`, and send a signal as soon as something of it is sealed; return the exit code."""
    spool = person.home / "spool"

    def is_begun() -> bool:
        return spool.is_dir() and any(path.stat().st_size for path in spool.iterdir())

    with ending(start([sys.executable, "-c", ENDLESS, *person.shared(), "add", str(large)])) as process:
        wait_until(is_begun, "something sealed", process=process)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_add_that_was_cut_goes_on(
    alice: Person, large: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    assert cut(alice, large, number) == code
    assert alice.json("list")["documents"] == []
    (added,) = alice.json("add", large)["added"]
    (document,) = alice.json("list")["documents"]
    assert document["document"] == added["document"]
    alice.json("get", "Large", "--out", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == large.read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_get_that_was_cut_leaves_no_file(
    alice: Person, large: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    alice.json("add", large)
    target = tmp_path / "out"
    target.mkdir()
    with ending(start(alice.command("get", "Large", "--out", target / "back"))) as process:
        wait_until(lambda: process.poll() is not None or writes_into(process, target), "something fetched")
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_SECONDS)
    if process.returncode == code:
        assert list(target.iterdir()) == []
    else:
        assert process.returncode == 0
    alice.json("get", "Large", "--out", target / "back", "--force")
    assert (target / "back").read_bytes() == large.read_bytes()
    assert [path.name for path in target.iterdir()] == ["back"]


def writes_into(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    """Whether the process has something of a file in `folder`, under a name or without one."""
    sizes = []
    for descriptor in Path(f"/proc/{process.pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink().is_relative_to(folder):
                sizes.append(descriptor.stat().st_size)
    return any(sizes)
