"""P12: erasing a record makes every copy that honest servers hold unreadable, backups once their horizon has passed.

Two real programs: a story with documents, grants and readings; a backup of both databases and the store; the erasure;
then the rotation of the master key and the destruction of the old one. What is left, and what a backup brings back, is
given to an attacker who has both servers' state, every master key that still exists, and all that a former reader kept.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.erasure import ErasureReport, erase_record
from carnet.transport import ServerName
from carnet_protocol.api import ReleaseItem
from tests.support.attacker import Attacker
from tests.support.copies import ask_release, items_in_vault, keys_kept
from tests.support.live import LiveWorld
from tests.support.orders import TWO, officer, sign_order
from tests.support.patience import wait_until
from tests.support.sealed import read_tables
from tests.support.story import Story

OF_THE_PERSON = {"device-name", "master-key-check", "recovery-slot"}
"""What still opens after an erasure, with every key at hand: nothing of the record."""


@dataclass(slots=True)
class Erased:
    """A record that was erased; `backup` holds both servers as they were before, `needles` what was to go."""

    world: LiveWorld
    story: Story
    backup: Path
    needles: dict[str, list[bytes]]
    items: list[ReleaseItem]
    kept: list[bytes]
    report: ErasureReport

    def master_keys(self) -> list[bytes]:
        """Every master key that the key service still has."""
        return [path.read_bytes() for path in sorted(_keys(self.world).glob("master-*.key"))]

    def attacker(self, *folders: Path, master_keys: list[bytes] | None = None) -> Attacker:
        """Who has both servers as they are in each of `folders`, the master keys, and what Bob kept."""
        attacker = Attacker()
        for folder in folders:
            attacker.take_vault(folder)
            attacker.take_keyservice(folder)
        for key in self.master_keys() if master_keys is None else master_keys:
            attacker.take_key("master key", key)
        for key in self.kept:
            attacker.take_key("bob", key)
        attacker.work()
        return attacker


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erased]:
    root = tmp_path_factory.mktemp("erased")
    with LiveWorld.running(root) as world:
        story = Story.make(world, root)
        access = story.access(story.bob)
        assert len(list_documents(story.bob, access).documents) == len(("letter", "result"))
        open_document(story.bob, access, story.letter)
        kept = keys_kept(story, story.bob)
        backup = _copy(world, root / "backup")
        items = list(items_in_vault(backup, story.alice.record))
        needles = _needles(backup)
        for found in needles.values():
            assert found
            assert all(_is_kept(world, needle) for needle in found)
        report = erase_record(story.alice, story.secrets["alice"])
        yield Erased(world, story, backup, needles, items, kept, report)
        for session in world.sessions:
            session.close()
        for wire in world.wires.values():
            wire.client.close()
        for engine in world.engines.values():
            engine.dispose()


def test_a_both_servers_took_it(erased: Erased) -> None:
    assert erased.report.is_everywhere


def test_b_no_byte_of_a_key_a_capsule_or_a_document_is_left_while_the_servers_go_on(erased: Erased) -> None:
    left = {name: [one for one in found if _is_kept(erased.world, one)] for name, found in erased.needles.items()}
    assert left == {name: [] for name in erased.needles}


def test_c_the_servers_hold_a_whole_that_fsck_understands(erased: Erased) -> None:
    vault, keyservice = erased.world.vault_program, erased.world.keyservice_program
    assert vault is not None
    assert keyservice is not None
    assert keyservice.run_json("fsck") == (0, {"ok": True, "findings": []})
    code, found = vault.run_json("fsck", "--deep")
    assert (code, found["ok"], found["objects"]) == (0, True, 0)
    assert set(found["litter"].values()) == {0}


def test_d_with_every_key_that_is_left_a_former_reader_opens_nothing(erased: Erased, tmp_path: Path) -> None:
    attacker = erased.attacker(_copy(erased.world, tmp_path / "now"))
    assert attacker.seals_opened() <= OF_THE_PERSON
    assert attacker.read("content", "metadata", "inner-lock", "record-lock", "sealed-compartment-key") == []


def test_e_the_honest_key_service_takes_no_lock_off_what_a_lying_vault_kept(erased: Erased) -> None:
    story = erased.story
    assert len(erased.items) >= len(("letter", "secret", "result")) * 2
    for session, grant in ((story.alice, None), (story.bob, story.read_grant.hash)):
        assert ask_release(session, story.alice.record, erased.items, grant=grant) == {}


def test_f_nor_does_it_after_it_was_started_anew(erased: Erased) -> None:
    keyservice = erased.world.keyservice_program
    assert keyservice is not None
    assert keyservice.stop() == 0
    keyservice.start()
    story = erased.story
    assert ask_release(story.alice, story.alice.record, erased.items, grant=None) == {}


def test_g_until_its_horizon_a_backup_rests_on_the_master_key(erased: Erased) -> None:
    """The control: with the backup, the master key of its time, and what a reader kept, documents open (limits.md)."""
    attacker = erased.attacker(erased.backup)
    texts = sorted(text.rstrip(b"\0") for text in attacker.read("content"))
    assert texts == [b"letter content", b"result content"]


def test_h_past_the_horizon_the_master_key_is_destroyed_and_the_backup_opens_nothing(
    erased: Erased, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyservice = erased.world.keyservice_program
    assert keyservice is not None
    old = _keys(erased.world) / "master-1.key"
    assert old.exists()
    monkeypatch.setenv("CARNET_KEYSERVICE_BACKUP_HORIZON_DAYS", "0")
    rotated = keyservice.run("rotate", "master", "--grace", "0")
    assert rotated.returncode == 0, rotated.stderr
    orders = _order_destruction(erased, tmp_path, version=1)
    destroyed = keyservice.run("keys", "destroy", "1", *orders)
    assert destroyed.returncode == 0, destroyed.stderr
    wait_until(lambda: not old.exists(), "the end of the old master key", process=keyservice.program)
    assert keyservice.run_json("fsck") == (0, {"ok": True, "findings": []})
    attacker = erased.attacker(erased.backup, _copy(erased.world, tmp_path / "now"))
    assert attacker.read("content", "metadata", "inner-lock", "record-lock") == []


def test_i_a_key_service_restored_from_that_backup_does_not_even_start(erased: Erased) -> None:
    keyservice = erased.world.keyservice_program
    assert keyservice is not None
    assert keyservice.stop() == 0
    database = erased.world.folders()[ServerName.KEYSERVICE] / "database.sqlite"
    _back_up(erased.backup / "keyservice.sqlite", database)
    served = keyservice.run("serve")
    assert served.returncode != 0
    assert "master" in served.stderr
    assert keyservice.run("fsck").returncode != 0


def _keys(world: LiveWorld) -> Path:
    return world.folders()[ServerName.KEYSERVICE] / "keys"


def _copy(world: LiveWorld, folder: Path) -> Path:
    """Both databases and every object, as a backup has them, in the new `folder`."""
    folder.mkdir()
    for server, name in ((ServerName.VAULT, "vault"), (ServerName.KEYSERVICE, "keyservice")):
        _back_up(world.folders()[server] / "database.sqlite", folder / f"{name}.sqlite")
    shutil.copytree(world.folders()[ServerName.VAULT] / "objects", folder / "objects")
    return folder


def _back_up(database: Path, target: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as made:
        source.backup(made)


def _needles(backup: Path) -> dict[str, list[bytes]]:
    """The first bytes of everything that is to go, by what it is."""
    vault, keyservice = (read_tables(backup / f"{name}.sqlite") for name in ("vault", "keyservice"))
    of_the_record = {"compartment", "grant", "manifest", "lock"}
    texts = [row["jws"] for row in (*vault["statements"], *keyservice["statements"]) if row["kind"] in of_the_record]
    found = {
        "sealed seeds": [row["sealed_seed"] for row in keyservice["lock_seals"]],
        "sealed keys": [row["sealed"] for row in keyservice["sealed_keys"]],
        "capsules": [row["sealed"] for row in vault["capsules"]],
        "metadata": [row["metadata"] for row in vault["versions"]],
        "leaf lists": [row["leaf_digests"] for row in vault["versions"]],
        "objects": [(backup / "objects").rglob(row["name"]) for row in vault["objects"]],
        "names of objects": [row["name"].encode() for row in vault["objects"]],
        "statements": [text[-64:].encode() for text in texts],
    }
    found["objects"] = [next(paths).read_bytes() for paths in found["objects"]]
    return {name: [bytes(value)[:32] for value in values] for name, values in found.items()}


def _is_kept(world: LiveWorld, needle: bytes) -> bool:
    """Whether a file of either server has `needle`, in it or as its name."""
    paths = [path for folder in world.folders().values() for path in folder.rglob("*") if path.is_file()]
    return any(needle in path.read_bytes() or path.name.encode().startswith(needle) for path in paths)


def _order_destruction(erased: Erased, folder: Path, *, version: int) -> list[str]:
    """Enrol two officers who order the destruction of a master key; the options that name their orders."""
    keyservice, now = erased.world.keyservice_program, erased.world.clock()
    assert keyservice is not None
    options: list[str] = []
    for name in TWO:
        (folder / f"{name}.pub").write_text(str(officer(name).public_key))
        enrolled = keyservice.run("officers", "enrol", "--key-file", str(folder / f"{name}.pub"))
        assert enrolled.returncode == 0, enrolled.stderr
        order = sign_order(name, erased.world.own.keyservice.fingerprint, now=now, version=version)
        (folder / f"{name}.jws").write_text(order.text)
        options += ["--order", str(folder / f"{name}.jws")]
    return options
