"""The jobs of clients, killed (SIGKILL) at a request, at its answer, or at a file, and run again (attack 24)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS
from tests.system.cli.conftest import Person, Servers, quiet_environment
from tests.system.cli.test_practitioners import attest, kit_of

DYING = """
import itertools, os, signal, sys
from carnet.cli import main
from carnet.draft import Draft
from carnet.transport import ServerClient

number, numbers = int(sys.argv.pop(1)), itertools.count(1)

def dying(work):
    def act(*arguments, **named):
        here = next(numbers)
        if here == number and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        value = work(*arguments, **named)
        if here == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return value
    return act

ServerClient._attempt = dying(ServerClient._attempt)
Draft.replace = dying(Draft.replace)
sys.exit(main())
"""
"""The command, which kills itself at the n-th request or file: before it where n is odd, else when it is done."""
STRIDE = 7
"""Odd, so that both kinds of deaths come in turn."""


def die(person: Person, number: int, *words: object) -> int:
    """Run a command that dies at `number`; return its exit code."""
    command = [sys.executable, "-c", DYING, str(number), *person.shared(), *map(str, words)]
    done = subprocess.run(command, capture_output=True, env=quiet_environment(), timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode


def deaths(person: Person, *words: object) -> Iterator[int]:
    """Let a command die at every seventh request or file, until it lives; the caller runs it again each time.

    Yields how far it had come; what the caller does then is done after each death, and at the end.
    """
    for number in range(1, 1000, STRIDE):
        code = die(person, number, *words)
        yield number
        if code == 0:
            return


def test_a_revocation_that_is_completed(alice: Person, bob: Person, tmp_path: Path) -> None:
    assert bob.home.is_dir()
    for title in ("One", "Two"):
        (tmp_path / "note.txt").write_text(title)
        alice.json("add", tmp_path / "note.txt", "--title", title)
    furthest = 0
    grant = ("grant", tmp_path / "bob.json", "general-practitioner", "--without-kit", "--yes")
    words = ("revoke", alice.json(*grant)["grant"], "--complete")
    for number in deaths(alice, *words):
        furthest = number
        done = alice.json(*words)
        assert (done["complete"], done["unreadable"], done["readers_left_out"]) == (True, [], [])
        assert sorted(one["title"] for one in alice.json("list")["documents"]) == ["One", "Two"]
        alice.json("get", "One", "--out", tmp_path / "back", "--force")
        assert (tmp_path / "back").read_text() == "One"
    assert furthest > 3 * STRIDE
    assert alice.json("verify")["versions"] == 2
    assert alice.json("revoke", "--complete") == {"complete": True, "remade": 0}


def test_a_succession(
    alice: Person, bob: Person, attested: Callable[[str, str], Person], servers: Servers, tmp_path: Path
) -> None:
    attested("dave", "physician")
    (tmp_path / "note.txt").write_text("x")
    alice.json("add", tmp_path / "note.txt", "--title", "A note")
    alice.json("grant", tmp_path / "bob.json", "general-practitioner", "--without-kit", "--yes")
    kit, file = kit_of(bob, tmp_path), tmp_path / "successor.json"
    successor = Person(tmp_path / "successor", bob.passphrase_file, bob.capsys)
    successor.json("init", "--card", servers.card, "--practitioner")
    successor.json("whoami", "--save", file)
    given = tmp_path / "handover.json"
    words = ("handover", "give", file, "--out", given, "--words-file", kit, "--yes")
    for _ in deaths(bob, *words):
        assert bob.json(*words)["records"] == 1
    attest(servers.registrar(bob.capsys), servers, successor, file, "--succeeds", bob.json("whoami")["identity"])
    for _ in deaths(successor, "handover", "take", given):
        done = successor.json("handover", "take", given)
        assert (done["records"], done["skipped"]) == (1, [])
        assert [one["title"] for one in successor.json("list")["documents"]] == ["A note"]
    # Nothing is sealed to the old keys any more: they may be destroyed
    assert bob.refused("list") == (1, "verification")
