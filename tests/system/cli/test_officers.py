"""Officers: the first one by the programs of the servers, every other by an officer, over real HTTP."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.cli.conftest import Person, Servers, quiet_environment

pytestmark = pytest.mark.usefixtures("quick_passphrases")


def enrol_on_the_machine(servers: Servers, server: str, key_file: Path) -> None:
    """Put an officer in force as whoever holds the machine of `server` does."""
    words = ("officers", "enrol", "--settings", servers.data / server / "settings.toml", "--key-file", key_file)
    done = subprocess.run(
        [sys.executable, "-m", f"carnet_{server}", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        env=quiet_environment(),
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def officer(make_person: Callable[[str], Person], tmp_path: Path) -> Callable[[str], str]:
    """Makes an officer's key, and its file; returns the fingerprint."""

    def make(name: str) -> str:
        made = make_person(name).json("officer", "init", "--save", tmp_path / f"{name}.key")
        assert (tmp_path / f"{name}.key").read_text() == made["public_key"] + "\n"
        return str(made["fingerprint"])

    return make


@pytest.mark.parametrize("server", ["vault", "keyservice"])
def test_officers_come_and_go(
    servers: Servers,
    make_person: Callable[[str], Person],
    officer: Callable[[str], str],
    tmp_path: Path,
    server: str,
) -> None:
    first, second = officer("olga"), officer("otto")
    olga, otto = make_person("olga"), make_person("otto")
    at = ("--card", servers.card, "--server", server, "--fingerprint", servers.said["card_fingerprint"])
    refused = olga.run("officer", "status", *at)
    assert (refused.code, refused.out) == (1, "")
    assert f"`carnet-{server} officers enrol`" in " ".join(refused.err.split())
    assert olga.refused("officer", "enrol", tmp_path / "otto.key", *at) == (1, "unauthenticated")

    enrol_on_the_machine(servers, server, tmp_path / "olga.key")
    status = olga.json("officer", "status", *at)
    assert [one["fingerprint"] for one in status["officers"] if one["retired"] is None] == [first]
    assert olga.json("officer", "enrol", tmp_path / "otto.key", *at)["officer"] == second
    said = otto.run("officer", "status", *at)
    assert said.code == 0, said.err
    assert f"{second}  event" in said.out
    assert "in force, this key" in said.out

    retired = olga.json("officer", "retire", second, *at)
    assert (retired["officer"], retired["server"]) == (second, server)
    assert otto.refused("officer", "status", *at) == (1, "unauthenticated")
    assert "make a new one" in otto.run("officer", "status", *at).err
    assert olga.refused("officer", "enrol", tmp_path / "otto.key", *at) == (1, "conflict")
    # One's own key goes last
    olga.json("officer", "retire", first, *at)
    assert olga.refused("officer", "status", *at) == (1, "unauthenticated")


def test_officer_of_a_name_with_a_hyphen_is_asked_for(
    servers: Servers, make_person: Callable[[str], Person], officer: Callable[[str], str]
) -> None:
    officer("olga")
    at = ("--card", servers.card, "--server", "vault")
    for name in ("-" + "A" * 42, "--" + "A" * 41):
        assert make_person("olga").refused("officer", "retire", name, *at) == (1, "unauthenticated")
    assert make_person("olga").refused("officer", "retire", "A" * 42, *at) == (2, "usage")


def test_officer_has_a_key_of_ones_own(make_person: Callable[[str], Person], tmp_path: Path) -> None:
    olga = make_person("olga")
    assert olga.refused("officer", "show") == (4, "no_home")
    made = olga.json("officer", "init")
    assert olga.refused("officer", "init") == (4, "home_taken")
    shown = olga.json("officer", "show", "--save", tmp_path / "olga.key")
    assert shown == {**made, "saved": str(tmp_path / "olga.key")}


def test_wrong_passphrase_signs_nothing(servers: Servers, make_person: Callable[[str], Person], tmp_path: Path) -> None:
    olga = make_person("olga")
    olga.json("officer", "init")
    (tmp_path / "other.passphrase").write_text("another passphrase\n")
    stranger = Person(olga.home, tmp_path / "other.passphrase", olga.capsys)
    assert stranger.refused("officer", "status", "--card", servers.card, "--server", "vault") == (4, "unlock")
