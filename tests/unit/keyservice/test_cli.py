"""The command: exit codes that can be believed, and one line that says what to do."""

import json
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carnet_keyservice.cli import app
from carnet_keyservice.master_keys import make_master_key_file
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import load_secrets, require_master_keys
from carnet_server.database import make_engine
from carnet_server.writer import Writer
from tests.support.people import Deployment, Dice

ORIGIN = "http://127.0.0.1:7802"
OLGA = Dice("olga").signer().public_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a key service as `carnet up` makes it, not migrated."""
    own = Deployment.make(Dice("deployment"), keyservice_origin=ORIGIN)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name, signer in (("server.key", own.keyservice.key), ("log.key", own.keyservice.log_key)):
        (keys / name).write_bytes(signer.seed())
        (keys / name).chmod(0o600)
    make_master_key_file(keys)
    (tmp_path / "card.jws").write_text(own.card.text)
    (tmp_path / "settings.toml").write_text(
        f'data_dir = "{tmp_path}"\nservice_card = "{tmp_path / "card.jws"}"\norigin = "{ORIGIN}"\n'
    )
    (tmp_path / "olga.pub").write_text(f"{OLGA}\n")
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    """Run the command with the settings in `folder`."""
    return CliRunner().invoke(app, [*words, "--settings", str(folder / "settings.toml")])


@pytest.fixture
def migrated(folder: Path) -> Path:
    assert run(folder, "migrate").exit_code == 0
    return folder


def test_migrate_makes_the_tables_and_once_more_changes_nothing(migrated: Path) -> None:
    assert run(migrated, "migrate").exit_code == 0


@pytest.mark.parametrize("words", [("fsck",), ("status",), ("officers", "list"), ("serve",)])
def test_a_database_that_is_not_migrated_is_told(folder: Path, words: tuple[str, ...]) -> None:
    done = run(folder, *words)
    assert done.exit_code == 1
    assert "run its command `migrate`" in done.stderr


def test_fsck_of_a_new_server_is_clean(migrated: Path) -> None:
    done = run(migrated, "fsck")
    assert (done.exit_code, done.stdout) == (0, "clean\n")
    assert json.loads(run(migrated, "fsck", "--json").stdout) == {"findings": [], "ok": True}


def test_fsck_of_a_damaged_server_says_what_and_ends_with_1(migrated: Path) -> None:
    run(migrated, "officers", "enrol", "--key-file", str(migrated / "olga.pub"))
    engine = make_engine(f"sqlite:///{migrated / 'database.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET time = 0")
        connection.exec_driver_sql("CREATE TABLE litter (x INTEGER) STRICT")
    engine.dispose()
    done = run(migrated, "fsck", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert {finding["check"] for finding in found["findings"]} == {"leaf_of_another_event", "table_of_another_form"}
    assert "leaf_of_another_event: event 0" in run(migrated, "fsck").stdout


def test_officers_are_enrolled_listed_and_retired(migrated: Path) -> None:
    done = run(migrated, "officers", "enrol", "--key-file", str(migrated / "olga.pub"))
    assert done.exit_code == 0
    fingerprint = str(OLGA.fingerprint())
    assert f"officer {fingerprint} is in force by event 0" in done.stdout
    assert run(migrated, "officers", "list").stdout == f"{fingerprint} in force\n"
    assert run(migrated, "officers", "retire", fingerprint).exit_code == 0
    assert run(migrated, "officers", "list").stdout == f"{fingerprint} retired\n"
    (officer,) = json.loads(run(migrated, "officers", "list", "--json").stdout)["officers"]
    assert (officer["enrolled"], officer["retired"]) == (0, 1)
    again = run(migrated, "officers", "enrol", "--key-file", str(migrated / "olga.pub"))
    assert again.exit_code == 1
    assert "officer retired" in again.stderr
    assert run(migrated, "fsck").exit_code == 0


@pytest.mark.parametrize("text", ["", "x", "A" * 43, "A" * 64, "\u00e9"])
def test_a_file_without_a_public_key_is_told(migrated: Path, text: str) -> None:
    (migrated / "bad.pub").write_text(text)
    done = run(migrated, "officers", "enrol", "--key-file", str(migrated / "bad.pub"))
    assert done.exit_code == 1
    assert "does not hold an Ed25519 public key" in done.stderr
    missing = run(migrated, "officers", "enrol", "--key-file", str(migrated / "missing.pub"))
    assert "cannot be read" in missing.stderr


def test_an_officer_to_retire_is_named_and_known(migrated: Path) -> None:
    assert "43 characters" in run(migrated, "officers", "retire", "x").stderr
    unknown = run(migrated, "officers", "retire", str(OLGA.fingerprint()))
    assert unknown.exit_code == 1
    assert "officer unknown" in unknown.stderr


@pytest.mark.parametrize("start", ["-", "--"])
def test_an_officer_whose_fingerprint_begins_with_hyphens_is_retired(migrated: Path, start: str) -> None:
    dice = Dice("hyphens")
    officer = next(key for _ in count() if str((key := dice.signer().public_key).fingerprint()).startswith(start))
    (migrated / "officer.pub").write_text(str(officer))
    assert run(migrated, "officers", "enrol", "--key-file", str(migrated / "officer.pub")).exit_code == 0
    done = run(migrated, "officers", "retire", str(officer.fingerprint()))
    assert (done.exit_code, done.stdout) == (0, f"officer {officer.fingerprint()} is retired by event 1\n")


def test_status_counts(migrated: Path) -> None:
    run(migrated, "officers", "enrol", "--key-file", str(migrated / "olga.pub"))
    status = json.loads(run(migrated, "status", "--json").stdout)
    assert status["events"] == 1
    assert status["counts"]["people"] == 0
    assert status["officers"][0]["fingerprint"] == str(OLGA.fingerprint())
    text = run(migrated, "status").stdout
    assert "sealed keys: 0" in text
    assert "in force" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("server.key", "server.key is not the one in the service card"),
        ("log.key", "log.key is not the one in the service card"),
    ],
)
def test_a_wrong_key_file_is_told(migrated: Path, name: str, message: str) -> None:
    (migrated / "keys" / name).write_bytes(bytes(31) + b"\1")
    done = run(migrated, "fsck")
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_wrong_master_key_is_told_at_start(migrated: Path) -> None:
    settings = KeyServiceSettings(data_dir=migrated, service_card=migrated / "card.jws", origin=ORIGIN)
    engine = make_engine(settings.database)
    with Writer(engine) as writer:
        require_master_keys(engine, writer, load_secrets(settings).master_keys)
    engine.dispose()
    (migrated / "keys" / "master-1.key").write_bytes(b"another key of thirty-two bytes.")
    for words in (("serve",), ("fsck",)):
        done = run(migrated, *words)
        assert done.exit_code == 1
    assert "master_key_wrong: master key 1" in done.stdout
    assert "not the one that is in use" in run(migrated, "serve").stderr


def test_a_master_key_that_others_read_is_told(migrated: Path) -> None:
    (migrated / "keys" / "master-1.key").chmod(0o644)
    done = run(migrated, "serve")
    assert done.exit_code == 1
    assert "chmod 600" in done.stderr


def test_an_origin_other_than_in_the_card_is_told(migrated: Path) -> None:
    settings = migrated / "settings.toml"
    settings.write_text(settings.read_text().replace(ORIGIN, "http://127.0.0.1:1"))
    done = run(migrated, "status")
    assert done.exit_code == 1
    assert "origin is not the key service's" in done.stderr


def test_the_environment_goes_before_the_file(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARNET_KEYSERVICE_ORIGIN", "http://127.0.0.1:1")
    assert "origin is not the key service's" in run(migrated, "status").stderr


def test_a_command_that_is_not_understood_ends_with_2(folder: Path) -> None:
    assert run(folder, "dance").exit_code == 2
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0
