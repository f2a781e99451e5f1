"""`gc` removes what nobody needs, nothing else, and can be cut at any point."""

import contextlib
import json
import os
import sqlite3
from collections import Counter

import pytest

from carnet_protocol.api import EventsPage, OpenedVersion
from carnet_protocol.tuples import KeyRole
from carnet_server.deployment import Deployment
from carnet_server.writer import Writer
from carnet_storage import ObjectName, StoreUnavailable
from carnet_vault.gc import collect
from carnet_vault.gc.collect import Collector
from tests.support.parcels import make_reseal, swap
from tests.support.people import DAY
from tests.support.tables import count_rows
from tests.support.vault import VaultStory, code, nothing_changes

GRACE = 7 * DAY


def run(story: VaultStory, *, grace: int = GRACE, dry: bool = False) -> Counter[str]:
    own = story.world.own
    with Writer(story.world.engine) as writer:
        collector = Collector(
            engine=story.world.engine,
            writer=writer,
            store=story.world.store,
            deployment=Deployment.of(own.card, own.card.body.vault, own.vault.log_key),
            clock=story.world.clock,
            grace_seconds=grace,
        )
        return +(collector.survey() if dry else collector.collect())


def stored(story: VaultStory) -> int:
    return len(story.world.store.list_objects())


def test_what_is_in_use_stays(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel, story.parcel()).status_code == 200
    story.world.clock.now += GRACE + DAY
    with nothing_changes(story):
        assert run(story, dry=True) == Counter()
        assert run(story) == Counter()
    with nothing_changes(story):
        assert run(story, grace=0) == Counter()
    assert stored(story) == 2


def test_a_removed_document_leaves_its_manifests_alone(story: VaultStory) -> None:
    gone, kept = story.parcel(), story.parcel()
    assert story.bring(gone, kept).status_code == 200
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    with nothing_changes(story):
        assert run(story) == Counter()
    story.world.clock.now += GRACE
    with nothing_changes(story):
        assert run(story, dry=True) == Counter(documents=1, objects=1)
    assert run(story) == Counter(documents=1, objects=1)
    assert stored(story) == 1
    assert count_rows(story.world.engine, "capsules") == 2
    own = story.world.get(f"{story.path}/deposits", story.laura, grant=story.deposit_grant.hash)
    assert gone.manifest.text in own.json()["manifests"]
    assert story.list(story.alice).json()["tombstones"] != []
    with nothing_changes(story):
        assert run(story) == Counter()


def test_what_a_reseal_replaced_goes_after_its_grace(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    url = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content).url
    reseal = make_reseal(story.world.dice, story.own, parcel, story.general, story.lock)
    assert story.commit_reseals((reseal, story.upload(reseal, by=story.alice)[0])).status_code == 200
    # Who began to read the old object can go on.
    assert story.world.get_bytes(url).content == parcel.sealed.ciphertext
    story.world.clock.now += GRACE
    assert run(story) == Counter(objects=1)
    opened = OpenedVersion.model_validate_json(story.open(story.alice, parcel).content)
    assert story.world.get_bytes(opened.url).content == reseal.sealed.ciphertext


def test_abandoned_uploads_go_and_young_ones_stay(story: VaultStory) -> None:
    begun, sent, finished, young = (story.parcel() for _ in range(4))
    assert story.begin_uploads([begun.size]).status_code == 200
    story.upload(sent)
    story.world.store.finish_upload(story.find_upload(story.upload(finished)[0]).stored)
    make_old(story)
    story.world.clock.now += GRACE
    upload = story.upload(young)[0]
    with nothing_changes(story):
        assert run(story, dry=True)["uploads"] == 3
    assert run(story) == Counter(uploads=3, orphan_objects_waiting=1)
    assert stored(story) == 1
    assert story.commit((young, upload)).status_code == 200


def test_an_object_that_a_restored_database_takes_for_an_upload_has_its_grace(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    name = story.find_upload(upload).stored.name
    backup = back_up(story)
    assert story.commit((parcel, upload)).status_code == 200
    newest = back_up(story)
    story.world.clock.now += GRACE
    restore(story, backup)
    assert run(story) == Counter(uploads=1, orphan_objects_waiting=1)
    assert story.world.store.stat(name).size_bytes == parcel.size
    # A newer backup was found after all.
    restore(story, newest)
    assert run(story) == Counter()
    # It was not.
    restore(story, backup)
    assert run(story) == Counter(uploads=1, orphan_objects_waiting=1)
    story.world.clock.now += GRACE
    assert run(story) == Counter(orphan_objects=1)
    assert stored(story) == 0
    backup.close()
    newest.close()


def back_up(story: VaultStory) -> sqlite3.Connection:
    """A copy of the database."""
    copy = sqlite3.connect(":memory:")
    with contextlib.closing(sqlite3.connect(str(story.world.engine.url.database))) as source:
        source.backup(copy)
    return copy


def restore(story: VaultStory, copy: sqlite3.Connection) -> None:
    """Put a copy in the place of the database."""
    with contextlib.closing(sqlite3.connect(str(story.world.engine.url.database))) as target:
        copy.backup(target)


def make_old(story: VaultStory) -> None:
    """Let everything under `uploads` look as if nobody had touched it for long; the store reads the machine's clock."""
    for path in (story.world.root / "objects" / "uploads").rglob("*"):
        os.utime(path, (0, 0))


def test_an_upload_that_still_gets_parts_stays(story: VaultStory) -> None:
    assert story.begin_uploads([20_000]).status_code == 200
    for path in (story.world.root / "objects" / "uploads").rglob("*"):
        os.utime(path, (story.world.clock.now + GRACE, story.world.clock.now + GRACE))
    story.world.clock.now += GRACE
    assert run(story) == Counter()
    assert count_rows(story.world.engine, "uploads") == 1


def test_an_object_without_a_row_goes_once_it_has_been_so_for_the_grace(story: VaultStory) -> None:
    row = story.find_upload(story.upload(story.parcel())[0])
    story.world.store.finish_upload(row.stored)
    with story.world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM uploads")
    assert run(story) == Counter(orphan_objects_waiting=1)
    assert stored(story) == 1
    story.world.clock.now += GRACE - 1
    assert run(story) == Counter(orphan_objects_waiting=1)
    story.world.clock.now += 1
    assert run(story, dry=True) == Counter(orphan_objects=1)
    assert run(story) == Counter(orphan_objects=1)
    assert stored(story) == 0
    assert count_rows(story.world.engine, "orphans") == 0


def test_a_noted_object_whose_row_came_back_stays(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    with story.world.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA query_only = 0")
        driver.execute("PRAGMA foreign_keys = OFF")
        kept = driver.execute("SELECT * FROM objects").fetchall()
        driver.execute("DELETE FROM objects")
        assert run(story) == Counter(orphan_objects_waiting=1)
        driver.execute("INSERT INTO objects VALUES (?, ?, ?, ?)", kept[0])
        driver.execute("PRAGMA foreign_keys = ON")
    story.world.clock.now += GRACE
    assert run(story) == Counter()
    assert stored(story) == 1


def test_an_upload_that_only_the_store_knows_goes(story: VaultStory) -> None:
    assert story.begin_uploads([20_000]).status_code == 200
    with story.world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM uploads")
    make_old(story)
    assert run(story) == Counter(unknown_uploads=1)
    assert list((story.world.root / "objects" / "uploads").iterdir()) == []


def test_personal_capsules_of_a_grant_that_has_expired_go(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grants = [story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document]) for _ in range(3)]
    capsules = [
        swap(story.own.personal_capsule(parcel.version, role, grant, story.mallory, story.lock), None)
        for grant in grants
        for role in KeyRole
    ]
    assert story.update(*grants, capsules=capsules).status_code == 200
    assert story.update(story.own.revoke(grants[0])).status_code == 200
    story.world.clock.now += 1
    assert count_rows(story.world.engine, "personal_capsules") == 4
    assert run(story, grace=1) == Counter()
    story.world.clock.now = grants[1].body.expires
    assert run(story, grace=0) == Counter(personal_capsules=4)


def test_what_was_done_is_logged_and_nothing_is_when_nothing_was(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    gone = story.parcel()
    assert story.bring(gone).status_code == 200
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    run(story, grace=0)
    run(story, grace=0)
    with story.world.engine.connect() as connection:
        bodies = connection.exec_driver_sql("SELECT body FROM events WHERE kind = 'admin.gc'").scalars().all()
    assert [json.loads(body)["detail"] for body in bodies] == [{"documents": 1, "objects": 1}]
    alices = EventsPage.model_validate_json(story.world.get(f"{story.path}/events", story.alice).content).events
    assert all(json.loads(event.body)["kind"] != "admin.gc" for event in alices)


@pytest.mark.parametrize("cut_after", [0, 1, 2])
def test_a_run_that_is_cut_is_simply_run_again(
    sqlite_story: VaultStory, monkeypatch: pytest.MonkeyPatch, cut_after: int
) -> None:
    story = sqlite_story
    monkeypatch.setattr(collect, "BATCH", 2)
    parcels = [story.parcel() for _ in range(5)]
    assert story.bring(*parcels).status_code == 200
    assert story.update(*(story.own.entomb(each.document, each.manifest.hash) for each in parcels)).status_code == 200
    story.world.clock.now += GRACE
    delete, left = story.world.store.delete, [cut_after]

    def cut(name: ObjectName) -> None:
        if not left[0]:
            raise StoreUnavailable("the disk fails")
        left[0] -= 1
        delete(name)

    monkeypatch.setattr(story.world.store, "delete", cut)
    with pytest.raises(StoreUnavailable):
        run(story)
    monkeypatch.setattr(story.world.store, "delete", delete)
    run(story)
    run(story, grace=0)
    assert stored(story) == 0
    assert code(story.open(story.alice, parcels[0])) == (404, "refused")
