"""`carnet erase`: told in plain words, typed back, done at both servers, and said by every command afterwards."""

import json
from pathlib import Path

import pytest

from carnet.errors import UnreachableError
from carnet.keys import RecoverySecret
from carnet.transport import ServerClient, ServerName
from tests.system.cli.conftest import Person
from tests.system.cli.test_devices import words

__all__ = ["words"]

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def filled(alice: Person, tmp_path: Path) -> Person:
    """Alice, with a document in her record."""
    (tmp_path / "note.txt").write_text("what nobody will read any more")
    alice.json("add", tmp_path / "note.txt")
    return alice


def test_the_record_is_erased_and_every_command_says_so(filled: Person, words: Path) -> None:
    erased = filled.json("erase", "--yes", "--words-file", words)
    assert erased["erased"]
    assert erased["vault"]["index"] > 0
    assert erased["keyservice"]["index"] > 0
    for command in (
        ["list"],
        ["record", "show"],
        ["record", "open"],
        ["grants"],
        ["history"],
        ["get", "note", "."],
        ["device", "list"],
        ["revoke", "--complete"],
    ):
        assert filled.refused(*command) == (4, "record_erased"), command
    said = filled.run("list")
    assert "was erased with `carnet erase`" in said.err


def test_once_more_needs_no_words_and_is_answered_as_before(filled: Person, words: Path) -> None:
    first = filled.json("erase", "--yes", "--words-file", words)
    assert filled.json("erase") == first


def test_without_the_words_or_without_a_yes_nothing_is_erased(filled: Person, words: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(" ".join(RecoverySecret.make().words()))
    assert filled.refused("erase", "--yes", "--words-file", tmp_path / "other") == (4, "unlock")
    assert filled.refused("erase", "--words-file", words) == (2, "usage")
    assert len(filled.json("list")["documents"]) == 1


@pytest.mark.parametrize("away", list(ServerName))
def test_a_server_that_is_away_is_told_with_the_next_command(
    filled: Person, words: Path, monkeypatch: pytest.MonkeyPatch, away: ServerName
) -> None:
    post = ServerClient.post

    def lose(server: ServerClient, path: str, *rest: object) -> object:
        if server.name is away and path.endswith("/erasure"):
            raise UnreachableError("cut", may_have_arrived=False)
        return post(server, path, *rest)  # type: ignore[arg-type, type-var]  # what it was given

    with monkeypatch.context() as cut:
        cut.setattr(ServerClient, "post", lose)
        said = filled.run("--json", "erase", "--yes", "--words-file", words)
        assert said.code == 3
        members = json.loads(said.out)
        assert not members["erased"]
        assert members[away.replace(" ", "")] is None
        (unsent,) = {name.replace(" ", "") for name in ServerName} - {away.replace(" ", "")}
        assert members[unsent]["index"] > 0
        waiting = filled.run("list")
        assert waiting.code == 4
        assert "the erasure of your record still waits to be sent" in waiting.err
        assert "run `carnet erase` again" in waiting.err
    assert filled.refused("list") == (4, "record_erased")
    assert filled.json("erase")["erased"]


def test_a_practitioner_sees_what_they_see_once_a_grant_has_ended(
    filled: Person, bob: Person, words: Path, tmp_path: Path
) -> None:
    assert filled.json("grant", tmp_path / "bob.json", "general-practitioner", "--yes")["grant"]
    assert len(bob.json("list")["documents"]) == 1
    filled.json("erase", "--yes", "--words-file", words)
    assert bob.json("inbox")["grants"] == []
    erased = bob.run("--json", "list")
    assert erased.code != 0
    assert "eras" not in erased.err
    assert bob.refused("erase", "--yes", "--words-file", words) == (2, "usage")
