"""`fsck` calls a vault clean after a whole story, and names every kind of damage."""

from collections.abc import Callable

import pytest
from sqlalchemy import QueuePool, insert, select, text

from carnet_protocol.tuples import KeyRole
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_storage import ObjectName, ObjectReader, StoreUnavailable
from carnet_vault.fsck import Seen, check_contents, check_database, check_objects
from carnet_vault.fsck import objects as fsck_objects
from carnet_vault.tables import personal_capsules, versions
from tests.support.parcels import Parcel, make_reseal, make_sealed, swap
from tests.support.vault import VaultStory, nothing_changes


def deployment_of(story: VaultStory) -> Deployment:
    own = story.world.own
    return Deployment.of(own.card, own.card.body.vault, own.vault.log_key)


def check(story: VaultStory, seen: Seen | None = None) -> set[str]:
    """What fsck finds; it changes nothing."""
    engine, store = story.world.engine, story.world.store
    with nothing_changes(story):
        with reader(engine) as connection:
            findings = list(check_database(connection, deployment_of(story)))
        findings += check_objects(engine, store, seen or Seen(), on_object=lambda: None)
        findings += check_contents(engine, store, on_bytes=lambda _: None)
    return {finding.check for finding in findings}


def execute(story: VaultStory, statement: str, **values: object) -> None:
    with story.world.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.execute(text(statement), values)


def whole_story(story: VaultStory) -> Parcel:
    """Deposits, a version, a move, a personal capsule, a reseal, a relock, a closed epoch, a tombstone."""
    first = story.parcel(sealed=make_sealed(story.world.dice, padded=3 << 20))
    second, moved, resealed, gone = story.parcel(after=first), story.parcel(), story.parcel(), story.parcel()
    assert story.bring(first, second, moved, resealed, gone).status_code == 200
    swaps = [
        swap(story.own.capsule(moved.version, old.role, story.private, story.lock), old)
        for old in (moved.content_capsule, moved.metadata_capsule)
    ]
    assert story.update(story.own.file(moved.document, story.private), capsules=swaps).status_code == 200
    later = story.parcel(after=moved)
    assert story.bring(later).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[first.document])
    personal = [
        swap(story.own.personal_capsule(first.version, role, grant, story.mallory, story.lock), None)
        for role in KeyRole
    ]
    assert story.update(grant, capsules=personal).status_code == 200
    assert story.update(story.own.entomb(gone.document, gone.manifest.hash)).status_code == 200
    reseal = make_reseal(story.world.dice, story.own, resealed, story.general, story.lock)
    assert story.commit_reseals((reseal, story.upload(reseal, by=story.alice)[0])).status_code == 200
    assert story.update(story.own.next_epoch(story.general)).status_code == 200
    relocked = [
        swap(story.own.capsule(parcel.version, role, story.general, story.lock), old)
        for parcel, pair in (
            (first, first),
            (second, second),
            (later, later),
            (resealed, reseal),
        )
        for role, old in (
            (KeyRole.CONTENT, pair.content_capsule),
            (KeyRole.METADATA, pair.metadata_capsule),
        )
    ]
    answer = story.update(story.own.close_epoch(story.general, epoch=1), capsules=relocked)
    assert answer.status_code == 200, answer.text
    return first


def test_a_vault_after_a_whole_story_is_clean(story: VaultStory) -> None:
    whole_story(story)
    begun = story.begin_uploads([20_000])
    assert begun.status_code == 200
    seen = Seen()
    assert check(story, seen) == set()
    assert seen.objects == 7
    assert (seen.litter.orphan_objects, seen.litter.uploads, seen.litter.retired_objects) == (0, 1, 2)


def test_an_object_without_a_row_is_litter(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    row = story.find_upload(story.upload(parcel)[0])
    story.world.store.finish_upload(row.stored)
    seen = Seen()
    assert check(story, seen) == set()
    # As long as its upload is known, a deposit may still take it.
    assert seen.litter.orphan_objects == 0
    execute(story, "DELETE FROM uploads")
    seen = Seen()
    assert check(story, seen) == set()
    assert seen.litter.orphan_objects == 1


DAMAGE: dict[str, tuple[str, str]] = {
    "a version is lost": ("DELETE FROM capsules; DELETE FROM versions", "version_missing"),
    "an object's row says another size": ("UPDATE objects SET size = size + 1", "object_of_another_size"),
    "an object is retired in use": ("UPDATE objects SET retired_at = 1", "object_retired_in_use"),
    "a version has no object": ("UPDATE versions SET object = NULL", "version_without_object"),
    "metadata is cut": ("UPDATE versions SET metadata = substr(metadata, 2)", "metadata_of_another_digest"),
    "metadata is gone": ("UPDATE versions SET metadata = NULL", "metadata_of_another_digest"),
    "a leaf list is zeroed": ("UPDATE versions SET leaf_digests = zeroblob(32)", "leaf_list_of_another_digest"),
    "a leaf list is gone": ("UPDATE versions SET leaf_digests = NULL", "leaf_list_of_another_digest"),
    "a leaf list is too long": ("UPDATE versions SET leaf_digests = zeroblob(64)", "leaf_list_of_another_digest"),
    "a reseal is invented": ("UPDATE versions SET reseals = 1", "reseals_do_not_chain"),
    "a version has no grant": ('UPDATE versions SET "grant" = NULL', "version_of_another_manifest"),
    "a head is too high": ("UPDATE documents SET head = 2", "versions_do_not_chain"),
    "an author is another": (
        "UPDATE documents SET author = (SELECT identity FROM people WHERE identity <> author LIMIT 1)",
        "versions_do_not_chain",
    ),
    "a tombstone is invented": ("UPDATE documents SET tombstoned_at = 1", "tombstone_marked_otherwise"),
    "a document is filed elsewhere": ("UPDATE documents SET compartment = zeroblob(16)", "document_filed_otherwise"),
    "a document is not listed": ("UPDATE documents SET listed = NULL", "document_listed_otherwise"),
    "a capsule is lost": ("DELETE FROM capsules WHERE role = 'content'", "version_without_its_capsules"),
    "a capsule is cut": ("UPDATE capsules SET sealed = substr(sealed, 1, 100)", "capsule_malformed"),
    "a capsule is another": (
        "UPDATE capsules SET sealed = CAST(substr(sealed, 1, 100) || zeroblob(2220) AS BLOB)",
        "capsule_of_another_digest",
    ),
    "capsules are elsewhere": ("UPDATE capsules SET compartment = zeroblob(16)", "capsule_in_another_compartment"),
    "an event is lost": ("DELETE FROM event_records; DELETE FROM events WHERE position = 3", "log_has_a_gap"),
    "a capsule's inner suite is unknown": ("UPDATE capsules SET inner_suite = 9", "capsule_malformed"),
    "a capsule's outer suite is unknown": ("UPDATE capsules SET outer_suite = 9", "capsule_malformed"),
    "a capsule's inner suite is another": ("UPDATE capsules SET inner_suite = 3 - inner_suite", "capsule_malformed"),
    "a capsule's outer suite is another": ("UPDATE capsules SET outer_suite = 3 - outer_suite", "capsule_malformed"),
    "a capsule's role is unknown": ("UPDATE capsules SET role = 'other' WHERE role = 'content'", "capsule_malformed"),
    "a version's suite is another": ("UPDATE versions SET suite = 3 - suite", "version_of_another_manifest"),
    "a version's digests are of another suite": (
        "UPDATE versions SET digest_suite = 3 - digest_suite",
        "leaf_list_of_another_digest",
    ),
    "a version's digests are of an unknown suite": ("UPDATE versions SET digest_suite = 9", "content_unreadable"),
    "an object's name is none": (
        "UPDATE objects SET name = 'x'; UPDATE versions SET object = 'x'",
        "object_name_malformed",
    ),
    "an id is cut": ("UPDATE documents SET compartment = zeroblob(3)", "check_cut_short"),
    "a lock row is another": ("UPDATE locks SET version = 7", "row_of_another_statement"),
    "a statement is another's": (
        "UPDATE statements SET jws = (SELECT jws FROM statements s WHERE s.kind = 'lock') WHERE kind = 'manifest'",
        "statement_malformed",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_to_the_database_is_found(sqlite_story: VaultStory, what: str) -> None:
    story = sqlite_story
    assert story.bring(story.parcel()).status_code == 200
    assert check(story) == set()
    statements, expected = DAMAGE[what]
    with story.world.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA query_only = 0")
        driver.execute("PRAGMA foreign_keys = OFF")
        for statement in statements.split("; "):
            driver.execute(statement)
        driver.execute("PRAGMA foreign_keys = ON")
    assert expected in check(story)


STORE_DAMAGE: dict[str, tuple[Callable[[bytes], bytes | None], set[str]]] = {
    "gone": (lambda _: None, {"row_without_object", "content_of_another_digest"}),
    "cut": (lambda data: data[:-1], {"stored_object_of_another_size", "content_of_another_digest"}),
    "extended": (lambda data: data + b"\0", {"stored_object_of_another_size", "content_of_another_digest"}),
    "one bit": (lambda data: data[:-1] + bytes([data[-1] ^ 1]), {"content_of_another_digest"}),
    "zeroed": (lambda data: bytes(len(data)), {"content_of_another_digest"}),
}


@pytest.mark.parametrize("what", STORE_DAMAGE)
def test_damage_to_the_store_is_found(sqlite_story: VaultStory, what: str) -> None:
    story = sqlite_story
    assert story.bring(story.parcel(sealed=make_sealed(story.world.dice, padded=3 << 20))).status_code == 200
    (path,) = [path for path in (story.world.root / "objects" / "objects").rglob("*") if path.is_file()]
    change, expected = STORE_DAMAGE[what]
    data = change(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    assert check(story) == expected


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 200])
def test_contents_are_read_page_by_page_and_no_snapshot_is_kept_meanwhile(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    first, other = story.parcel(), story.parcel()
    assert story.bring(first, story.parcel(after=first), other).status_code == 200
    monkeypatch.setattr(fsck_objects, "_ROWS_AT_ONCE", rows_at_once)
    open_object, opened = story.world.store.open_object, []

    def watched(name: ObjectName) -> ObjectReader:
        assert isinstance(story.world.engine.pool, QueuePool)
        assert story.world.engine.pool.checkedout() == before
        opened.append(name)
        found: ObjectReader = open_object(name)
        return found

    monkeypatch.setattr(story.world.store, "open_object", watched)
    # The writer keeps its own.
    before = story.world.engine.pool.checkedout()
    assert list(check_contents(story.world.engine, story.world.store, on_bytes=lambda _: None)) == []
    assert sorted(opened) == [item.name for item in story.world.store.list_objects()]


def test_an_object_that_cannot_be_read_is_named_and_keeps_no_other_finding_back(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcels = [story.parcel() for _ in range(3)]
    assert story.bring(*parcels).status_code == 200
    paths = [story.world.store._object_path(object_of(story, parcel)) for parcel in parcels]
    for path in (paths[0], paths[2]):
        path.chmod(0o600)
        path.write_bytes(bytes(path.stat().st_size))
    paths[1].unlink()
    paths[1].symlink_to("nowhere")  # opening it fails, and not for want of it
    found = list(check_contents(story.world.engine, story.world.store, on_bytes=lambda _: None))
    assert {(each.check, each.where) for each in found} == {
        ("content_of_another_digest", f"version 1 of document {parcels[0].document}"),
        ("content_unreadable", f"version 1 of document {parcels[1].document}"),
        ("content_of_another_digest", f"version 1 of document {parcels[2].document}"),
    }


def test_objects_that_cannot_be_listed_are_a_finding(sqlite_story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    story = sqlite_story
    assert story.bring(story.parcel()).status_code == 200
    monkeypatch.setattr(story.world.store, "list_objects", unavailable)
    found = list(check_objects(story.world.engine, story.world.store, Seen(), on_object=lambda: None))
    assert [(each.check, each.where) for each in found] == [("store_unreadable", "objects from the first on")]


@pytest.mark.parametrize("call", ["list_objects", "open_object"])
def test_a_store_that_is_out_of_reach_is_no_finding_of_each_object(
    sqlite_story: VaultStory, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    story = sqlite_story
    engine, store = story.world.engine, story.world.store
    assert story.bring(story.parcel()).status_code == 200
    monkeypatch.setattr(store, "check", unavailable)
    monkeypatch.setattr(store, call, unavailable)
    with pytest.raises(StoreUnavailable):
        for _ in (
            *check_objects(engine, store, Seen(), on_object=lambda: None),
            *check_contents(engine, store, on_bytes=lambda _: None),
        ):
            pass


def object_of(story: VaultStory, parcel: Parcel) -> ObjectName:
    """The object of a document's only version."""
    with story.world.engine.connect() as connection:
        found = connection.execute(select(versions.c.object).where(versions.c.document == parcel.document))
        return ObjectName(found.scalar_one())


def unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("injected")


def test_two_objects_swapped_are_found(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    assert story.bring(story.parcel(), story.parcel()).status_code == 200
    first, second = [path for path in (story.world.root / "objects" / "objects").rglob("*") if path.is_file()]
    data = first.read_bytes(), second.read_bytes()
    for path, other in ((first, data[1]), (second, data[0])):
        path.chmod(0o600)
        path.write_bytes(other)
    assert check(story) == {"content_of_another_digest"}


def test_a_personal_capsule_under_another_grant_is_found(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    capsule = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
    assert story.update(grant, capsules=[swap(capsule, None)]).status_code == 200
    assert check(story) == set()
    execute(story, 'UPDATE personal_capsules SET "grant" = :other', other=story.read_grant.hash.raw)
    assert check(story) == {"personal_capsule_of_another_grant"}


def test_a_personal_capsule_that_outlived_its_grant_is_found(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.own.grant(story.mallory, story.attestations["m"], documents=[parcel.document])
    capsule = story.own.personal_capsule(parcel.version, KeyRole.METADATA, grant, story.mallory, story.lock)
    assert story.update(grant, capsules=[swap(capsule, None)]).status_code == 200
    with story.world.engine.connect() as connection:
        kept = connection.execute(select(personal_capsules)).mappings().one()
    assert story.update(story.own.revoke(grant)).status_code == 200
    assert check(story) == set()
    with story.world.engine.begin() as connection:
        connection.execute(insert(personal_capsules), dict(kept))
    assert check(story) == {"personal_capsule_of_an_ended_grant"}
