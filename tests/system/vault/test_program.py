"""The program `carnet-vault` over real HTTP: a story across restarts, `fsck`, `gc`, and how it refuses to start."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from carnet_protocol.api import OpenedVersion
from tests.support.parcels import make_sealed
from tests.support.patience import wait_until
from tests.support.people import Dice
from tests.support.vault import VaultStory, code
from tests.support.vault_process import VaultProcess


def test_a_record_outlives_restarts_and_is_clean(process: VaultProcess) -> None:
    process.start()
    story = VaultStory.begin(process.world())
    large = story.parcel(sealed=make_sealed(story.world.dice, padded=20 << 20))
    small, gone = story.parcel(), story.parcel()
    assert story.bring(large, small, gone).status_code == 200
    assert process.stop() == 0
    process.start()
    opened = OpenedVersion.model_validate_json(story.open(story.bob, large, story.read_grant).content)
    assert story.world.get_bytes(opened.url).content == large.sealed.ciphertext
    assert story.world.get_bytes(opened.url, range="bytes=1000-1999").content == large.sealed.ciphertext[1000:2000]
    now = story.world.clock()
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash, at=now)).status_code == 200
    assert story.update(story.own.revoke(story.read_grant, at=now)).status_code == 200
    assert code(story.open(story.bob, large, story.read_grant)) == (404, "refused")
    # While the program serves, and on another process's word.
    status, report = process.run_json("fsck", "--deep")
    assert (status, report["findings"], report["objects"]) == (0, [], 3)
    assert report["litter"] == {"erased_objects": 0, "orphan_objects": 0, "retired_objects": 1, "uploads": 0}
    assert process.run_json("gc", "--dry-run", "--grace-seconds", "0")[1]["counts"]["objects"] == 1
    assert process.run_json("gc", "--grace-seconds", "0")[1]["counts"]["objects"] == 1
    status, report = process.run_json("fsck", "--deep")
    assert (status, report["objects"], report["litter"]["retired_objects"]) == (0, 2, 0)
    assert process.stop() == 0


def test_fsck_names_damage_with_its_exit_code(process: VaultProcess) -> None:
    process.start()
    story = VaultStory.begin(process.world())
    assert story.bring(story.parcel()).status_code == 200
    assert process.run("fsck").stdout == "clean\n"
    (path,) = [path for path in (process.root / "objects" / "objects").rglob("*") if path.is_file()]
    path.unlink()
    done = process.run("fsck")
    assert done.returncode == 1
    assert "row_without_object: object " in done.stdout


def test_a_stop_lets_requests_in_flight_finish(process: VaultProcess) -> None:
    process.start()
    story = VaultStory.begin(process.world())
    parcel = story.parcel(sealed=make_sealed(story.world.dice, padded=8 << 20))
    url = story.begin_uploads([parcel.size]).json()["uploads"][0]["parts"][0]["url"]
    data = parcel.sealed.ciphertext
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        target = url.removeprefix(process.own.vault.origin)
        head = f"PUT {target} HTTP/1.1\r\nHost: vault\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[: len(data) // 2])
        assert process.program is not None
        # That the vault has begun to write a part: it cannot be asked.
        uploads = process.root / "objects" / "uploads"
        wait_until(lambda: any(uploads.rglob("*.writing")), "bytes of a part", process=process.program)
        process.program.send_signal(signal.SIGTERM)
        connection.sendall(data[len(data) // 2 :])
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    assert process.program.wait(60) == 0


def test_its_log_and_its_output_name_nobody(process: VaultProcess) -> None:
    process.start()
    story = VaultStory.begin(process.world())
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    story.open(story.bob, parcel, story.read_grant)
    process.stop()
    log = (process.root / "vault.jsonl").read_text()
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "stopping"
    for secret in (story.record, story.bob.identity, parcel.document, story.read_grant.hash, "signature="):
        assert str(secret) not in log


@pytest.fixture
def laid_out(tmp_path: Path) -> VaultProcess:
    """A vault on SQLite that is not to start."""
    with VaultProcess.lay_out(tmp_path, Dice("refusing")) as made:
        return made


def test_it_refuses_to_start_on_what_is_not_its_own(laid_out: VaultProcess) -> None:
    settings = laid_out.root / "settings.toml"
    whole = settings.read_text()
    key = laid_out.root / "keys" / "server.key"
    cases: list[Callable[[], object]] = [
        lambda: settings.write_text(whole.replace(str(laid_out.port), "1")),  # another origin than the card's
        lambda: key.write_bytes(bytes(32)),
        lambda: key.chmod(0o644),
        (laid_out.root / "database.sqlite").unlink,  # not migrated
        lambda: (laid_out.root / "objects" / "format").write_text("something else"),
    ]
    assert laid_out.run("gc", "--dry-run").returncode == 0
    for change in cases:
        kept = {path: (path.read_bytes(), path.stat().st_mode) for path in laid_out.root.rglob("*") if path.is_file()}
        change()
        done = laid_out.run("serve")
        assert done.returncode == 1, done
        assert done.stderr.startswith("carnet-vault: ")
        assert len(done.stderr.splitlines()) <= 2
        assert done.stdout == ""
        for path, (data, mode) in kept.items():
            path.touch()
            path.chmod(0o600)
            path.write_bytes(data)
            path.chmod(mode)


def test_a_vault_whose_objects_are_not_mounted_says_so_and_begins_no_other_store(process: VaultProcess) -> None:
    root, unmounted = process.root / "objects", process.root / "unmounted"
    process.start()
    story = VaultStory.begin(process.world())
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    ready = f"{process.own.vault.origin}/readyz"
    assert httpx2.get(ready, timeout=60).status_code == 200
    root.rename(unmounted)
    root.mkdir()
    _wait_for_status(ready, 503)
    assert code(story.begin_uploads([20_000])) == (503, "unavailable")
    process.stop()
    for words in (["serve"], ["fsck"], ["gc"]):
        done = process.run(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Is its disk mounted?" in done.stderr
    # The database knows of objects, and those are somewhere.
    assert process.run("migrate").returncode == 0
    assert list(root.iterdir()) == []
    root.rmdir()
    unmounted.rename(root)
    process.start()
    opened = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content)
    assert story.world.get_bytes(opened.url).content == parcel.sealed.ciphertext


def test_a_vault_that_knows_of_no_object_is_given_a_store_by_migrate_alone(process: VaultProcess) -> None:
    shutil.rmtree(process.root / "objects")
    assert process.run("serve").returncode == 1
    assert not (process.root / "objects").exists()
    assert process.run("migrate").returncode == 0
    process.start()
    story = VaultStory.begin(process.world())
    assert story.begin_uploads([20_000]).status_code == 200
    process.stop()
    # An upload under way is in a store, too.
    shutil.rmtree(process.root / "objects")
    assert process.run("migrate").returncode == 0
    assert not (process.root / "objects").exists()


def test_a_command_that_is_not_understood_ends_with_2(laid_out: VaultProcess) -> None:
    done: subprocess.CompletedProcess[str] = laid_out.run("fsck", "--shallow")
    assert done.returncode == 2


def _wait_for_status(url: str, status: int) -> None:
    """Wait until the vault, which looks once a second at most, answers so."""
    wait_until(lambda: httpx2.get(url, timeout=60).status_code == status, f"an answer with {status}")
