"""Erasure at the vault: rows at once, then objects, whatever cuts it; nothing of the record comes or goes again."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from carnet_protocol.api import (
    Deposits,
    ErasureUpdate,
    LocksShown,
    LockStanding,
    LockView,
    OpenedVersion,
    RecordUpdate,
    ResealDeposits,
    UploadRequest,
    UploadsAnswer,
)
from carnet_protocol.ids import UploadId
from carnet_protocol.statements import Erasure, Permission, Role, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.tables import event_records, events, statements
from carnet_storage import FilesystemStore, ObjectName, StoreUnavailable
from carnet_vault import app
from carnet_vault.erasures import remove
from carnet_vault.fsck import Seen
from carnet_vault.tables import capsules, erased_objects, metadata, objects, versions
from tests.support.parcels import Parcel, make_parcel, make_reseal, swap
from tests.support.people import DAY, OwnPerson, make_person
from tests.support.records import OwnRecord, make_lock
from tests.support.tables import count_rows, unchanged
from tests.support.vault import VaultStory, code, nothing_changes
from tests.support.vault_rotation import old_capsules, show
from tests.unit.vault.test_fsck import check, whole_story
from tests.unit.vault.test_gc import run, stored

_ROWS = ("capsules", "personal_capsules", "versions", "documents", "objects", "uploads", "locks", "erased_objects")


def erase(story: VaultStory, signed: Signed[Erasure] | None = None, *, by: OwnPerson | None = None) -> httpx2.Response:
    """`POST /v1/records/{record}/erasure`, by Alice unless said otherwise."""
    signed = signed or story.own.erase(at=story.world.clock())
    return story.world.post(f"{story.path}/erasure", by or story.alice, ErasureUpdate(statements=(signed.text,)))


def is_erased(story: VaultStory) -> None:
    """Nothing is left of the record but person, erasure and leaves, and `fsck` says that this is right."""
    with story.world.engine.connect() as connection:
        counts = {
            table.name: len(connection.execute(select(table).where(table.c.record == story.record)).all())
            for table in metadata.sorted_tables
            if "record" in table.c
        }
        kinds = set(connection.execute(select(statements.c.kind)).scalars())
        listed = connection.execute(select(event_records.c.position).where(event_records.c.record == story.record))
        of_the_person = set(connection.execute(select(events.c.kind)).scalars())
        assert len(listed.all()) == counts.pop("event_records")
    assert {name for name, count in counts.items() if count} == {"erasures"}
    assert kinds <= {"identity", "device", "removal", "attestation", "revocation-list", "erasure"}
    assert {kind for kind in of_the_person if kind is not None} <= {
        *(f"statement.{kind}" for kind in kinds),
        "admin.gc",
    }
    assert check(story) == set()


def test_a_whole_story_is_gone_from_database_and_store(story: VaultStory) -> None:
    whole_story(story)
    assert story.begin_uploads([20_000]).status_code == 200
    assert erase(story).status_code == 200
    assert [count_rows(story.world.engine, table) for table in _ROWS] == [0] * len(_ROWS)
    assert stored(story) == 0
    assert list((story.world.root / "objects" / "uploads").iterdir()) == []
    is_erased(story)
    assert run(story, grace=0) == {}


def test_the_same_again_is_answered_as_before(story: VaultStory) -> None:
    assert story.bring(story.parcel()).status_code == 200
    signed = story.own.erase()
    first = erase(story, signed)
    story.world.clock.now += 60 * DAY
    with unchanged(story.world.engine):
        assert erase(story, signed).content == first.content
        assert erase(story).content == first.content


def asked(story: VaultStory, own: OwnRecord, parcel: Parcel, upload: UploadId, by: OwnPerson) -> Iterator[bytes]:
    """What `by` is answered to everything that one can ask about the record of `own`: status and bytes."""
    world, path = story.world, f"/v1/records/{own.id}"
    grants = (None, story.read_grant.hash, story.deposit_grant.hash)
    document = parcel.document
    reseal = make_reseal(world.dice, own, parcel, story.general, parcel.lock)
    answers: list[Callable[[], httpx2.Response]] = [
        lambda: world.get(f"{path}/grants", by),
        lambda: world.get(f"{path}/events", by),
        lambda: world.get(f"{path}/capsules", by),
        lambda: world.get(f"{path}/uploads/{upload}", by),
        lambda: world.send("DELETE", f"{path}/uploads/{upload}", by=by),
        lambda: world.post(f"{path}/locks", by, LockView(lock=parcel.lock.text)),
        lambda: world.post(f"{path}/documents", by, Deposits(deposits=(parcel.deposit(upload),))),
        lambda: world.post(f"{path}/reseals", by, _reseals(reseal.deposit(upload))),
        lambda: world.post(f"{path}/statements", by, _update(own.open_compartment().newest)),
        lambda: world.post(f"{path}/statements", by, _update(own.entomb(document, parcel.manifest.hash, by=by))),
        lambda: world.post(f"{path}/statements", by, _update()),
    ]
    for grant in grants:
        answers += [
            lambda grant=grant: world.get(f"{path}/access", by, grant=grant),
            lambda grant=grant: world.get(f"{path}/documents", by, grant=grant),
            lambda grant=grant: world.get(f"{path}/documents/{document}", by, grant=grant),
            lambda grant=grant: world.get(f"{path}/documents/{document}/versions/1", by, grant=grant),
            lambda grant=grant: world.get(f"{path}/deposits", by, grant=grant),
            lambda grant=grant: world.post(f"{path}/uploads", by, UploadRequest(grant=grant, sizes=(20_000,))),
        ]
    for ask in answers:
        answer = ask()
        yield b"%d %s" % (answer.status_code, answer.content)


def _update(*signed: Signed[Any]) -> RecordUpdate:
    return RecordUpdate(statements=tuple(each.text for each in signed), sealed_keys=(), capsules=())


def _reseals(deposit: Any) -> Any:
    return ResealDeposits(deposits=(deposit,))


def test_an_erased_record_is_to_everyone_as_one_that_never_was(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    parcel = story.parcel()
    (upload,) = story.upload(parcel)
    stranger = make_person(story.world.dice, Role.PATIENT)  # nobody ever told this vault of them
    nowhere = OwnRecord(story.world.dice, stranger, story.world.own)
    lock, _ = make_lock(story.world.dice, story.world.own, nowhere.id)
    part, grant = nowhere.open_compartment(), story.deposit_grant
    elsewhere = make_parcel(story.world.dice, nowhere, story.mallory, part, lock, grant=grant)
    (unknown,) = set(asked(story, nowhere, elsewhere, upload, story.mallory))
    assert unknown.startswith(b"404 ")
    assert erase(story).status_code == 200
    with nothing_changes(story):
        for person in (story.alice, story.bob, story.laura, story.mallory):
            mine = story.parcel(author=person, grant=None if person is story.alice else story.deposit_grant)
            assert set(asked(story, story.own, mine, upload, person)) == {unknown}


ATTACKS: dict[str, Callable[[VaultStory], Signed[Erasure]]] = {
    "by a device key": lambda story: story.own.erase(root=story.alice.device.signer),
    "by another person's root key": lambda story: story.own.erase(root=story.mallory.root),
    "for another record": lambda story: OwnRecord(story.world.dice, story.bob, story.world.own).erase(
        root=story.alice.root
    ),
    "for another vault": lambda story: story.own.erase(vault=story.world.own.keyservice.fingerprint),
    "for another key service": lambda story: story.own.erase(keyservice=story.world.own.vault.fingerprint),
    "too old": lambda story: story.own.erase(at=story.world.clock() - 7 * DAY - 1),
    "from the future": lambda story: story.own.erase(at=story.world.clock() + 121),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_erasure_of_this_record_erases_nothing(sqlite_story: VaultStory, attack: str) -> None:
    assert sqlite_story.bring(sqlite_story.parcel()).status_code == 200
    signed = ATTACKS[attack](sqlite_story)
    with nothing_changes(sqlite_story):
        assert code(erase(sqlite_story, signed)) == (400, "invalid_statement")
        for person in (sqlite_story.bob, sqlite_story.laura):
            assert code(erase(sqlite_story, by=person)) == (404, "refused")


def test_a_superseded_root_key_erases_nothing(sqlite_story: VaultStory) -> None:
    story = sqlite_story
    old = story.alice.root
    story.alice.renew(new_root=True)
    tablet = story.alice.enrol()
    story.tell_of(story.alice)
    body = ErasureUpdate(statements=(story.own.erase(root=old).text,))
    with nothing_changes(story):
        assert code(story.world.post(f"{story.path}/erasure", tablet, body)) == (400, "invalid_statement")


def test_an_upload_under_way_brings_nothing_any_more(story: VaultStory) -> None:
    parcel = story.parcel()
    view = UploadsAnswer.model_validate_json(story.begin_uploads([parcel.size]).content).uploads[0]
    assert erase(story).status_code == 200
    with nothing_changes(story):
        sent = story.world.put_bytes(view.parts[0].url, parcel.sealed.ciphertext)
        assert code(sent) == (404, "refused")
        assert code(story.commit((parcel, view.upload))) == (404, "refused")


def test_a_url_that_is_good_gives_nothing_any_more(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    opened = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content)
    assert story.world.get_bytes(opened.url).status_code == 200
    assert erase(story).status_code == 200
    assert code(story.world.get_bytes(opened.url)) == (404, "refused")


def test_an_object_finished_for_a_deposit_that_lost_the_race_goes_too(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = story.parcel()
    (upload,) = story.upload(parcel)
    finish = FilesystemStore.finish_upload
    answers: list[httpx2.Response] = []

    def finish_then_erase(store: FilesystemStore, stored: Any) -> None:
        finish(store, stored)
        monkeypatch.undo()
        answers.append(erase(story))

    monkeypatch.setattr(FilesystemStore, "finish_upload", finish_then_erase)
    assert code(story.commit((parcel, upload))) == (404, "refused")
    assert [answer.status_code for answer in answers] == [200]
    assert stored(story) == 0
    is_erased(story)


def test_an_upload_that_was_being_begun_meanwhile_is_given_up(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = FilesystemStore.begin_upload

    def erase_then_begin(store: FilesystemStore, name: ObjectName, **sizes: int) -> Any:
        monkeypatch.undo()
        assert erase(story).status_code == 200
        return begin(store, name, **sizes)

    monkeypatch.setattr(FilesystemStore, "begin_upload", erase_then_begin)
    assert code(story.begin_uploads([20_000])) == (404, "refused")
    assert list((story.world.root / "objects" / "uploads").iterdir()) == []
    is_erased(story)


def test_a_deposit_that_won_the_race_is_erased(story: VaultStory) -> None:
    assert story.bring(story.parcel()).status_code == 200
    assert erase(story).status_code == 200
    is_erased(story)


@contextlib.contextmanager
def failing_store(monkeypatch: pytest.MonkeyPatch, *, after: int) -> Iterator[None]:
    """A store that fails from the delete number `after` on."""
    delete, left = FilesystemStore.delete, [after]

    def fail(store: FilesystemStore, name: ObjectName) -> None:
        if not left[0]:
            raise StoreUnavailable("away")
        left[0] -= 1
        delete(store, name)

    with monkeypatch.context() as patched:
        patched.setattr(FilesystemStore, "delete", fail)
        yield


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_store_that_fails_keeps_no_record_from_being_erased_and_gc_goes_on(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    parcels = [story.parcel() for _ in range(3)]
    assert story.bring(*parcels).status_code == 200
    with failing_store(monkeypatch, after=after):
        assert erase(story).status_code == 200
    seen = Seen()
    assert check(story, seen) == set()
    assert (seen.litter.erased_objects, seen.litter.orphan_objects) == (3, 0)
    assert stored(story) == 3 - after
    assert run(story, dry=True) == {"erased_objects": 3}
    with failing_store(monkeypatch, after=0), pytest.raises(StoreUnavailable):
        run(story)
    assert run(story) == {"erased_objects": 3}
    assert stored(story) == 0
    is_erased(story)


def test_many_objects_go_in_batches_and_gc_removes_what_the_request_left(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove, "BATCH", 2)
    monkeypatch.setattr(app, "ERASED_BATCHES", 1)
    assert story.bring(*(story.parcel() for _ in range(5))).status_code == 200
    assert erase(story).status_code == 200
    assert (stored(story), count_rows(story.world.engine, "erased_objects")) == (3, 3)
    assert run(story) == {"erased_objects": 3}
    is_erased(story)


def test_another_record_is_left_as_it_was(story: VaultStory) -> None:
    kept = story.parcel()
    assert story.bring(kept).status_code == 200
    dice = story.world.dice
    second = make_person(dice, Role.PATIENT)
    story.tell_of(second)
    own = OwnRecord(dice, second, story.world.own)
    signed = own.erase()
    body = ErasureUpdate(statements=(signed.text,))
    before = [count_rows(story.world.engine, table) for table in _ROWS]
    assert story.world.post(f"/v1/records/{own.id}/erasure", second, body).status_code == 200
    assert [count_rows(story.world.engine, table) for table in _ROWS] == before
    opened = OpenedVersion.model_validate_json(story.open(story.bob, kept, story.read_grant).content)
    assert story.world.get_bytes(opened.url).content == kept.sealed.ciphertext
    assert check(story) == set()


def test_no_byte_of_a_capsule_or_a_document_is_left_on_disk(sqlite_story: VaultStory, tmp_path: Path) -> None:
    story = sqlite_story
    parcel = whole_story(story)
    with story.world.engine.connect() as connection:
        needles = [bytes(sealed)[:64] for sealed in connection.execute(select(capsules.c.sealed)).scalars()]
        needles += [bytes(found)[:64] for found in connection.execute(select(versions.c.metadata)).scalars() if found]
        needles += [name.encode() for name in connection.execute(select(objects.c.name)).scalars()]
    needles += [parcel.sealed.ciphertext[:64], parcel.manifest.text[-60:].encode()]
    assert all(_is_on_disk(tmp_path, needle) for needle in needles)
    assert erase(story).status_code == 200
    assert not any(_is_on_disk(tmp_path, needle) for needle in needles)


def _is_on_disk(folder: Path, needle: bytes) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return any(needle in path.read_bytes() or needle in path.name.encode() for path in files)


def test_an_object_row_that_stays_is_found(sqlite_story: VaultStory) -> None:
    assert erase(sqlite_story).status_code == 200
    with sqlite_story.world.engine.begin() as connection:
        connection.execute(
            objects.insert(), {"name": "a" * 52, "record": sqlite_story.record, "size": 1, "retired_at": 1}
        )
    assert "row_of_an_erased_record" in check(sqlite_story)


def test_a_personal_capsule_of_another_grant_is_no_obstacle(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    grant = story.own.grant(
        story.mallory, story.attestations["m"], documents=[parcel.document], permission=Permission.READ
    )
    personal = [
        swap(story.own.personal_capsule(parcel.version, role, grant, story.mallory, story.lock), None)
        for role in KeyRole
    ]
    assert story.update(grant, capsules=personal).status_code == 200
    assert story.update(story.own.revoke(grant)).status_code == 200
    assert erase(story).status_code == 200
    is_erased(story)
    assert count_rows(story.world.engine, erased_objects.name) == 0


def test_a_rotation_brings_nothing_of_an_erased_record_back(story: VaultStory) -> None:
    """A key service that has not heard of the erasure yet goes on rotating the record's lock."""
    assert story.bring(story.parcel()).status_code == 200
    newer, _ = make_lock(story.world.dice, story.world.own, story.record, version=2, at=story.world.clock())
    assert erase(story).status_code == 200
    with unchanged(story.world.engine):
        for lock in (story.lock, newer):
            (shown,) = LocksShown.model_validate_json(show(story, lock).content).locks
            assert (shown.standing, shown.highest) == (LockStanding.RECORD_UNKNOWN, 0)
        assert old_capsules(story) == []
    is_erased(story)
