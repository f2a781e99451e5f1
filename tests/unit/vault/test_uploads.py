"""Uploads and the objects behind their URLs, over HTTP."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from carnet_protocol.api import OpenedVersion, UploadsAnswer, UploadView
from carnet_protocol.ids import UploadId
from carnet_protocol.layout import SEALED_LEAF_BYTES, ciphertext_size
from carnet_protocol.limits import MAX_DOCUMENT_BYTES, PART_LEAVES, URL_LIFETIME_SECONDS
from carnet_storage import MIN_PART_BYTES
from carnet_storage._disk import FREE_FLOOR_BYTES
from carnet_vault.uploads import decide
from tests.support.parcels import make_sealed
from tests.support.tables import count_rows
from tests.support.vault import VaultStory, code, nothing_changes

STEP = PART_LEAVES * SEALED_LEAF_BYTES


def begin(story: VaultStory, *sizes: int) -> tuple[UploadView, ...]:
    answer = story.begin_uploads(sizes)
    assert answer.status_code == 200, answer.text
    return UploadsAnswer.model_validate_json(answer.content).uploads


def view(story: VaultStory, upload: UploadId, by: Any = None) -> Any:
    return story.world.get(f"{story.path}/uploads/{upload}", by or story.laura)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, STEP),
        (STEP * decide.MAX_PARTS, STEP),
        (STEP * decide.MAX_PARTS + 1, 2 * STEP),
        (ciphertext_size(MAX_DOCUMENT_BYTES), 17 * STEP),
    ],
)
def test_parts_grow_so_that_no_object_has_more_than_256(size: int, expected: int) -> None:
    assert decide.part_size(size) == expected
    assert -(-size // expected) <= decide.MAX_PARTS
    assert expected >= MIN_PART_BYTES


def test_a_large_object_travels_in_parts_and_goes_on_after_a_cut(story: VaultStory) -> None:
    parcel = story.parcel(sealed=make_sealed(story.world.dice, padded=20 << 20))
    upload = begin(story, parcel.size)[0]
    first, second = upload.parts
    assert [(part.offset, part.size) for part in upload.parts] == [(0, STEP), (STEP, parcel.size - STEP)]
    assert story.world.put_bytes(second.url, parcel.sealed.ciphertext[second.offset :]).status_code == 200
    story.world.clock.now += URL_LIFETIME_SECONDS
    assert code(story.world.put_bytes(first.url, parcel.sealed.ciphertext[:STEP])) == (404, "refused")
    fresh = UploadView.model_validate_json(view(story, upload.upload).content)
    assert [part.number for part in fresh.parts] == [1]
    assert story.world.put_bytes(fresh.parts[0].url, parcel.sealed.ciphertext[:STEP]).status_code == 200
    assert view(story, upload.upload).json()["parts"] == []
    assert story.commit((parcel, upload.upload)).status_code == 200


def test_an_upload_is_its_beginners_alone(story: VaultStory) -> None:
    upload = begin(story, 20_000)[0].upload
    path = f"{story.path}/uploads/{upload}"
    with nothing_changes(story):
        answers = [
            view(story, upload, story.alice),
            view(story, upload, story.bob),
            view(story, UploadId(bytes(16))),
            story.world.send("DELETE", path, by=story.alice),
        ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}


def test_no_fresh_urls_once_the_grant_has_ended(story: VaultStory) -> None:
    upload = begin(story, 20_000)[0].upload
    assert story.update(story.own.revoke(story.deposit_grant)).status_code == 200
    with nothing_changes(story):
        assert code(view(story, upload)) == (404, "refused")
        assert code(story.begin_uploads([20_000])) == (404, "refused")


def test_no_url_outlives_the_grant_it_was_asked_under(story: VaultStory) -> None:
    parcel = story.parcel()
    story.world.clock.now = ends = story.deposit_grant.body.expires
    story.world.clock.now -= 60
    upload = begin(story, parcel.size)[0]
    fresh = UploadView.model_validate_json(view(story, upload.upload).content)
    assert (upload.urls_expire, fresh.urls_expire) == (ends, ends)
    story.world.clock.now = ends
    for url in (upload.parts[0].url, fresh.parts[0].url):
        assert code(story.world.put_bytes(url, parcel.sealed.ciphertext)) == (404, "refused")
    # The patient needs no grant.
    answer = story.begin_uploads([parcel.size], by=story.alice)
    own = UploadsAnswer.model_validate_json(answer.content).uploads[0]
    assert own.urls_expire == ends + URL_LIFETIME_SECONDS


def test_an_upload_that_is_given_up_leaves_nothing(story: VaultStory) -> None:
    parcel = story.parcel()
    before = story.world.state()
    upload = story.upload(parcel)[0]
    assert story.world.send("DELETE", f"{story.path}/uploads/{upload}", by=story.laura).json() == {"receipts": []}
    assert story.world.state() == before
    assert code(story.commit((parcel, upload))) == (404, "refused")


@pytest.mark.parametrize("sizes", [[], [16_471], [2 * MAX_DOCUMENT_BYTES + 1], [20_000] * 101, [-1], ["20000"]])
def test_impossible_sizes_are_refused(story: VaultStory, sizes: list[object]) -> None:
    body = f'{{"grant": null, "sizes": {sizes!r}}}'.replace("'", '"').encode()
    with nothing_changes(story):
        assert code(story.world.post(f"{story.path}/uploads", story.alice, body)) == (400, "bad_request")


def test_nobody_has_more_than_so_many_uploads_under_way(story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_OPEN_UPLOADS", 3)
    begin(story, 20_000, 20_000)
    with nothing_changes(story):
        assert code(story.begin_uploads([20_000, 20_000])) == (429, "rate_limited")
    begin(story, 20_000)


def test_nobody_has_more_than_so_many_bytes_under_way(story: VaultStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MAX_OPEN_BYTES", 60_000)
    begin(story, 20_000, 20_000)
    with nothing_changes(story):
        assert code(story.begin_uploads([20_001])) == (429, "rate_limited")
    begin(story, 20_000)
    # Alice's are her own.
    assert story.begin_uploads([60_000], by=story.alice).status_code == 200


def test_whoever_has_nothing_under_way_may_begin_the_largest_there_is(story: VaultStory) -> None:
    object.__setattr__(story.world.store._disk, "free_bytes", lambda _: 1 << 50)
    begin(story, 2 * MAX_DOCUMENT_BYTES)
    assert code(story.begin_uploads([20_000])) == (429, "rate_limited")


def test_more_than_the_disk_has_is_refused_before_a_byte_is_sent(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 5 + FREE_FLOOR_BYTES // 4096

    def tiny(_path: object) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, free, free, free, 100, 100, 100, 0, 255))

    monkeypatch.setattr(os, "statvfs", tiny)
    with nothing_changes(story):
        assert code(story.begin_uploads([16_472, 40_000])) == (507, "no_space")
    assert count_rows(story.world.engine, "uploads") == 0


def test_a_full_disk_during_a_part_is_told_and_the_part_counts_as_cut(
    story: VaultStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = story.parcel()
    upload = begin(story, parcel.size)[0]
    write = os.pwrite
    disk = story.world.store._disk

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    object.__setattr__(disk, "pwrite", full)
    assert code(story.world.put_bytes(upload.parts[0].url, parcel.sealed.ciphertext)) == (507, "no_space")
    assert code(story.commit((parcel, upload.upload))) == (409, "conflict")
    object.__setattr__(disk, "pwrite", write)
    assert [part["number"] for part in view(story, upload.upload).json()["parts"]] == [1]
    story.send_bytes(upload, parcel.sealed.ciphertext)
    assert story.commit((parcel, upload.upload)).status_code == 200


def test_a_full_disk_at_the_finish_is_told_and_nothing_is_committed(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    disk = story.world.store._disk
    link = disk.link

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    object.__setattr__(disk, "link", full)
    assert code(story.commit((parcel, upload))) == (507, "no_space")
    assert count_rows(story.world.engine, "versions") == 0
    assert story.world.store.list_objects() == ()
    object.__setattr__(disk, "link", link)
    assert story.commit((parcel, upload)).status_code == 200


def test_a_store_that_fails_is_told_as_unavailable(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = story.upload(parcel)[0]
    object.__setattr__(story.world.store._disk, "link", _failing)
    assert code(story.commit((parcel, upload))) == (503, "unavailable")
    assert count_rows(story.world.engine, "versions") == 0


def _failing(*_arguments: object) -> None:
    raise OSError(errno.EIO, "broken")


CHANGES: dict[str, Callable[[str], str]] = {
    "another part": lambda url: url.replace("part=1", "part=2"),
    "another offset": lambda url: url.replace("offset=0", "offset=1"),
    "another size": lambda url: url.replace("&size=", "&size=1"),
    "another time": lambda url: url.replace("expires=1", "expires=2"),
    "another name": lambda url: url.replace("/v1/objects/", "/v1/objects/A", 1)[:-1],
    "no signature": lambda url: url.partition("&signature")[0],
    "no query": lambda url: url.partition("?")[0],
    "another signature": lambda url: url[:-2] + ("AA" if url[-2:] != "AA" else "BA"),
    "a name that is none": lambda url: url.replace("/v1/objects/", "/v1/objects/.."),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_url_is_refused(story: VaultStory, change: str) -> None:
    parcel = story.parcel()
    upload = begin(story, parcel.size)[0]
    with nothing_changes(story):
        answer = story.world.put_bytes(CHANGES[change](upload.parts[0].url), parcel.sealed.ciphertext)
    assert code(answer) in {(404, "refused"), (400, "bad_request")}


@pytest.mark.parametrize("length", [-1, +1])
def test_a_part_of_another_length_is_refused(story: VaultStory, length: int) -> None:
    upload = begin(story, 20_000)[0]
    with nothing_changes(story):
        assert code(story.world.put_bytes(upload.parts[0].url, bytes(20_000 + length))) == (404, "refused")


def test_a_url_for_reading_does_not_write_and_one_for_writing_does_not_read(story: VaultStory) -> None:
    parcel = story.parcel()
    upload = begin(story, parcel.size)[0]
    story.send_bytes(upload, parcel.sealed.ciphertext)
    assert story.commit((parcel, upload.upload)).status_code == 200
    url = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content).url
    with nothing_changes(story):
        assert code(story.world.put_bytes(url, parcel.sealed.ciphertext))[0] in {400, 404}
        assert code(story.world.get_bytes(upload.parts[0].url))[0] in {400, 404}
        # A URL for a part outlives the upload, but changes nothing that is finished.
        assert code(story.world.put_bytes(upload.parts[0].url, bytes(parcel.size))) == (404, "refused")
    assert story.world.get_bytes(url).content == parcel.sealed.ciphertext


@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=56-16455", 206, 56, 16_456),
        ("bytes=16000-", 206, 16_000, 16_472),
        ("bytes=-100", 206, 16_372, 16_472),
        ("bytes=0-999999", 206, 0, 16_472),
        ("bytes=0-1,3-4", 200, 0, 16_472),
        ("leaves=0-1", 200, 0, 16_472),
        ("bytes=16472-", 416, 0, 0),
    ],
)
def test_ranges_are_served(story: VaultStory, header: str, status: int, start: int, end: int) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    url = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content).url
    answer = story.world.get_bytes(url, range=header)
    assert answer.status_code == status
    assert answer.content == parcel.sealed.ciphertext[start:end]
    assert answer.headers["content-length"] == str(end - start)
    if status != 200:
        shown = f"{start}-{end - 1}" if status == 206 else "*"
        assert answer.headers["content-range"] == f"bytes {shown}/{parcel.size}"


def test_a_reading_url_ends_after_minutes(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    url = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content).url
    story.world.clock.now += URL_LIFETIME_SECONDS
    assert code(story.world.get_bytes(url)) == (404, "refused")


def test_no_url_is_logged(story: VaultStory) -> None:
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
    url = OpenedVersion.model_validate_json(story.open(story.bob, parcel, story.read_grant).content).url
    story.world.get_bytes(url)
    name = url.rpartition("/")[2].partition("?")[0]
    assert name not in story.world.log.getvalue()
    assert str(story.record) not in story.world.log.getvalue()
    assert "/v1/objects/{name}" in story.world.log.getvalue()
