"""What goes wrong is told with what to do next, and by its exit code; nothing is left half done."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from carnet.cli import deposits
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.errors import UnreachableError
from tests.system.cli.conftest import Person, Servers

pytestmark = pytest.mark.usefixtures("quick_passphrases")


def test_wrong_passphrase_and_home_that_is_taken(alice: Person, servers: Servers, tmp_path: Path) -> None:
    assert alice.refused("init", "--card", servers.card) == (4, "home_taken")
    other = Person(alice.home, tmp_path / "wrong", alice.capsys)
    other.passphrase_file.write_text("not the passphrase\n")
    assert other.refused("list") == (4, "unlock")
    other.passphrase_file.unlink()
    assert other.refused("list") == (4, "home")


def test_home_is_for_its_owner_alone(alice: Person) -> None:
    for path in (alice.home, *alice.home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_card_must_be_the_one_that_was_told(
    servers: Servers, make_person: Callable[[str], Person], tmp_path: Path
) -> None:
    somebody = make_person("somebody")
    words = ("init", "--card", servers.card, "--fingerprint")
    assert somebody.refused(*words, "A" * 43) == (1, "verification")
    assert somebody.refused(*words, "short") == (2, "usage")
    assert somebody.refused("init", "--card", tmp_path / "none") == (4, "home")
    (tmp_path / "changed").write_text(Path(servers.card).read_text().replace("A", "B", 1)[:-4] + "AAAA")
    assert somebody.refused("init", "--card", tmp_path / "changed") == (1, "verification")
    assert somebody.refused("init", "--card", "http://192.0.2.1:4000") == (2, "usage")
    assert not somebody.home.exists()


WRONG_NAMES = [
    (("show", "nothing"), "not_found"),
    (("move", "nothing", "private"), "not_found"),
    (("revoke", "nothing"), "not_found"),
    (("get",), "usage"),
    (("get", "nothing", "--range", "5-1", "--out", "x"), "usage"),
    (("get", "nothing", "--range", "a-b", "--out", "x"), "usage"),
    (("get", "a", "b", "--version", "1"), "usage"),
    (("list", "--record", "x"), "usage"),
    (("list", "--compartment", "nothing"), "not_found"),
    (("add", "nothing"), "usage"),
    (("grant", "nobody", "consultation"), "usage"),
    (("revoke",), "usage"),
    (("revoke", "x", "--reencrypt"), "usage"),
]


def test_wrong_names_end_with_two(alice: Person) -> None:
    outcomes = [(words, *alice.refused(*words)) for words, _ in WRONG_NAMES]
    assert outcomes == [(words, 2, code) for words, code in WRONG_NAMES]


def test_few_letters_of_an_id_name_nothing(alice: Person, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("x")
    (added,) = alice.json("add", tmp_path / "note.txt")["added"]
    record, document = alice.json("whoami")["identity"], added["document"]
    assert alice.refused("list", "--record", record[:3]) == (2, "usage")
    assert alice.refused("show", document[:3]) == (2, "not_found")
    assert alice.refused("remove", document[:3], "--yes") == (2, "not_found")
    assert len(alice.json("list", "--record", record[:4])["documents"]) == 1


def test_what_a_kill_left_of_an_upload_goes_with_the_next_command(alice: Person, tmp_path: Path) -> None:
    litter = alice.home / "spool" / "0123"
    litter.parent.mkdir(exist_ok=True)
    litter.write_bytes(b"x")
    (tmp_path / "note.txt").write_text("x")
    alice.json("add", tmp_path / "note.txt")
    assert not litter.exists()


def test_nothing_is_said_twice(alice: Person) -> None:
    said = alice.run("show", "nothing", "--json")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_batch_that_was_cut_goes_on_without_doing_anything_twice(
    alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(7):
        (folder / f"élémentaire {number}.txt").write_text(f"note {number}")
    monkeypatch.setattr(deposits, "_MOST_IN_BATCH", 3)
    calls: list[int] = []

    def cut(session: object, access: object, batch: list[NewVersion]) -> object:
        calls.append(len(batch))
        if len(calls) == 2:
            raise UnreachableError("the vault cannot be reached")
        return deposit_small(session, access, batch)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(deposits, "deposit_small", cut)
    assert alice.refused("add", folder) == (3, "unreachable")
    assert len(alice.json("list")["documents"]) == 3
    assert len(alice.json("add", folder)["added"]) == 7
    assert calls == [3, 3, 3, 1]
    assert len(alice.json("list")["documents"]) == 7
    # Once it was done, the same words mean a second deposit
    assert len(alice.json("add", folder)["added"]) == 7
    assert len(alice.json("list")["documents"]) == 14


def test_hostile_names_reach_neither_terminal_nor_disk(alice: Person, tmp_path: Path) -> None:
    name = "scan\x1b[2J\u202egpj.exe\r.txt"
    (tmp_path / name).write_text("x")
    alice.json("add", tmp_path / name, "--comment", "first\nsecond")
    shown = alice.run("list").out + alice.run("show", "Scan").err + alice.run("verify").out
    (document,) = alice.json("list")["documents"]
    shown += alice.run("show", document["document"]).out + alice.run("history").out
    assert all(line.isprintable() for line in shown.split("\n"))
    assert document["title"].isprintable()
    assert document["file_name"] is None
    (tmp_path / "out").mkdir()
    (written,) = alice.json("get", document["document"], "--out", tmp_path / "out")["written"]
    assert Path(written["path"]).parent == tmp_path / "out"
    assert Path(written["path"]).name.isprintable()
    said = alice.run("add", tmp_path / "none\x1b[2J")
    assert said.code == 2
    assert "\x1b" not in said.err


def test_what_cannot_be_said_of_a_document_is_told(alice: Person, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    codes = [
        alice.run("add", tmp_path / "x.txt", option, "a\x1b[2Jb" * 900).code
        for option in ("--title", "--comment", "--author")
    ]
    assert codes == [0, 2, 0]
    shown = alice.run("list").out
    assert all(line.isprintable() for line in shown.split("\n"))
