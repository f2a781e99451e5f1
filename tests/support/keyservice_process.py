"""A key service as its operator runs it: its own process, settings, keys and database, real HTTP on loopback.

with KeyServiceProcess.lay_out(tmp_path, Dice("seed")) as process:
    process.start()
    story = KeyServiceStory.begin(process.world())
    process.kill()
    assert process.run("fsck").returncode == 0
"""

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx2
from typing_extensions import override

from carnet_keyservice.master_keys import FileProvider, MasterKeys, make_master_key_file
from carnet_server.database import make_engine
from carnet_server.key_files import LOG_KEY, SERVER_KEY
from tests.support.keyservice import KeyServiceWorld, SetClock
from tests.support.people import Deployment, Dice
from tests.support.ports import held_port

START_SECONDS: Final = 60
READY: Final = "carnet-keyservice ready on "


class RealClock(SetClock):
    """The machine's time."""

    @override
    def __call__(self) -> int:
        self.now = int(time.time())
        return self.now


@dataclass
class KeyServiceProcess:
    """The key service's folder, and the process that serves it, if one runs."""

    root: Path
    own: Deployment
    database_url: str
    program: subprocess.Popen[str] | None = None
    worlds: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    @contextlib.contextmanager
    def lay_out(cls, root: Path, dice: Dice, *, database_url: str = "", settings: str = "") -> Iterator[Self]:
        """Write everything that the program needs, and migrate; whatever runs at the end is killed."""
        with held_port() as port:
            own = Deployment.make(dice, keyservice_origin=f"http://127.0.0.1:{port}")
            (root / "keys").mkdir(mode=0o700)
            for name, signer in ((SERVER_KEY, own.keyservice.key), (LOG_KEY, own.keyservice.log_key)):
                path = root / "keys" / name
                path.touch(mode=0o600)
                path.write_bytes(signer.seed())
            make_master_key_file(root / "keys", random=dice)
            (root / "card.jws").write_text(own.card.text)
            lines = [
                f'data_dir = "{root}"',
                f'service_card = "{root / "card.jws"}"',
                f'origin = "{own.keyservice.origin}"',
                f"listen_port = {port}",
                f'log_file = "{root / "keyservice.jsonl"}"',
                *([f'database_url = "{database_url}"'] if database_url else []),
                settings,
            ]
            (root / "settings.toml").write_text("\n".join(lines))
            made = cls(root, own, database_url or f"sqlite:///{root / 'database.sqlite'}")
            try:
                done = made.run("migrate")
                assert done.returncode == 0, done.stderr
                yield made
            finally:
                made.worlds.close()
                if made.program is not None:
                    made.kill()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `carnet-keyservice` to its end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=120)

    def run_json(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and printed object of a command with `--json`."""
        done = self.run(*words, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def start(self, *prefix: str) -> None:
        """Serve, and wait until it says so; `prefix` is a program that runs it."""
        self.program = subprocess.Popen([*prefix, *self.command("serve")], stdout=subprocess.PIPE, text=True)
        assert self.program.stdout is not None
        line = self.program.stdout.readline()
        assert line == f"{READY}{self.own.keyservice.origin}\n", line

    def stop(self) -> int:
        """Ask the process to end, and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End the process as a power cut of the program would."""
        return self._end(signal.SIGKILL)

    def wait_for_death(self) -> None:
        """Wait for the end of a process that something else killed."""
        assert self.program is not None
        self.program.wait(START_SECONDS)
        assert self.program.stdout is not None
        self.program.stdout.close()
        self.program = None

    def world(self) -> KeyServiceWorld:
        """A client of the running key service, with its own look into the database."""
        client = httpx2.Client(base_url=self.own.keyservice.origin, timeout=60, trust_env=False)
        engine = make_engine(self.database_url)
        self.worlds.enter_context(client)
        self.worlds.callback(engine.dispose)
        keys = MasterKeys([FileProvider(self.root / "keys")])
        return KeyServiceWorld(engine, self.own, client, RealClock(), io.StringIO(), keys)

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in (self.root / "keyservice.jsonl").read_text().splitlines()]

    def command(self, *words: str) -> list[str]:
        """The words that run the command."""
        return [sys.executable, "-m", "carnet_keyservice", *words, "--settings", str(self.root / "settings.toml")]

    def _end(self, number: signal.Signals) -> int:
        assert self.program is not None
        self.program.send_signal(number)
        code = self.program.wait(START_SECONDS)
        assert self.program.stdout is not None
        self.program.stdout.close()
        self.program = None
        return code


@contextlib.contextmanager
def working(process: KeyServiceProcess, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many workers beside `process`."""
    workers = [subprocess.Popen(process.command("work"), stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "carnet-keyservice works\n"
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait(60)
            assert worker.stdout is not None
            worker.stdout.close()
