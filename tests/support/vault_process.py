"""A vault as its operator runs it: its own process, settings, keys, database and store on disk, real HTTP on loopback.

with VaultProcess.lay_out(tmp_path, Dice("seed")) as process:
    process.start()
    story = VaultStory.begin(process.world())
    process.kill()
    assert process.run("fsck").returncode == 0
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from carnet_server.database import make_engine
from carnet_server.key_files import LOG_KEY, SERVER_KEY
from carnet_server.settings import load_settings
from carnet_vault.settings import VaultSettings
from carnet_vault.startup import LocalStore, open_store
from tests.support.people import Deployment, Dice
from tests.support.ports import held_port
from tests.support.vault import FakeClock, VaultWorld

START_SECONDS: Final = 30
READY: Final = "carnet-vault ready on "


class RealClock(FakeClock):
    """The machine's time."""

    def __call__(self) -> int:
        self.now = int(time.time())
        return self.now


@dataclass
class VaultProcess:
    """The vault's folder, and the process that serves it, if one runs."""

    root: Path
    own: Deployment
    dice: Dice
    port: int
    environment: dict[str, str]
    program: subprocess.Popen[str] | None = None
    worlds: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    @contextlib.contextmanager
    def lay_out(cls, root: Path, dice: Dice, *, database_url: str = "", settings: str = "") -> Iterator[Self]:
        """Write everything that the program needs, and migrate; whatever runs at the end is stopped."""
        with held_port() as port:
            own = Deployment.make(dice, vault_origin=f"http://127.0.0.1:{port}")
            (root / "keys").mkdir(mode=0o700)
            for name, signer in ((SERVER_KEY, own.vault.key), (LOG_KEY, own.vault.log_key)):
                path = root / "keys" / name
                path.touch(mode=0o600)
                path.write_bytes(signer.seed())
            (root / "card.jws").write_text(own.card.text)
            lines = [
                f'data_dir = "{root}"',
                f'service_card = "{root / "card.jws"}"',
                f'origin = "{own.vault.origin}"',
                f"listen_port = {port}",
                f'log_file = "{root / "vault.jsonl"}"',
                *([f'database_url = "{database_url}"'] if database_url else []),
                settings,
            ]
            (root / "settings.toml").write_text("\n".join(lines))
            made = cls(root, own, dice, port, dict(os.environ))
            try:
                done = made.run("migrate")
                assert done.returncode == 0, done.stderr
                yield made
            finally:
                made.worlds.close()
                if made.program is not None:
                    made.kill()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `carnet-vault` to its end."""
        return subprocess.run(self._command(*words), capture_output=True, text=True, check=False, timeout=120)

    def run_json(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and printed object of a command with `--json`."""
        done = self.run(*words, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def start(self, *prefix: str) -> None:
        """Serve, and wait until it says so; `prefix` is a program that runs it."""
        self.program = subprocess.Popen(
            [*prefix, *self._command("serve")], stdout=subprocess.PIPE, text=True, env=self.environment
        )
        assert self.program.stdout is not None
        line = self.program.stdout.readline()
        assert line == f"{READY}{self.own.vault.origin}\n", line

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

    def world(self) -> VaultWorld:
        """A client of the running vault, with its own look into database and store."""
        client = self.worlds.enter_context(httpx2.Client(base_url=self.own.vault.origin, timeout=30, trust_env=False))
        engine = make_engine(self._database_url())
        self.worlds.callback(engine.dispose)
        settings = load_settings(
            VaultSettings, file=self.root / "settings.toml", environment={}, prefix="", arguments={}
        )
        opened = open_store(settings)
        store = opened.store if isinstance(opened, LocalStore) else opened
        return VaultWorld(engine, self.root, self.dice, self.own, store, client, RealClock(), io.StringIO())

    def _database_url(self) -> str:
        for line in (self.root / "settings.toml").read_text().splitlines():
            if line.startswith("database_url"):
                return line.partition('"')[2].rstrip('"')
        return f"sqlite:///{self.root / 'database.sqlite'}"

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "carnet_vault", *words, "--settings", str(self.root / "settings.toml")]

    def _end(self, number: signal.Signals) -> int:
        assert self.program is not None
        self.program.send_signal(number)
        code = self.program.wait(START_SECONDS)
        assert self.program.stdout is not None
        self.program.stdout.close()
        self.program = None
        return code
