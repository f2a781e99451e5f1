"""Two processes that are started together, watched and stopped together; small programs stand for the servers."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carnet.deployment import process
from carnet.deployment.prepare import Deployment, prepare_deployment
from carnet.deployment.process import ServerFailedError, ServerProcess
from carnet.deployment.supervisor import Servers, running
from carnet.errors import HomeBusyError
from carnet_protocol.signing import Signer

SERVES = "import sys, time; print('x ready on y', flush=True); time.sleep(600)"
ENDS = "import sys; print('x ready on y', flush=True)"
FAILS = "import sys; sys.exit('the disk is full')"
IS_MUTE = "import time; time.sleep(600)"

Play = Callable[[str], None]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return prepare_deployment(tmp_path, registrar_key=lambda _: Signer(bytes(32)).public_key)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """Lets `program` play both servers; whatever is left at the end is a failure of the test."""
    started: list[ServerProcess] = []
    init = ServerProcess.__init__

    def note(self: ServerProcess, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]  # passed on as they came
        started.append(self)

    monkeypatch.setattr(ServerProcess, "__init__", note)

    def let(program: str) -> None:
        def command(self: ServerProcess, word: str) -> list[str]:
            assert self.name in {"vault", "keyservice"}
            return [sys.executable, "-c", "" if word == "migrate" else program]

        monkeypatch.setattr(ServerProcess, "_tethered", command)

    yield let
    assert [one.pid for one in started] == [None] * len(started)


def test_both_run_for_as_long_as_the_block(deployment: Deployment, play: Play) -> None:
    play(SERVES)
    with running(deployment) as servers:
        assert all(one.pid for one in servers.processes)
        servers.watch(until=iter([False, True]).__next__, on_restart=pytest.fail)
    assert all(one.poll() is not None for one in servers.processes)


def test_what_runs_is_neither_run_nor_changed_by_somebody_else(deployment: Deployment, play: Play) -> None:
    play(SERVES)
    path = deployment.folder.path
    with running(deployment):
        before = {file: file.read_bytes() for file in path.rglob("*.toml")}
        with pytest.raises(HomeBusyError, match="running already"), running(deployment):
            pytest.fail("twice")
        with pytest.raises(HomeBusyError, match="running already"):
            prepare_deployment(path, registrar_key=pytest.fail, name="localhost")
        assert {file: file.read_bytes() for file in path.rglob("*.toml")} == before
    assert prepare_deployment(path, registrar_key=pytest.fail).card == deployment.card


def test_failed_start_leaves_neither(deployment: Deployment, play: Play) -> None:
    play(FAILS)
    with pytest.raises(ServerFailedError, match="the disk is full"):
        Servers(deployment).start()


def test_mute_server_is_given_up(deployment: Deployment, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_READY_SECONDS", 0.2)
    play(IS_MUTE)
    with pytest.raises(ServerFailedError, match="did not start"):
        Servers(deployment).start()


def test_failed_migration_is_told(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, play: Play) -> None:
    play(SERVES)
    monkeypatch.setattr(ServerProcess, "_tethered", lambda _, word: [sys.executable, "-c", f"exit('no {word}')"])
    with pytest.raises(ServerFailedError, match="no migrate"):
        Servers(deployment).start()


def test_server_that_ends_is_started_again_but_not_for_ever(deployment: Deployment, play: Play) -> None:
    play(ENDS)
    restarts: list[str] = []
    servers = Servers(deployment)
    servers.start()
    with pytest.raises(ServerFailedError, match="ended by itself"):
        servers.watch(until=lambda: False, on_restart=restarts.append, sleep=lambda _: None, monotonic=lambda: 0.0)
    servers.stop()
    assert len(restarts) == 5


def test_restarts_of_long_ago_do_not_count(deployment: Deployment, play: Play) -> None:
    play(ENDS)
    restarts: list[str] = []
    servers = Servers(deployment)
    servers.start()
    servers.watch(
        until=lambda: len(restarts) >= 8,
        on_restart=restarts.append,
        sleep=lambda _: None,
        monotonic=lambda: len(restarts) * 100.0,
    )
    servers.stop()


def test_second_interrupt_does_not_wait(deployment: Deployment, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play("import signal, time; signal.signal(15, signal.SIG_IGN); print('x ready on y', flush=True); time.sleep(600)")
    servers = Servers(deployment)
    servers.start()
    one = servers.processes[0]
    wait = one._process.wait if one._process else None
    assert wait is not None
    calls: list[float | None] = []

    def interrupted(timeout: float | None = None) -> int:
        calls.append(timeout)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(timeout)

    monkeypatch.setattr(one._process, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.stop()
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.1)
    servers.stop()
    assert calls[0] is not None
    assert all(process.poll() is not None for process in servers.processes)
