"""Kill the vault at each system call that matters of a part, a deposit, an erasure; then fsck, repeat, fsck, read.

The vault that is to die runs under strace, which sends the signal as the call is entered. Everything before happened in
another process, so that the n-th call is the n-th of the operation. A kill is not a power cut: unsynced bytes survive.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from carnet_protocol.api import ErasureUpdate, OpenedVersion, UploadsAnswer, UploadView
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_vault.fsck import Seen, check_contents, check_database, check_objects
from tests.support.parcels import Parcel
from tests.support.people import Dice
from tests.support.programs import require_program
from tests.support.vault import VaultStory
from tests.support.vault_process import VaultProcess


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultProcess]:
    """One vault that dies many times."""
    with VaultProcess.lay_out(tmp_path_factory.mktemp("kills"), Dice("kills")) as made:
        yield made


@pytest.fixture(scope="module")
def story(process: VaultProcess) -> VaultStory:
    process.start()
    return VaultStory.begin(process.world())


def start_doomed(process: VaultProcess, call: str, when: int, path: Path | None) -> None:
    """Start the vault anew, to die as it enters the `when`-th `call` of a thread (on `path`)."""
    process.stop()
    with contextlib.closing(sqlite3.connect(process.root / "database.sqlite")) as database:
        # Else the start would do it, and its calls would count.
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    strace = require_program("strace", package="strace")
    only = ["-P", str(path)] if path else []
    inject = f"inject={call}:signal=KILL:when={when}"
    process.start(strace, "-f", "-qq", "-o", "/dev/null", *only, "-e", f"trace={call}", "-e", inject)


def dies(process: VaultProcess, request: Callable[[], httpx2.Response]) -> None:
    """The request gets no answer, for the vault dies under it."""
    with pytest.raises(httpx2.TransportError):
        request()
    process.wait_for_death()


def is_clean(story: VaultStory) -> Seen:
    own, seen = story.world.own, Seen()
    with reader(story.world.engine) as connection:
        found = list(check_database(connection, Deployment.of(own.card, own.card.body.vault, own.vault.log_key)))
    found += check_objects(story.world.engine, story.world.store, seen, on_object=lambda: None)
    found += check_contents(story.world.engine, story.world.store, on_bytes=lambda _: None)
    assert found == []
    return seen


def begin(story: VaultStory, parcel: Parcel) -> UploadView:
    answer = story.begin_uploads([parcel.size])
    return UploadsAnswer.model_validate_json(answer.content).uploads[0]


def finish_story(process: VaultProcess, story: VaultStory, parcel: Parcel, view: UploadView) -> None:
    """After the kill: clean; what was cut is repeated; the document opens; clean. The vault goes on to serve."""
    is_clean(story)
    process.start()
    fresh = story.world.get(f"{story.path}/uploads/{view.upload}", story.laura)
    if fresh.status_code == 200:
        story.send_bytes(UploadView.model_validate_json(fresh.content), parcel.sealed.ciphertext)
    first = story.commit((parcel, view.upload))
    assert first.status_code == 200, first.text
    assert story.commit((parcel, view.upload)).content == first.content
    opened = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content)
    assert story.world.get_bytes(opened.url).content == parcel.sealed.ciphertext
    assert is_clean(story).litter.orphan_objects == 0


@pytest.mark.parametrize(("call", "when"), [("pwrite64", 1), ("fdatasync", 1), ("rename", 1)])
def test_killed_in_a_part(process: VaultProcess, story: VaultStory, call: str, when: int) -> None:
    parcel = story.parcel()
    view = begin(story, parcel)
    folder = _folder(story, view)
    on = None if call == "rename" else folder / "bytes"
    start_doomed(process, call, when, on)
    dies(process, lambda: story.world.put_bytes(view.parts[0].url, parcel.sealed.ciphertext))
    finish_story(process, story, parcel, view)


IN_A_DEPOSIT = [
    ("fsync", 1, ""),  # before the object's bytes are synced
    ("link", 1, ""),  # before it has its name
    ("fsync", 2, ""),  # before its name is durable
    ("unlink", 1, "uploads"),  # object there, upload there
    ("rmdir", 1, ""),  # object there, upload half gone
    ("pwrite64", 1, "wal"),  # object there, nothing of the rows
    ("pwrite64", 40, "wal"),  # half of the rows in the log ahead
    ("fdatasync", 1, "wal"),  # all of the rows, before anyone is told
]


@pytest.mark.parametrize(("call", "when", "where"), IN_A_DEPOSIT)
def test_killed_in_a_deposit(process: VaultProcess, story: VaultStory, call: str, when: int, where: str) -> None:
    parcel = story.parcel()
    view = begin(story, parcel)
    folder = _folder(story, view)
    story.send_bytes(view, parcel.sealed.ciphertext)
    paths = {"": None, "uploads": folder / "bytes", "wal": process.root / "database.sqlite-wal"}
    start_doomed(process, call, when, paths[where])
    dies(process, lambda: story.commit((parcel, view.upload)))
    finish_story(process, story, parcel, view)


def test_killed_with_an_upload_that_nobody_goes_on_with_gc_mends_it(process: VaultProcess, story: VaultStory) -> None:
    parcel = story.parcel()
    view = begin(story, parcel)
    story.send_bytes(view, parcel.sealed.ciphertext)
    start_doomed(process, "rmdir", 1, None)
    dies(process, lambda: story.commit((parcel, view.upload)))
    before = is_clean(story)
    assert before.litter.uploads == 1
    process.start()
    assert process.run("gc", "--grace-seconds", "0").returncode == 0
    after = is_clean(story)
    assert (after.litter.uploads, after.litter.orphan_objects, after.objects) == (0, 0, before.objects - 1)


IN_AN_ERASURE = [
    ("pwrite64", 1, "wal"),  # nothing of it is written
    ("pwrite64", 20, "wal"),  # some of it is
    ("fdatasync", 1, "wal"),  # all of it, before anyone is told
    ("unlink", 1, ""),  # the record is erased, and the store has everything
    ("unlink", 2, ""),  # one object is gone
    ("rmdir", 1, ""),  # objects are gone, the upload half so
    ("fdatasync", 2, "wal"),  # the store has nothing left, and the vault does not know
    ("pwrite64", 1, "database"),  # what was deleted is about to be overwritten
]


@pytest.mark.parametrize(("call", "when", "where"), IN_AN_ERASURE)
def test_killed_in_an_erasure(process: VaultProcess, call: str, when: int, where: str) -> None:
    if process.program is None:
        process.start()
    story = VaultStory.begin(process.world())
    parcels = [story.parcel(), story.parcel()]
    assert story.bring(*parcels).status_code == 200
    view = begin(story, parcels[0])
    story.send_bytes(view, parcels[0].sealed.ciphertext)
    before = len(story.world.store.list_objects())
    body = ErasureUpdate(statements=(story.own.erase(at=story.world.clock()).text,))
    paths = {"": None, "wal": process.root / "database.sqlite-wal", "database": process.root / "database.sqlite"}
    start_doomed(process, call, when, paths[where])
    dies(process, lambda: story.world.post(f"{story.path}/erasure", story.alice, body))
    is_clean(story)
    process.start()
    first = story.world.post(f"{story.path}/erasure", story.alice, body)
    assert first.status_code == 200, first.text
    assert story.world.post(f"{story.path}/erasure", story.alice, body).content == first.content
    assert process.run("gc").returncode == 0  # no grace is waited for
    after = is_clean(story)
    assert (after.litter.erased_objects, after.litter.orphan_objects) == (0, 0)
    assert len(story.world.store.list_objects()) == before - len(parcels)
    assert not any(path.name.startswith(str(view.upload)) for path in (process.root / "objects").rglob("*"))
    assert story.list(story.alice).status_code == 404


def _folder(story: VaultStory, view: UploadView) -> Path:
    stored = story.find_upload(view.upload).stored
    return story.world.root / "objects" / "uploads" / f"{stored.name}.{stored.token}"
