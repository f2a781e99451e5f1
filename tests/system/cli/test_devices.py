"""A second device, a lost one, a kit, and beginning anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from carnet.errors import UnreachableError
from carnet.keys import RecoverySecret
from carnet.session import open_session
from tests.system.cli.conftest import Person, Servers

pytestmark = pytest.mark.usefixtures("quick_passphrases")


def words_of(person: Person) -> tuple[str, ...]:
    """The words that wait in a person's home to be printed."""
    with open_session(person.home, passphrase=person.passphrase_file.read_text().strip()) as session:
        secret = session.keyring.body.recovery_secret
        assert secret is not None
        return secret.words()


@pytest.fixture
def words(alice: Person, tmp_path: Path) -> Path:
    """The words of Alice's kit, as somebody would copy them from the page; her machine has forgotten them."""
    (tmp_path / "words").write_text(" ".join(words_of(alice)).upper())
    alice.json("recovery", "kit", tmp_path / "kit.pdf")
    alice.json("recovery", "confirm", "--words-file", tmp_path / "words")
    return tmp_path / "words"


def test_kit_is_printed_confirmed_and_forgotten(alice: Person, words: Path, tmp_path: Path) -> None:
    assert (tmp_path / "kit.pdf").read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "kit.pdf").stat().st_mode & 0o777 == 0o600
    assert words.exists()
    assert alice.refused("recovery", "kit", tmp_path / "second.pdf") == (2, "usage")
    assert alice.json("recovery", "confirm") == {"confirmed": True}


def test_other_words_are_not_taken_for_the_printed_ones(alice: Person, tmp_path: Path) -> None:
    alice.json("recovery", "kit", tmp_path / "kit.pdf")
    (tmp_path / "other").write_text(" ".join(RecoverySecret.make().words()))
    assert alice.refused("recovery", "confirm", "--words-file", tmp_path / "other") == (4, "unlock")
    (tmp_path / "few").write_text("abandon " * 23)
    assert alice.refused("recovery", "confirm", "--words-file", tmp_path / "few") == (4, "word_count")


def test_page_that_somebody_saw_is_replaced_and_stops_working(
    alice: Person, words: Path, servers: Servers, make_person: Callable[[str], Person], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("before")
    alice.json("add", tmp_path / "note.txt")
    (tmp_path / "other").write_text(" ".join(RecoverySecret.make().words()))
    assert alice.refused("recovery", "renew", tmp_path / "new.pdf", "--words-file", tmp_path / "other") == (4, "unlock")
    assert alice.refused("recovery", "renew", tmp_path / "kit.pdf", "--words-file", words) == (2, "usage")
    renewed = alice.json("recovery", "renew", tmp_path / "new.pdf", "--words-file", words, "--language", "fr")
    assert renewed["identity"] == alice.json("whoami")["identity"]
    assert (tmp_path / "new.pdf").read_bytes().startswith(b"%PDF-")
    assert {part["epoch"] for part in alice.json("record", "show")["compartments"]} == {2}
    (tmp_path / "four letters").write_text(" ".join(word[:4] for word in words_of(alice)))
    alice.json("recovery", "confirm", "--words-file", tmp_path / "four letters")
    restore = ("recovery", "restore", "--card", servers.card, "--words-file")
    laptop = make_person("laptop")
    assert laptop.refused(*restore, words) == (4, "unlock")
    assert not laptop.home.exists()
    laptop.json(*restore, tmp_path / "four letters")
    assert len(laptop.json("list")["documents"]) == 1


def test_words_that_were_never_printed_can_be_renewed_without_typing_them(alice: Person, tmp_path: Path) -> None:
    before = words_of(alice)
    alice.json("recovery", "renew", tmp_path / "kit.pdf")
    assert words_of(alice) != before


def test_second_device_joins_and_does_all(
    alice: Person, servers: Servers, make_person: Callable[[str], Person], tmp_path: Path
) -> None:
    tablet = make_person("tablet")
    request, answer = tmp_path / "request.json", tmp_path / "answer.json"
    asked = tablet.json("device", "request", "--card", servers.card, "--out", request)
    assert alice.refused("device", "approve", request, "--out", answer) == (2, "usage")
    approved = alice.json("device", "approve", request, "--out", answer, "--name", "tablet", "--yes")
    assert approved["short_code"] == asked["short_code"]
    joined = tablet.json("device", "join", answer)
    assert joined["identity"] == alice.json("whoami")["identity"]
    assert {device["name"] for device in tablet.json("device", "list")["devices"]} >= {"tablet"}
    (tmp_path / "note.txt").write_text("from the tablet")
    tablet.json("add", tmp_path / "note.txt")
    assert len(alice.json("list")["documents"]) == 1


def test_stolen_device_is_shut_out_for_good(
    alice: Person, words: Path, servers: Servers, make_person: Callable[[str], Person], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("before the theft")
    alice.json("add", tmp_path / "note.txt")
    thief = Person(tmp_path / "thief", alice.passphrase_file, alice.capsys)
    shutil.copytree(alice.home, thief.home)
    assert len(thief.json("list")["documents"]) == 1
    laptop = make_person("laptop")
    laptop.json("recovery", "restore", "--card", servers.card, "--words-file", words, "--device-name", "new laptop")
    assert laptop.refused("recovery", "restore", "--card", servers.card, "--words-file", words) == (4, "home_taken")
    (stolen,) = [one["device"] for one in laptop.json("device", "list")["devices"] if not one["is_this"]]
    removed = laptop.json("device", "remove", stolen[:10], "--words-file", words, "--yes")
    assert removed["complete"]
    assert thief.refused("list") == (1, "unauthenticated")
    assert thief.refused("add", tmp_path / "note.txt") == (1, "unauthenticated")
    # All of this may happen in one second, and then the note was written at the time from which the thief is out.
    shown = json.loads(laptop.run("verify", "--json").out)
    assert shown["versions"] + len(shown["problems"]) == 1


def test_restoring_that_was_cut_is_run_again(
    alice: Person,
    words: Path,
    servers: Servers,
    make_person: Callable[[str], Person],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    laptop = make_person("laptop")
    restore = ("recovery", "restore", "--card", servers.card, "--words-file", words)

    def lose(_: object) -> None:
        raise UnreachableError("cut")

    with monkeypatch.context() as cut:
        cut.setattr("carnet.recovery.register", lose)
        assert laptop.refused(*restore) == (3, "unreachable")
    assert laptop.json(*restore)["identity"] == alice.json("whoami")["identity"]
    assert len(alice.json("device", "list")["devices"]) == 2
    assert laptop.refused(*restore) == (4, "home_taken")


def test_removal_needs_the_words(alice: Person, words: Path, tmp_path: Path) -> None:
    (device,) = alice.json("device", "list")["devices"]
    (tmp_path / "other").write_text(" ".join(RecoverySecret.make().words()))
    remove = ("device", "remove", device["device"], "--yes", "--words-file")
    assert alice.refused(*remove, tmp_path / "other") == (4, "unlock")
    assert alice.refused(*remove, words) == (2, "usage")  # it would shut itself out


def test_passphrase_is_changed(alice: Person, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("another passphrase\n")
    alice.json("passphrase", "change", "--new-passphrase-file", tmp_path / "new")
    assert alice.refused("list") == (4, "unlock")
    alice.passphrase_file.write_text("another passphrase\n")
    assert alice.json("list")["documents"] == []
