"""Both servers as `carnet up` runs them, and people who type commands."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from carnet.cli.entry import main
from carnet.sealing import PassphraseCost, stretch_passphrase
from tests.support.children import ending
from tests.support.patience import PATIENCE_SECONDS

PASSPHRASE = "correct horse battery staple"
PROGRAM = [sys.executable, "-m", "carnet.cli"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        assert self.code == 0, self.err
        value: dict[str, Any] = json.loads(self.out)
        return value

    def error(self) -> str:
        """The code of the error on standard error; nothing went to standard output."""
        assert self.out == ""
        return str(json.loads(self.err)["error"]["code"])


@dataclass(slots=True)
class Person:
    """Somebody with a home; commands run in this process unless they are to be interrupted."""

    home: Path
    passphrase_file: Path
    capsys: pytest.CaptureFixture[str] = field(repr=False)

    def run(self, *words: object) -> Said:
        """Run a command and return what it said."""
        self.capsys.readouterr()
        code = main([*self.shared(), *map(str, words)])
        said = self.capsys.readouterr()
        return Said(code, said.out, said.err)

    def json(self, *words: object) -> dict[str, Any]:
        """Run a command that is to go well, with `--json`, and return its object."""
        return self.run("--json", *words).json()

    def refused(self, *words: object) -> tuple[int, str]:
        """Run a command that is to fail, with `--json`; return its exit code and the code of its error."""
        said = self.run("--json", *words)
        return said.code, said.error()

    def command(self, *words: object) -> list[str]:
        """The command as a program of its own."""
        return [*PROGRAM, *self.shared(), *map(str, words)]

    def shared(self) -> list[str]:
        """The options that say who this is."""
        return ["--home", str(self.home), "--passphrase-file", str(self.passphrase_file)]


@dataclass(frozen=True, slots=True)
class Servers:
    """A running `carnet up`, and what it said."""

    data: Path
    said: dict[str, Any]
    process: subprocess.Popen[str]

    @property
    def card(self) -> str:
        """The service card."""
        return str(self.said["card"])

    def registrar(self, capsys: pytest.CaptureFixture[str]) -> Person:
        """The registrar that `carnet up` made."""
        home = Path(self.said["registrar"])
        return Person(home, home / "passphrase", capsys)


@contextlib.contextmanager
def running_servers(data: Path, *options: str) -> Iterator[Servers]:
    """`carnet up`, from when both servers answer; killed at the end, unless it was stopped."""
    process = subprocess.Popen(
        [*PROGRAM, "up", "--data", str(data), "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet_environment(),
    )
    with ending(process):
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        yield Servers(data, json.loads(line), process)


def stop_servers(servers: Servers, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    """Send a signal, wait; return the exit code and what was said on standard error."""
    servers.process.send_signal(number)
    _, err = servers.process.communicate(timeout=PATIENCE_SECONDS)
    return servers.process.returncode, err


def quiet_environment() -> dict[str, str]:
    """The environment without a home or passphrase of the machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CARNET_")}


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, for all tests of this folder."""
    with running_servers(tmp_path_factory.mktemp("servers") / "data") as servers:
        yield servers
        assert stop_servers(servers) == (0, "")


@pytest.fixture
def start_servers() -> Iterator[Callable[..., Servers]]:
    """Starts servers of a test's own, which end with it whatever became of it."""
    with contextlib.ExitStack() as running:
        yield lambda data, *options: running.enter_context(running_servers(data, *options))


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash in place of Argon2id for the people of a test, whose commands all run in this process.

    Tests with programs of their own, and the registrar that `carnet up` made, pay the whole cost.
    """

    def hash_once(passphrase: str, *, salt: bytes, cost: PassphraseCost) -> bytes:
        if not passphrase.startswith(PASSPHRASE):
            return stretch_passphrase(passphrase, salt=salt, cost=cost)
        return hashlib.sha256(salt + passphrase.encode()).digest()

    monkeypatch.setattr("carnet.slots.stretch_passphrase", hash_once)


@pytest.fixture(autouse=True)
def _no_home_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARNET_HOME", raising=False)
    monkeypatch.delenv("CARNET_PASSPHRASE_FILE", raising=False)


@pytest.fixture
def make_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Person]:
    """Makes somebody with an empty home."""

    def make(name: str) -> Person:
        file = tmp_path / f"{name}.passphrase"
        file.write_text(f"{PASSPHRASE} of {name}\n")
        return Person(tmp_path / name, file, capsys)

    return make


@pytest.fixture
def alice(servers: Servers, make_person: Callable[[str], Person]) -> Person:
    """A patient with an open record."""
    person = make_person("alice")
    person.json("init", "--card", servers.card, "--fingerprint", servers.said["card_fingerprint"])
    person.json("record", "open")
    return person


@pytest.fixture
def attested(
    servers: Servers, make_person: Callable[[str], Person], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, str], Person]:
    """Makes practitioners whom the registrar attests."""

    def attest(name: str, profession: str) -> Person:
        person = make_person(name)
        person.json("init", "--card", servers.card, "--practitioner")
        person.json("whoami", "--save", tmp_path / f"{name}.json")
        registrar = servers.registrar(capsys)
        registrar.json(
            *("registrar", "attest", tmp_path / f"{name}.json", "--name", name.title(), "--yes"),
            *("--profession", profession, "--organisation", f"Cabinet {name}"),
        )
        registrar.json("registrar", "publish", "--card", servers.card)
        return person

    return attest


@pytest.fixture
def bob(attested: Callable[[str, str], Person]) -> Person:
    """A doctor."""
    return attested("bob", "physician")


@pytest.fixture
def laboratory(attested: Callable[[str, str], Person]) -> Person:
    """A laboratory."""
    return attested("laboratory", "laboratory")
