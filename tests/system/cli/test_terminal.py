"""What a person at a terminal is asked and shown."""

import re
import subprocess
from pathlib import Path

from carnet.cli.erase import PHRASE
from tests.system.cli.conftest import PROGRAM, Person, Servers, quiet_environment
from tests.system.cli.typist import Typist


def start(home: Path, *words: str, columns: int = 80) -> Typist:
    environment = {**quiet_environment(), "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "50"}
    return Typist.start([*PROGRAM, "--home", str(home), *words], environment)


def test_passphrase_is_asked_for_twice_and_never_shown(servers: Servers, tmp_path: Path) -> None:
    typist = start(tmp_path / "home", "init", "--card", servers.card)
    typist.wait_for("New passphrase:")
    typist.type("typed by a person")
    typist.wait_for("Once more:")
    typist.type("typed by a person")
    assert typist.end() == 0
    assert "You are a patient" in typist.shown
    assert "typed by a person" not in typist.shown
    typist = start(tmp_path / "home", "record", "open")
    typist.wait_for("Passphrase:")
    typist.type("typed by somebody else")
    assert typist.end() == 4
    assert "does not open" in typist.shown


def test_grant_is_signed_only_after_a_yes(alice: Person, bob: Person, tmp_path: Path) -> None:
    assert bob.home.is_dir()
    (tmp_path / "note.txt").write_text("x")
    alice.json("add", tmp_path / "note.txt", "--title", "A note")
    shared = ["--passphrase-file", str(alice.passphrase_file), "grant", str(tmp_path / "bob.json"), "consultation"]
    typist = start(alice.home, *shared)
    typist.wait_for("Write the page to which file? Such as kit.pdf")
    typist.type(str(tmp_path / "kit.pdf"))
    typist.wait_for("They will see 1 document:")
    typist.wait_for("Sign this grant? [y/N]")
    typist.type("")
    assert typist.end() == 1
    assert "Nothing was signed." in typist.shown
    assert (tmp_path / "kit.pdf").exists()
    assert alice.json("grants")["grants"] == []
    typist = start(alice.home, *shared, "--without-kit")
    typist.wait_for("Sign this grant? [y/N]")
    typist.type("y")
    assert typist.end() == 0
    assert len(alice.json("grants")["grants"]) == 1


def test_record_is_erased_only_after_the_phrase_is_typed_back(alice: Person) -> None:
    shared = ["--passphrase-file", str(alice.passphrase_file), "erase"]
    typist = start(alice.home, *shared)
    typist.wait_for("Nothing calls that back.")
    typist.wait_for("It cannot be undone")
    typist.wait_for(f"type “{PHRASE}”:")
    typist.type("yes")
    assert typist.end() == 1
    assert "Nothing was erased." in typist.shown
    assert alice.json("list")["documents"] == []
    typist = start(alice.home, *shared)
    typist.wait_for(f"type “{PHRASE}”:")
    typist.type(PHRASE.upper())
    typist.wait_for("Your record is erased.")
    assert typist.end() == 0
    assert alice.refused("list") == (4, "record_erased")


def test_whoami_shows_a_code_to_scan_and_one_to_read(alice: Person) -> None:
    typist = start(alice.home, "whoami")
    assert typist.end() == 0
    assert "▀" in typist.shown
    assert alice.json("whoami")["short_code"] in typist.shown


def test_bar_is_drawn_and_gone(alice: Person, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(9 << 20))
    typist = start(alice.home, "--passphrase-file", str(alice.passphrase_file), "add", str(tmp_path / "large.bin"))
    assert typist.end() == 0
    assert "\x1b[2K" in typist.shown
    assert "Large" in typist.shown


def test_tables_fit_a_terminal(alice: Person, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    alice.json("add", tmp_path / "x.txt", "--title", "A title of many words " * 8)
    for columns in (80, 120):
        typist = start(alice.home, "--passphrase-file", str(alice.passphrase_file), "list", columns=columns)
        assert typist.end() == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", typist.shown).splitlines()
        assert max(map(len, lines)) <= columns


def test_passphrase_file_may_be_a_pipe(alice: Person) -> None:
    command = ["bash", "-c", f'"$@" --home {alice.home} --passphrase-file <(cat {alice.passphrase_file}) list', "bash"]
    done = subprocess.run([*command, *alice.command()[:3]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
