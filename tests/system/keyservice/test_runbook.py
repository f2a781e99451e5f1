"""The runbook is walked: its commands, taken out of keyservice/README.md, typed in their order at real programs.

What each prints and how it ends stands beside it there, and is checked; here, what is true at the end.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from carnet.cli import officer_papers
from carnet.cli.entry import main
from carnet_keyservice.rotation.job import JobKind
from carnet_keyservice.vault import open_vault_http
from carnet_protocol.tuples import KeyRole
from tests.support.jobs import begin_job
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.keyservice_process import KeyServiceProcess, working
from tests.support.live import LiveWorld
from tests.support.lock_rotation import Rotation, rotating
from tests.support.people import Dice
from tests.support.providers import Pkcs11Place
from tests.support.runbook import SECTIONS, Said, Walk
from tests.unit.client.conftest import quick_passphrases
from tests.unit.lock_rotation.conftest import Story

__all__ = ["quick_passphrases"]

NO_HORIZON = "backup_horizon_days = 0"
VERSIONS = {"OLD": "1", "NEW": "2", "GRACE": "0"}
WALKED: dict[str, set[int]] = {}
Test = TypeVar("Test", bound=Callable[..., None])
TITLES = {
    "year": "The master key, once a year",
    "locks": "Record locks, once a year",
    "provider": "To another provider",
    "still": "A rotation that stands still",
    "master": "A master key that somebody else may have",
    "stolen": "A stolen database or backup",
    "server": "server.key or log.key that somebody else may have",
    "officer": "An officer who leaves, or whose key is taken",
    "lost": "An HSM or KMS that is lost",
    "restore": "Restore from a backup",
}


def walks(name: str, *blocks: int) -> Callable[[Test], Test]:
    """Says of a test that it walks these blocks of a section."""

    def note(test: Test) -> Test:
        WALKED.setdefault(TITLES[name], set()).update(blocks)
        return test

    return note


def test_every_block_of_the_runbook_is_walked() -> None:
    """A section that is new, or has one block more, wants a walk."""
    assert {title: set(range(len(blocks))) for title, blocks in SECTIONS.items()} == WALKED
    assert all(blocks for blocks in SECTIONS.values())


def take(walk: Walk, name: str, *blocks: int) -> None:
    for block in blocks:
        walk.take(SECTIONS[TITLES[name]][block])


@dataclass
class Stage:
    """A key service that serves a record, without a vault; and somebody who walks."""

    process: KeyServiceProcess
    story: KeyServiceStory
    walk: Walk

    def require_release(self) -> None:
        """Bob opens what is his."""
        answer = self.story.release(self.story.bob, self.story.grant, [self.story.item(KeyRole.CONTENT)])
        assert None not in self.story.inner(answer)

    def require_states(self, **states: str) -> None:
        """The record opens, and master keys are in these states, by `k` and version; `fsck` is part of each walk."""
        listed = self.process.run_json("keys", "list")[1]["master_keys"]
        assert {f"k{key['version']}": key["state"] for key in listed} == states
        self.require_release()


@pytest.fixture
def officers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], Said]:
    """Two officers with homes of their own; who signs is told by the name of the order."""
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")

    def run(words: list[str]) -> Said:
        name = "second" if any(word.endswith("second.jws") for word in words) else "first"
        return as_officer(name, words)

    def as_officer(name: str, words: list[str]) -> Said:
        capsys.readouterr()
        who = ["--home", str(tmp_path / name), "--passphrase-file", str(tmp_path / "passphrase")]
        code = main([*who, *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    for name in ("first", "second"):
        code, said = as_officer(name, ["officer", "init", "--save", str(tmp_path / f"{name}.key")])
        assert code == 0, said
    return run


def enrol(process: KeyServiceProcess, folder: Path) -> None:
    """Put both officers in force."""
    for name in ("first", "second"):
        done = process.run("officers", "enrol", "--key-file", str(folder / f"{name}.key"))
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def staged(
    tmp_path: Path, officers: Callable[[list[str]], Said] | None = None, *, url: str = "", settings: str = NO_HORIZON
) -> Iterator[Stage]:
    """A stage with a running key service on a database of its own."""
    root = tmp_path / "keyservice"
    (tmp_path / "safe").mkdir()
    root.mkdir()
    with KeyServiceProcess.lay_out(root, Dice("system"), database_url=url, settings=settings) as process:
        if "master_key_provider" in settings:
            (root / "keys" / "master-1.key").unlink()
        process.start()
        filled = VERSIONS | {"DATA": str(root), "SAFE": str(tmp_path / "safe"), "CARD": str(root / "card.jws")}
        story = KeyServiceStory.begin(process.world())
        accept(story.world.post(f"{story.path}/locks", story.alice))
        yield Stage(process, story, Walk(tmp_path, process, filled=filled, officers=officers))


@walks("year", 0, 1, 3)
def test_the_master_key_is_rotated_by_workers_and_the_old_one_destroyed(
    tmp_path: Path, officers: Callable[[list[str]], Said], postgres_url: str
) -> None:
    with staged(tmp_path, officers, url=postgres_url) as stage, working(stage.process, 2):
        enrol(stage.process, tmp_path)
        take(stage.walk, "year", 0, 1)
        stage.require_states(k1="deactivated", k2="active")
        take(stage.walk, "year", 3)
        stage.require_states(k1="destroyed", k2="active")
    assert not (tmp_path / "keyservice" / "keys" / "master-1.key").exists()
    assert (tmp_path / "safe" / "master-2.key").stat().st_mode & 0o777 == 0o600


@walks("year", 2)
def test_a_rotation_is_undone_within_its_grace(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        begin_job(stage.process, JobKind.MASTER, grace=3600)
        take(stage.walk, "year", 2)
        listed = stage.process.run_json("keys", "list")[1]["master_keys"]
        assert [key["version"] for key in listed if key["state"] == "active"] == [1]
        stage.require_release()


@walks("provider", 0)
def test_the_master_key_goes_over_to_a_token(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with Pkcs11Place.lay_out(tmp_path / "place") as place, staged(tmp_path) as stage:
        settings = stage.process.root / "settings.toml"
        settings.write_text(f"{settings.read_text()}\n{place.settings()}\n")
        stage.walk.filled = {**stage.walk.filled, "PROVIDER": "pkcs11"}
        take(stage.walk, "provider", 0)
        stage.require_states(k1="deactivated", k2="active")


@walks("still", 0, 1, 2)
@pytest.mark.parametrize("way", [1, 2], ids=["resumed", "aborted"])
def test_a_rotation_that_stands_still_goes_on_or_back(tmp_path: Path, way: int) -> None:
    (tmp_path / "place").mkdir()
    with Pkcs11Place.lay_out(tmp_path / "place") as place:
        settings = place.settings().replace('master_key_provider = "pkcs11"\n', "")
        with staged(tmp_path, settings=f"{NO_HORIZON}\n{settings}") as stage:
            place.take_away()
            assert stage.process.run("rotate", "master", "--to", "pkcs11", "--grace", "0").returncode == 1
            take(stage.walk, "still", 0)
            assert stage.process.run_json("status")[1]["counts"]["rotations_that_need_somebody"] == 1
            stage.require_release()
            place.bring_back()
            take(stage.walk, "still", way)
            assert stage.process.run_json("status")[1]["counts"]["rotations_that_need_somebody"] == 0
            stage.require_states(**({"k1": "deactivated", "k2": "active"} if way == 1 else {"k1": "active"}))


@walks("stolen", 0)
def test_a_stolen_backup_is_made_worthless(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        take(stage.walk, "stolen", 0)
        stage.require_states(k1="deactivated", k2="active")


@walks("server", 0)
def test_a_key_service_whose_own_key_was_seen_is_stopped(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        take(stage.walk, "server", 0)
        assert stage.process.program is None


@walks("lost", 0)
def test_a_lost_token_costs_nothing_while_a_program_runs(tmp_path: Path, postgres_url: str) -> None:
    """Even where workers would do it, none runs, and none could start."""
    (tmp_path / "place").mkdir()
    with (
        Pkcs11Place.lay_out(tmp_path / "place") as place,
        staged(tmp_path, url=postgres_url, settings=place.settings()) as stage,
    ):
        place.take_away()
        assert stage.process.run("work").returncode == 1
        take(stage.walk, "lost", 0)
        stage.require_release()
        findings = stage.process.run_json("fsck")[1]["findings"]
        assert findings == [{"check": "master_key_missing", "where": "master key 1"}]
        place.bring_back()
        stage.require_states(k1="deactivated", k2="active")


@walks("lost", 1)
def test_a_lost_token_comes_back_from_its_backup(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with Pkcs11Place.lay_out(tmp_path / "place") as place, staged(tmp_path, settings=place.settings()) as stage:
        stage.process.stop()
        place.take_away()
        assert stage.process.run("serve").returncode == 1
        assert stage.process.run("fsck").returncode == 1
        place.bring_back()
        take(stage.walk, "lost", 1)
        stage.require_states(k1="active")


@dataclass
class Both:
    """Both servers, with documents and readers; and somebody who walks."""

    world: LiveWorld
    story: Story
    rotation: Rotation
    walk: Walk

    @property
    def keyservice(self) -> KeyServiceProcess:
        return self.walk.keyservice


@pytest.fixture
def both(tmp_path: Path, officers: Callable[[list[str]], Said]) -> Iterator[Both]:
    """A deployment that is alive, with a horizon of no days."""
    with LiveWorld.running(tmp_path) as world:
        keyservice, vault = world.keyservice_program, world.vault_program
        assert keyservice is not None
        assert vault is not None
        settings = keyservice.root / "settings.toml"
        settings.write_text(f"{settings.read_text()}\n{NO_HORIZON}\n")
        (tmp_path / "safe").mkdir()
        filled = VERSIONS | {
            "DATA": str(keyservice.root),
            "VAULTDATA": str(vault.root),
            "SAFE": str(tmp_path / "safe"),
            "BACKUP": str(tmp_path / "backup"),
            "CARD": str(keyservice.root / "card.jws"),
            "DATE": "today",
        }
        with rotating(world, http=open_vault_http(None)) as rotation:
            story = Story.begin(world, tmp_path, rotation)
            yield Both(world, story, rotation, Walk(tmp_path, keyservice, vault, filled, officers))
            rotation.rotator.vault.close()
        for session in world.sessions:
            session.close()
        for wire in world.wires.values():
            wire.client.close()
        for engine in world.engines.values():
            engine.dispose()


@walks("locks", 0, 1)
def test_record_locks_are_rotated_and_the_old_ones_destroyed(
    both: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(both.keyservice, tmp_path)
    take(both.walk, "locks", 0)
    assert both.rotation.used(both.story.record) == {2: 8}
    both.story.require_all_open()
    until = int(time.time())  # to the second, as nobody types a time
    monkeypatch.setattr(officer_papers, "parse_moment", lambda _text, *, now: min(until, now))
    take(both.walk, "locks", 1)
    assert both.keyservice.run_json("keys", "list")[1]["record_locks"]["destroyed"] == 1
    assert both.keyservice.run("fsck").returncode == 0
    both.story.require_all_open()


@walks("master", 0)
def test_after_a_master_key_was_seen_nothing_in_use_is_under_it(both: Both) -> None:
    take(both.walk, "master", 0)
    assert both.rotation.used(both.story.record) == {2: 8}
    described = both.keyservice.run_json("keys", "list")[1]
    assert [(key["state"], key["seals"]) for key in described["master_keys"]] == [("compromised", 0), ("active", 2)]
    both.story.require_all_open()


@walks("officer", 0)
def test_an_officer_leaves_both_servers(both: Both, tmp_path: Path) -> None:
    vault = both.walk.vault
    assert vault is not None
    for server in (both.keyservice, vault):
        assert server.run("officers", "enrol", "--key-file", str(tmp_path / "first.key")).returncode == 0
    (first,) = both.keyservice.run_json("officers", "list")[1]["officers"]
    both.walk.filled = {**both.walk.filled, "KEYFILE": "second.key", "FINGERPRINT": first["fingerprint"]}
    take(both.walk, "officer", 0)
    for server in (both.keyservice, vault):
        officers = server.run_json("officers", "list")[1]["officers"]
        assert [officer["retired"] is None for officer in officers] == [False, True]


@walks("restore", 0, 1)
def test_a_backup_with_a_rotation_under_way_is_restored(both: Both, tmp_path: Path) -> None:
    """The vault's copy first, then the key service's; then the keys of that day go out of use, and one is away."""
    vault = both.walk.vault
    assert vault is not None
    (tmp_path / "backup").mkdir()
    copy_database(vault.root, tmp_path / "backup" / "vault.sqlite")
    both.keyservice.stop()
    begin_job(both.keyservice, JobKind.MASTER, grace=0)
    copy_database(both.keyservice.root, tmp_path / "backup" / "keyservice.sqlite")
    assert both.keyservice.run("rotate", "pause").returncode == 0
    both.keyservice.start()
    assert both.keyservice.run("rotate", "master", "--resume").returncode == 0
    assert both.keyservice.run("rotate", "locks", "--grace", "0").returncode == 0
    both.keyservice.kill()
    vault.kill()
    keys = both.keyservice.root / "keys"
    shutil.move(keys / "master-1.key", tmp_path / "safe" / "master-1.key")
    take(both.walk, "restore", 0)
    refused = both.keyservice.run("serve")
    assert (refused.returncode, "put its file master-1.key back" in refused.stderr) == (1, True)
    take(both.walk, "restore", 1)
    both.story.require_all_open()
    listed = both.keyservice.run_json("keys", "list")[1]["master_keys"]
    assert [key["state"] for key in listed] == ["deactivated", "active"]


def copy_database(root: Path, target: Path) -> None:
    """A copy as `sqlite3 .backup` makes it, of a database that is in use."""
    with (
        contextlib.closing(sqlite3.connect(root / "database.sqlite")) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
