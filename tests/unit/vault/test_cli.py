"""What the command prints, also where it is cut."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carnet_server.fsck import Finding
from carnet_server.key_files import LOG_KEY, SERVER_KEY
from carnet_storage import StoreUnavailable
from carnet_vault import cli
from tests.support.people import Deployment, Dice

FOUND = Finding("document_listed_otherwise", "document A")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a migrated vault."""
    own = Deployment.make(Dice("vault"))
    (tmp_path / "keys").mkdir(mode=0o700)
    for name, signer in ((SERVER_KEY, own.vault.key), (LOG_KEY, own.vault.log_key)):
        (tmp_path / "keys" / name).write_bytes(signer.seed())
        (tmp_path / "keys" / name).chmod(0o600)
    (tmp_path / "card.jws").write_text(own.card.text)
    (tmp_path / "settings.toml").write_text(
        f'data_dir = "{tmp_path}"\nservice_card = "{tmp_path / "card.jws"}"\norigin = "{own.vault.origin}"\n'
    )
    assert run(tmp_path, "migrate").exit_code == 0
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    """Run the command with the settings in `folder`."""
    return CliRunner().invoke(cli.app, [*words, "--settings", str(folder / "settings.toml")])


def find_one_then_fail(*_: object, **__: object) -> Iterator[Finding]:
    yield FOUND
    raise StoreUnavailable("The disk fails.")


def test_fsck_has_said_what_it_found_when_it_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "check_objects", find_one_then_fail)
    done = run(folder, "fsck")
    assert done.exit_code == 1
    assert done.stdout == "document_listed_otherwise: document A\n"
    assert done.stderr == "carnet-vault: The disk fails.\n"


def test_fsck_that_is_cut_prints_one_object_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "check_objects", find_one_then_fail)
    done = run(folder, "fsck", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["ok"], report["complete"]) == (False, False)
    assert report["findings"] == [{"check": FOUND.check, "where": FOUND.where}]


def test_fsck_of_a_new_vault_is_clean(folder: Path) -> None:
    assert (run(folder, "fsck", "--deep").stdout, run(folder, "fsck").exit_code) == ("clean\n", 0)
    report = json.loads(run(folder, "fsck", "--json").stdout)
    assert (report["ok"], report["complete"], report["findings"]) == (True, True, [])
