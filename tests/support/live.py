"""The world of `tests/support/client.py` with both servers as programs of their own, on real databases and stores.

    with LiveWorld.running(tmp_path) as world:
        for whole in tell_in(world, tmp_path):
            ...

People, wires and the way to tell a story are those of every other world; what is asked goes over real HTTP on loopback,
the clock is the machine's, and what the servers keep lies where an operator would find it.
"""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

import httpx2
from starlette.testclient import TestClient
from typing_extensions import override

from carnet.connections import open_http
from carnet.transport import ServerName
from carnet_keyservice.master_keys import make_master_key_file
from carnet_server.database import make_engine
from carnet_server.key_files import LOG_KEY, SERVER_KEY
from tests.support.client import ClientWorld, MovableClock, Wire
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.people import Deployment, Dice, OwnServer
from tests.support.ports import held_port
from tests.support.vault_process import VaultProcess

MASTER_KEY: Final = "master-1.key"
SERVERS: Final = {ServerName.VAULT: "vault", ServerName.KEYSERVICE: "keyservice"}
"""The servers, by how their folders and programs are called."""


class MachineClock(MovableClock):
    """The machine's time."""

    @override
    def __call__(self) -> int:
        self.now = int(time.time())
        return self.now


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where servers keep things that are not in their own folders: URLs of databases, settings of the vault's store."""

    vault_database: str = ""
    keyservice_database: str = ""
    store: tuple[str, ...] = ()


@dataclass(slots=True)
class LiveWorld(ClientWorld):
    """A world whose servers are processes, with a folder each in `root`."""

    vault_program: VaultProcess | None = None
    keyservice_program: KeyServiceProcess | None = None

    @override
    def open_client(self, origin: str) -> httpx2.Client:
        """What a session uses to reach `origin`; a bucket is no server of ours."""
        # zero-argument super() knows no dataclass with slots
        return ClientWorld.open_client(self, origin) if origin in self.wires else open_http(origin)

    def folders(self) -> dict[ServerName, Path]:
        """Where each server keeps everything: settings, keys, database, store, log, temporary files."""
        return {name: self.root / folder for name, folder in SERVERS.items()}

    def pids(self) -> dict[ServerName, int]:
        """The processes."""
        programs = {ServerName.VAULT: self.vault_program, ServerName.KEYSERVICE: self.keyservice_program}
        return {name: own.program.pid for name, own in programs.items() if own is not None and own.program is not None}

    @override
    def restart(self, *names: ServerName) -> None:
        """Kill these programs, and start them anew with the newest card."""
        for program, name in ((self.vault_program, ServerName.VAULT), (self.keyservice_program, ServerName.KEYSERVICE)):
            if program is not None and name in names:
                program.kill()
                (program.root / "card.jws").write_text(self.own.card.text)
                program.start()

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, root: Path, *, keeping: Keeping | None = None, environment: dict[str, str] | None = None
    ) -> Iterator[Self]:
        """Both servers, empty and running, with `environment` added to theirs; killed at the end."""
        keeping = keeping or Keeping()
        with held_port() as vault_port, held_port() as keyservice_port:
            dice = Dice("live")
            own = Deployment.make(
                dice,
                vault_origin=f"http://127.0.0.1:{vault_port}",
                keyservice_origin=f"http://127.0.0.1:{keyservice_port}",
            )
            vault_root, keyservice_root = (root / folder for folder in SERVERS.values())
            urls = {
                ServerName.VAULT: keeping.vault_database or f"sqlite:///{vault_root / 'database.sqlite'}",
                ServerName.KEYSERVICE: keeping.keyservice_database
                or f"sqlite:///{keyservice_root / 'database.sqlite'}",
            }
            lines = {name: [f'database_url = "{url}"'] for name, url in urls.items()}
            _lay_out(vault_root, own, own.vault, port=vault_port, more=[*lines[ServerName.VAULT], *keeping.store])
            _lay_out(keyservice_root, own, own.keyservice, port=keyservice_port, more=lines[ServerName.KEYSERVICE])
            make_master_key_file(keyservice_root / "keys", random=dice)
            vault = VaultProcess(vault_root, own, dice, vault_port, dict(os.environ))
            keyservice = KeyServiceProcess(keyservice_root, own, urls[ServerName.KEYSERVICE])
            try:
                for program in (vault, keyservice):
                    done = program.run("migrate")
                    assert done.returncode == 0, done.stderr
                    words = {"TMPDIR": str(program.root / "tmp"), **(environment or {})}
                    program.start("env", *(f"{name}={value}" for name, value in words.items()))
                yield cls(
                    root,
                    own,
                    MachineClock(),
                    {name: make_engine(url) for name, url in urls.items()},
                    {server.origin: _wire(server.origin) for server in (own.vault, own.keyservice)},
                    {name: io.StringIO() for name in ServerName},
                    (keyservice_root / "keys" / MASTER_KEY).read_bytes(),
                    b"",
                    vault_program=vault,
                    keyservice_program=keyservice,
                )
            finally:
                for program in (vault, keyservice):
                    if program.program is not None:
                        program.kill()


def _lay_out(root: Path, own: Deployment, server: OwnServer, *, port: int, more: list[str]) -> None:
    for folder in (root, root / "keys", root / "tmp"):
        folder.mkdir(mode=0o700)
    for name, signer in ((SERVER_KEY, server.key), (LOG_KEY, server.log_key)):
        path = root / "keys" / name
        path.touch(mode=0o600)
        path.write_bytes(signer.seed())
    (root / "card.jws").write_text(own.card.text)
    lines = [
        f'data_dir = "{root}"',
        f'service_card = "{root / "card.jws"}"',
        f'origin = "{server.origin}"',
        f"listen_port = {port}",
        f'log_file = "{root / "log.jsonl"}"',
        'log_level = "debug"',
        *more,
    ]
    (root / "settings.toml").write_text("\n".join(lines))


def _wire(origin: str) -> Wire:
    # Starlette's test client is an HTTP client that needs no network; here one that uses it stands in its place.
    return Wire(cast("TestClient", httpx2.Client(base_url=origin, timeout=60, trust_env=False)))
