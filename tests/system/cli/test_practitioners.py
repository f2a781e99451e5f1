"""Laboratories, registrars, and people who ask for what is not theirs."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from carnet.capsules import seal_capsule
from carnet.documents import deposit as depositing
from carnet.samples import make_bundle
from carnet.sealing import KemPrivateKey
from carnet.session import open_session
from carnet_protocol.api import Capsule
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import WrapTuple
from tests.system.cli.conftest import Person, Servers

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def deposit(alice: Person, laboratory: Person, tmp_path: Path) -> str:
    """The grant under which the laboratory deposits into Alice's record."""
    assert laboratory.home.is_dir()
    words = ("grant", tmp_path / "laboratory.json", "--deposit", "--compartment", "laboratory", "--without-kit")
    return str(alice.json(*words, "--for", "1 year", "--yes")["grant"])


def test_laboratory_deposits_and_reads_nothing(alice: Person, laboratory: Person, deposit: str, tmp_path: Path) -> None:
    make_bundle(tmp_path / "results.json", seed=3)
    (added,) = laboratory.json("add", tmp_path / "results.json", "--title", "Bilan")["added"]
    assert laboratory.refused("list") == (1, "grant_ended")
    assert laboratory.refused("get", added["document"]) == (1, "grant_ended")
    assert laboratory.refused("verify") == (1, "grant_ended")
    (document,) = alice.json("list")["documents"]
    assert (document["title"], document["author_name"]) == ("Bilan", "Laboratory")
    assert document["compartment_name"] == "laboratory"
    assert document["author"] == laboratory.json("whoami")["identity"]
    # It corrects and retracts its own
    words = ("--grant", deposit)
    again = laboratory.json("add", tmp_path / "results.json", "--new-version-of", added["document"], *words)
    assert again["added"][0]["version"] == 2
    laboratory.json("remove", added["document"], *words, "--yes")
    assert alice.json("list")["documents"] == []


def test_correction_after_a_move_is_moved_along(
    alice: Person, laboratory: Person, deposit: str, tmp_path: Path
) -> None:
    make_bundle(tmp_path / "results.json", seed=3)
    (added,) = laboratory.json("add", tmp_path / "results.json")["added"]
    alice.json("move", added["document"], "private")
    words = ("--new-version-of", added["document"], "--grant", deposit)
    laboratory.json("add", tmp_path / "results.json", *words)
    (document,) = alice.json("list")["documents"]
    assert (document["version"], document["compartment_name"]) == (2, "private")
    assert [alice.json("move", added["document"], "private")["moved"] for _ in range(2)] == [True, False]


@pytest.fixture
def garbage(laboratory: Person, deposit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A document that the laboratory deposited and that opens for nobody."""
    assert deposit
    make_bundle(tmp_path / "results.json", seed=3)
    nobody = KemPrivateKey.make(WRITE_SUITE).public_key

    def seal_to_nobody(
        content_key: bytes, wrap: WrapTuple, *, recipient_public_key: bytes, lock: Signed[Lock]
    ) -> Capsule:
        assert recipient_public_key != nobody
        return seal_capsule(content_key, wrap, recipient_public_key=nobody, lock=lock)

    with monkeypatch.context() as lying:
        lying.setattr(depositing, "seal_capsule", seal_to_nobody)
        (added,) = laboratory.json("add", tmp_path / "results.json")["added"]
    return str(added["document"])


def test_document_that_opens_for_nobody_is_listed_as_such_and_can_be_removed(
    alice: Person, garbage: str, tmp_path: Path
) -> None:
    said = alice.run("list", "--json")
    assert (said.code, [one["document"] for one in json.loads(said.out)["problems"]]) == (1, [garbage])
    assert alice.refused("get", garbage, "--out", tmp_path / "x") == (2, "not_found")
    assert alice.refused("remove", garbage[:8]) == (2, "usage")  # nobody can be asked
    assert alice.json("remove", garbage[:8], "--yes")["document"] == garbage
    assert alice.json("list")["problems"] == []
    assert alice.refused("remove", garbage, "--yes") == (2, "not_found")


def test_grant_names_what_did_not_verify_and_may_be_seen_as_well(
    alice: Person, bob: Person, garbage: str, tmp_path: Path
) -> None:
    assert bob.home.is_dir()
    said = alice.run("grant", tmp_path / "bob.json", "consultation", "--without-kit", "--yes")
    assert "These did not verify, and may be among what they see:" in said.out
    assert garbage[:8] in said.out


def test_document_that_opens_for_nobody_bars_no_completion_and_is_named(
    alice: Person, bob: Person, garbage: str, tmp_path: Path
) -> None:
    assert bob.home.is_dir()
    (tmp_path / "note.txt").write_text("x")
    alice.json("add", tmp_path / "note.txt")
    grant = alice.json("grant", tmp_path / "bob.json", "general-practitioner", "--without-kit", "--yes")["grant"]
    done = alice.json("revoke", grant, "--complete")
    assert (done["complete"], [one["document"] for one in done["unreadable"]]) == (True, [garbage])
    assert done["not_reencrypted"] == done["succeeded"] == done["readers_left_out"] == []
    # What was asked for and not done is in the exit code
    again = alice.run("revoke", "--complete", "--reencrypt", "--json")
    assert again.code == 1
    assert {one["document"] for one in json.loads(again.out)["not_reencrypted"]} == {garbage}
    said = alice.run("revoke", "--complete").out
    assert "open for nobody" in said
    assert re.search(rf"^ +{garbage[:8]}  ", said, re.MULTILINE)
    assert "carnet remove ID" in said
    # As it is told
    alice.json("remove", garbage[:8], "--yes")
    done = alice.json("revoke", "--complete")
    assert (done["complete"], done["closed"], done["unreadable"]) == (True, 1, [])
    assert alice.json("revoke", "--complete") == {"complete": True, "remade": 0}
    assert alice.json("verify")["versions"] == 1


def test_laboratory_does_not_choose_the_place(laboratory: Person, deposit: str, tmp_path: Path) -> None:
    assert deposit
    make_bundle(tmp_path / "results.json", seed=3)
    assert laboratory.refused("add", tmp_path / "results.json", "--compartment", "private") == (2, "usage")


def test_practitioner_has_no_record_and_patient_no_inbox(alice: Person, bob: Person) -> None:
    assert bob.refused("record", "open") == (2, "usage")
    assert bob.refused("grants") == (2, "usage")
    assert alice.refused("inbox") == (2, "usage")


def test_nobody_is_let_in_whom_no_registrar_attests(
    alice: Person, servers: Servers, bob: Person, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alice.refused("grant", "A" * 43, "consultation", "--without-kit", "--yes") == (1, "refused")
    alice.json("grant", tmp_path / "bob.json", "consultation", "--without-kit", "--yes")
    registrar = servers.registrar(capsys)
    attestations = registrar.json("registrar", "list")["attestations"]
    identity = bob.json("whoami")["identity"]
    (own,) = [one["attestation"] for one in attestations if one["identity"] == identity]
    registrar.json("registrar", "revoke", own)
    registrar.json("registrar", "publish", "--card", servers.card)
    listed = registrar.json("registrar", "list")["attestations"]
    assert [one["revoked"] for one in listed if one["identity"] == identity] == [True]
    doctor = tmp_path / "bob.json"
    # What he did before keeps his name
    (granted,) = alice.json("grants")["grants"]
    assert (granted["grantee_name"], granted["grantee_attested"]) == ("Bob, Cabinet bob", False)
    assert "let in: Bob, Cabinet bob (not attested now)" in alice.run("history").out
    assert alice.refused("grant", doctor, "consultation", "--without-kit", "--yes") == (1, "verification")


def test_registrar_asks_to_compare(
    servers: Servers, bob: Person, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registrar = servers.registrar(capsys)
    words = ("registrar", "attest", tmp_path / "bob.json", "--name", "Bob", "--profession", "physician")
    assert registrar.refused(*words, "--organisation", "x") == (2, "usage")
    assert bob.home.is_dir()
    (tmp_path / "changed.json").write_bytes((tmp_path / "bob.json").read_bytes().replace(b"identities", b"identitiez"))
    assert registrar.refused(
        "registrar", "attest", tmp_path / "changed.json", *words[3:], "--organisation", "x", "--yes"
    ) == (
        2,
        "usage",
    )


def test_registrar_of_ones_own(servers: Servers, bob: Person, tmp_path: Path) -> None:
    registrar = Person(tmp_path / "registrar", bob.passphrase_file, bob.capsys)
    made = registrar.json("registrar", "init")
    assert registrar.refused("registrar", "init") == (4, "home_taken")
    assert made["fingerprint"] not in bob.json("card", "show")["registrars"]
    # No server of the deployment takes its word
    assert registrar.refused("registrar", "publish", "--card", servers.card)[0] == 1


def kit_of(person: Person, tmp_path: Path) -> Path:
    """The words of somebody's kit, in a file."""
    with open_session(person.home, passphrase=person.passphrase_file.read_text().strip()) as session:
        secret = session.keyring.body.recovery_secret
        assert secret is not None
        words = tmp_path / f"{person.home.name}.words"
        words.write_text(" ".join(secret.words()))
    person.json("recovery", "confirm", "--words-file", words)
    return words


def attest(registrar: Person, servers: Servers, person: Person, file: Path, *words: object) -> None:
    person.json("whoami", "--save", file)
    common = ("--name", "Dr Bob", "--profession", "physician", "--organisation", "Cabinet", "--yes")
    registrar.json("registrar", "attest", file, *common, *words)
    registrar.json("registrar", "publish", "--card", servers.card)


def test_doctor_with_new_keys_goes_on_once_everybody_agreed(
    alice: Person, bob: Person, servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor, words = tmp_path / "bob.json", kit_of(bob, tmp_path)
    alice.json("grant", doctor, "consultation", "--without-kit", "--yes")
    laptop = Person(tmp_path / "laptop", bob.passphrase_file, capsys)
    laptop.json("recovery", "restore", "--card", servers.card, "--words-file", words)
    (lost,) = [one["device"] for one in laptop.json("device", "list")["devices"] if not one["is_this"]]
    laptop.json("device", "remove", lost, "--words-file", words, "--yes")
    assert laptop.refused("list")[0] == 1
    attest(servers.registrar(capsys), servers, laptop, doctor)
    assert laptop.json("handover", "renew") == {"records": 1, "already": 0, "skipped": []}
    assert laptop.json("list")["documents"] == []
    # Alice's client stops at the changed keys until she says that they are the right ones
    again = ("grant", doctor, "emergency", "--without-kit", "--yes")
    assert alice.refused(*again) == (4, "changed_keys")
    alice.json(*again, "--accept-new-keys")
    assert len(laptop.json("inbox")["grants"]) == 2


def test_successor_takes_over(
    alice: Person, bob: Person, attested: Callable[[str, str], Person], servers: Servers, tmp_path: Path
) -> None:
    attested("dave", "physician")
    (tmp_path / "note.txt").write_text("x")
    alice.json("add", tmp_path / "note.txt", "--title", "A note")
    alice.json("grant", tmp_path / "bob.json", "general-practitioner", "--without-kit", "--yes")
    words, file = kit_of(bob, tmp_path), tmp_path / "successor.json"
    successor = Person(tmp_path / "successor", bob.passphrase_file, bob.capsys)
    successor.json("init", "--card", servers.card, "--practitioner")
    attest(servers.registrar(bob.capsys), servers, successor, file, "--succeeds", bob.json("whoami")["identity"])
    given = tmp_path / "handover.json"
    assert bob.refused("handover", "give", file, "--out", given, "--words-file", words) == (2, "usage")
    bob.json("handover", "give", file, "--out", given, "--words-file", words, "--yes")
    assert successor.json("handover", "take", given) == {"records": 1, "already": 0, "skipped": []}
    assert [one["title"] for one in successor.json("list")["documents"]] == ["A note"]
    assert bob.refused("handover", "take", file) == (2, "usage")
    # Whoever completes a revocation is told who goes on reading, and how to end that
    (kept,) = alice.json("grants")["grants"]
    ended = alice.json("grant", tmp_path / "dave.json", "consultation", "--without-kit", "--yes")["grant"]
    said = alice.run("revoke", ended, "--complete").out
    assert (
        "Dr Bob, Cabinet took over from Bob, Cabinet bob and goes on reading; "
        f"end it with `carnet revoke {kept['grant'][:8]}`."
    ) in " ".join(said.split())
    (told,) = alice.json("revoke", ended, "--complete")["succeeded"]
    assert (told["grant"], told["successor"]) == (kept["grant"], successor.json("whoami")["identity"])
    assert (told["grantee_name"], told["successor_name"]) == ("Bob, Cabinet bob", "Dr Bob, Cabinet")
    alice.json("revoke", kept["grant"])
    assert successor.refused("list") == (1, "grant_ended")
