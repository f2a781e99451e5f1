"""A patient lets a doctor in, and shuts them out again, by commands alone."""

import filecmp
import re
from pathlib import Path

import pytest

from carnet.samples import make_bundle, make_ecg, make_letter
from tests.system.cli.conftest import Person

TITLES = {"Ordonnances et bilans biologiques", "Lettre de liaison", "Ecg de repos"}

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    make_letter(folder / "lettre-de_liaison_2026-09-15.pdf", seed=7)
    make_bundle(folder / "results.json", seed=7)
    make_ecg(folder / "ecg_de_repos.png", seed=7)
    (folder / "lettre-de_liaison_2026-09-15.pdf").rename(folder / "lettre_de_liaison_2026-09-15.pdf")
    return folder


@pytest.fixture
def record(alice: Person, documents: Path) -> Person:
    """Alice with three documents and a printed kit, which she confirmed."""
    alice.json("add", documents)
    return alice


def titles(person: Person, *words: object) -> set[str]:
    return {str(document["title"]) for document in person.json("list", *words)["documents"]}


def test_whole_consultation(record: Person, bob: Person, documents: Path, tmp_path: Path) -> None:
    alice, doctor = record, tmp_path / "bob.json"
    assert titles(alice) == TITLES
    # Hidden before anybody was let in
    alice.json("move", "Ecg de repos", "private")
    # Nobody is let in by accident: first the kit, then a yes
    assert alice.refused("grant", doctor, "consultation", "--yes") == (4, "recovery_kit_missing")
    assert alice.refused("grant", doctor, "consultation", "--without-kit") == (2, "usage")
    signed = alice.json("grant", doctor, "consultation", "--without-kit", "--yes", "--note", "Alice, at two")
    assert {document["title"] for document in signed["visible"]} == TITLES - {"Ecg de repos"}
    assert signed["expires"] - signed["not_before"] == 1800
    # The doctor reads exactly that
    (received,) = bob.json("inbox")["grants"]
    assert (received["note"], received["permission"]) == ("Alice, at two", "read")
    assert titles(bob) == titles(bob, "--record", "at two") == TITLES - {"Ecg de repos"}
    bob.json("get", "--all", "--out", tmp_path / "read")
    for name in ("lettre_de_liaison_2026-09-15.pdf", "results.json"):
        assert filecmp.cmp(tmp_path / "read" / name, documents / name, shallow=False)
    assert bob.refused("show", "Ecg de repos") == (2, "not_found")
    # What happened stands in the logs
    happened = {event["kind"] for event in alice.json("history")["events"]}
    assert {"statement.grant", "statement.filing", "release.list", "release.open", "fetch.open"} <= happened
    # Shut out, then completely
    revoked = alice.json("revoke", signed["grant"][:6], "--complete")
    assert revoked["complete"]
    assert revoked["remade"] >= 4
    assert bob.refused("list") == (1, "grant_ended")
    assert bob.refused("get", "--all", "--out", tmp_path / "again") == (1, "grant_ended")
    (grant,) = alice.json("grants")["grants"]
    assert grant["state"] == "revoked"
    assert alice.json("verify") == {"versions": 3, "size": grant_size(documents), "problems": [], "verified": True}


def grant_size(documents: Path) -> int:
    return sum(path.stat().st_size for path in documents.iterdir())


def test_single_document_and_its_window(record: Person, bob: Person, tmp_path: Path) -> None:
    doctor = tmp_path / "bob.json"
    words = ("grant", doctor, "--without-kit", "--yes", "--document", "Lettre de liaison")
    assert record.refused(*words) == (2, "usage")  # no time was said
    assert record.refused(*words, "--for", "2 hours", "--until", "18:00") == (2, "usage")
    record.json(*words, "--for", "2 hours")
    assert titles(bob) == {"Lettre de liaison"}
    assert bob.json("verify")["versions"] == 1


def test_grant_that_begins_later_opens_nothing_yet(record: Person, bob: Person, tmp_path: Path) -> None:
    doctor = tmp_path / "bob.json"
    record.json("grant", doctor, "emergency", "--without-kit", "--yes", "--from", "2099-01-01 10:00")
    assert bob.refused("list") == (1, "grant_ended")
    assert record.json("grants")["grants"][0]["state"] == "coming"


def test_what_a_person_sees_of_it(record: Person, bob: Person, tmp_path: Path) -> None:
    said = record.run("grant", tmp_path / "bob.json", "consultation", "--without-kit", "--yes")
    assert "They will see 3 documents:" in said.out
    assert "Bob, physician" in said.out
    assert re.search(r"Short code +(\d{5} ){5}\d{5}", said.out)
    assert "Signed." in said.out
    assert bob.run("list").out.count("\n") == 5
    assert re.search("Your access ends in (29|30) min", bob.run("list").out)


def test_versions_ranges_and_files_that_are_there(record: Person, documents: Path, tmp_path: Path) -> None:
    letter = documents / "lettre_de_liaison_2026-09-15.pdf"
    (tmp_path / "corrected.pdf").write_bytes(letter.read_bytes() + b"\n% corrected")
    added = record.json("add", tmp_path / "corrected.pdf", "--new-version-of", "Lettre de liaison", "--title", "Letter")
    assert added["added"][0]["version"] == 2
    assert [version["version"] for version in record.json("history", "Letter")["versions"]] == [1, 2]
    record.json("get", "Letter", "--version", 1, "--out", tmp_path / "first.pdf")
    assert filecmp.cmp(tmp_path / "first.pdf", letter, shallow=False)
    record.json("get", "Letter", "--range", "10-19", "--out", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == letter.read_bytes()[10:20]
    assert record.refused("get", "Letter", "--out", tmp_path / "part") == (2, "usage")
    assert (tmp_path / "part").read_bytes() == letter.read_bytes()[10:20]
    record.json("get", "Letter", "--out", tmp_path / "part", "--force")
    assert filecmp.cmp(tmp_path / "part", tmp_path / "corrected.pdf", shallow=False)


def test_what_is_here_already_is_not_fetched_again(record: Person, tmp_path: Path) -> None:
    first = record.json("get", "--all", "--out", tmp_path / "out")
    assert first["already_here"] == []
    gone, changed, *_ = (Path(one["path"]) for one in first["written"])
    gone.unlink()
    changed.write_bytes(b"\0" * changed.stat().st_size)
    again = record.json("get", "--all", "--out", tmp_path / "out")
    assert {Path(one["path"]) for one in again["already_here"]} == {Path(one["path"]) for one in first["written"]} - {
        gone,
        changed,
    }
    assert gone in {Path(one["path"]) for one in again["written"]}
    assert len(again["written"]) == 2
    assert changed.read_bytes() == b"\0" * changed.stat().st_size  # nothing is written over


def test_export_and_removal(record: Person, tmp_path: Path) -> None:
    exported = record.json("export", tmp_path / "export")
    assert (exported["versions"], exported["problems"]) == (3, [])
    assert (tmp_path / "export" / "index.json").is_file()
    assert record.refused("export", tmp_path / "export") == (2, "usage")
    assert record.refused("remove", "Lettre de liaison") == (2, "usage")
    record.json("remove", "Lettre de liaison", "--yes")
    assert titles(record) == TITLES - {"Lettre de liaison"}
    assert len(record.json("list", "--removed")["removed"]) == 1


def test_reencryption_keeps_every_byte(record: Person, bob: Person, documents: Path, tmp_path: Path) -> None:
    signed = record.json("grant", tmp_path / "bob.json", "general-practitioner", "--without-kit", "--yes")
    record.json("revoke", signed["grant"], "--complete", "--reencrypt")
    assert record.json("verify")["size"] == grant_size(documents)
    assert bob.refused("list") == (1, "grant_ended")
