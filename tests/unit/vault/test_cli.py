"""What the command prints, also where it is cut; and the store that it refuses to serve with."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from carnet_server.chassis import Chassis
from carnet_server.fsck import Finding
from carnet_server.key_files import LOG_KEY, SERVER_KEY
from carnet_storage import StoreUnavailable
from carnet_vault import cli
from carnet_vault.settings import VaultSettings
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


class Bucket(http.server.ThreadingHTTPServer):
    """A service with every bucket, which keeps `If-None-Match` or does not, and counts what it is asked."""

    def __init__(self, *, keeps_conditions: bool) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.keeps_conditions = keeps_conditions
        self.keys: set[str] = set()
        self.asked: list[str] = []


class Answering(http.server.BaseHTTPRequestHandler):
    server: Bucket

    def do_HEAD(self) -> None:
        self._answer(200)

    def do_PUT(self) -> None:
        is_taken = self.path in self.server.keys and self.headers["If-None-Match"] == "*"
        self.server.keys.add(self.path)
        self._answer(412 if is_taken and self.server.keeps_conditions else 200)

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, status: int) -> None:
        self.server.asked.append(self.command)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def bucket(request: pytest.FixtureRequest, folder: Path) -> Iterator[Bucket]:
    """A bucket on loopback, which the vault in `folder` is told to use."""
    with Bucket(keeps_conditions=request.param) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with (folder / "settings.toml").open("a") as file:
            file.write(
                f'store = "s3"\ns3_endpoint_url = "http://127.0.0.1:{served.server_address[1]}"\n'
                's3_bucket = "b"\ns3_access_key_id = "a"\ns3_secret_access_key = "s"\n'
            )
        yield served
        served.shutdown()
        thread.join()


@pytest.mark.parametrize("bucket", [False], indirect=True)
def test_serve_refuses_a_bucket_that_overwrites(folder: Path, bucket: Bucket) -> None:
    done = run(folder, "serve")
    assert done.exit_code == 1
    assert "overwrites in spite of If-None-Match" in done.stderr


@pytest.mark.parametrize("bucket", [True], indirect=True)
def test_serve_asks_the_bucket_once_whether_it_overwrites_and_a_probe_only_looks(
    folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def probe(_app: FastAPI, chassis: Chassis, _settings: VaultSettings) -> None:
        for _ in range(4):
            asked.append(list(bucket.asked))
            bucket.asked.clear()
            chassis.check_ready()

    monkeypatch.setattr(cli, "serve", probe)
    assert run(folder, "serve").exit_code == 0
    assert asked == [["HEAD", "PUT", "PUT"], ["HEAD"], ["HEAD"], ["HEAD"]]


@pytest.mark.parametrize("bucket", [True], indirect=True)
def test_a_bucket_that_is_gone_is_not_served_with_and_makes_the_vault_not_ready(
    folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))

    def probe(_app: FastAPI, chassis: Chassis, _settings: VaultSettings) -> None:
        bucket.shutdown()
        bucket.socket.close()
        chassis.check_ready()

    monkeypatch.setattr(cli, "serve", probe)
    done = run(folder, "serve")
    assert (done.exit_code, done.stderr) == (1, "carnet-vault: refused: store unavailable\n")
    assert run(folder, "serve").exit_code == 1


def test_an_officer_is_enrolled_listed_and_retired_for_good(folder: Path) -> None:
    officer = Dice("officer").signer().public_key
    key_file = folder / "officer.pub"
    key_file.write_text(f"{officer}\n")
    assert "is in force by event" in run(folder, "officers", "enrol", "--key-file", str(key_file)).output
    listed = json.loads(run(folder, "officers", "list", "--json").output)["officers"]
    assert [(one["fingerprint"], one["retired"]) for one in listed] == [(str(officer.fingerprint()), None)]
    assert run(folder, "officers", "retire", str(officer.fingerprint())).exit_code == 0
    assert "retired" in run(folder, "officers", "list").output
    again = run(folder, "officers", "enrol", "--key-file", str(key_file))
    assert (again.exit_code, "officer retired" in again.output) == (1, True)


@pytest.mark.parametrize("text", ["", "short", "A" * 44, "\xff"])
def test_what_is_no_public_key_enrols_nobody(folder: Path, text: str) -> None:
    (folder / "officer.pub").write_text(text)
    result = run(folder, "officers", "enrol", "--key-file", str(folder / "officer.pub"))
    assert result.exit_code == 1
    assert "key file" in result.output
    assert json.loads(run(folder, "officers", "list", "--json").output) == {"officers": []}
