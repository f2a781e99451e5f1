"""The contract of `carnet_storage.port.Store`, second half: cuts, never overwriting, listing, giving up.

Run for every adapter, over real HTTP wherever bytes travel.
"""

import random
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import pytest

from carnet_storage import (
    MAX_PAGE,
    MIN_PART_BYTES,
    AlreadyExists,
    InvalidUpload,
    ObjectName,
    ObjectNotFound,
    SizeMismatch,
    StorageError,
    StoredObject,
    Upload,
    UploadIncomplete,
    UploadNotFound,
    make_object_name,
)
from tests.unit.storage.deployment import Deployment

T = TypeVar("T")
FAR_FUTURE = 2**40
SMALL = b"ciphertext of a letter"
LARGE = random.Random(1).randbytes(2 * MIN_PART_BYTES + 4321)


# Cuts, and going on after them.


def test_cut_part_has_not_arrived(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    _send_cut(deployment.put_url(upload, 1), LARGE[:1_000_000], announced=MIN_PART_BYTES)
    assert deployment.store.arrived_parts(upload) == ()
    deployment.send(upload, LARGE)
    deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) == LARGE


def test_upload_goes_on_after_a_restart_with_what_is_missing(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    deployment.send(upload, LARGE, 1, 3)
    store = deployment.reopen()
    kept = Upload(upload.name, upload.size_bytes, upload.part_bytes, upload.token)
    assert store.arrived_parts(kept) == (1, 3)
    with pytest.raises(UploadIncomplete) as refusal:
        store.finish_upload(kept)
    assert refusal.value.missing_parts == (2,)
    deployment.send(kept, LARGE, 2)
    store.finish_upload(kept)
    assert deployment.read(upload.name) == LARGE


def test_finish_without_any_part_names_them_all(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    with pytest.raises(UploadIncomplete) as refusal:
        deployment.store.finish_upload(upload)
    assert refusal.value.missing_parts == (1, 2, 3)
    assert deployment.names() == []


def test_finish_can_be_repeated(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL)
    for _ in range(3):
        deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) == SMALL


def test_finish_by_many_at_once_finishes_once(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL)
    outcomes = _at_once([partial(deployment.store.finish_upload, upload)] * 8)
    assert outcomes == [None] * 8
    assert deployment.read(upload.name) == SMALL
    assert list(deployment.store.stale_uploads(touched_before=FAR_FUTURE)) == []


def test_finish_for_another_size_is_refused(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL)
    for size_bytes in (len(SMALL) - 1, len(SMALL) + 1):
        other = Upload(upload.name, size_bytes, upload.part_bytes, upload.token)
        with pytest.raises(SizeMismatch):
            deployment.store.finish_upload(other)
    assert deployment.names() == []


def test_part_sent_again_replaces_the_one_before(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL[::-1])
    deployment.send(upload, SMALL)
    deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) == SMALL


def test_part_sent_by_many_at_once_is_all_of_one_of_them(deployment: Deployment) -> None:
    upload = deployment.begin(MIN_PART_BYTES)
    url = deployment.put_url(upload)
    bodies = [bytes([number]) * MIN_PART_BYTES for number in range(6)]
    answers = _at_once([partial(deployment.client.put, url, content=body) for body in bodies])
    assert 200 in {answer.status_code for answer in answers if isinstance(answer, httpx2.Response)}
    deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) in bodies


# Never overwritten.


def test_nothing_is_visible_before_the_finish(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL)
    with pytest.raises(ObjectNotFound):
        deployment.store.stat(upload.name)
    with pytest.raises(ObjectNotFound):
        deployment.store.open_object(upload.name)
    assert deployment.names() == []
    assert deployment.client.get(deployment.get_url(upload.name)).status_code == 404


def test_second_upload_of_a_name_is_refused_and_changes_nothing(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    second = deployment.begin(len(SMALL), name)
    deployment.send(second, SMALL[::-1])
    for _ in range(2):
        with pytest.raises(AlreadyExists):
            deployment.store.finish_upload(second)
    assert deployment.read(name) == SMALL
    deployment.store.abort_upload(second.name, second.token)
    assert deployment.read(name) == SMALL


def test_of_sixteen_uploads_of_one_name_one_wins(deployment: Deployment) -> None:
    name = make_object_name()
    bodies = [bytes([number]) * 50_000 for number in range(16)]
    uploads = [deployment.begin(len(body), name) for body in bodies]
    for upload, body in zip(uploads, bodies, strict=True):
        deployment.send(upload, body)
    outcomes = _at_once([partial(deployment.store.finish_upload, upload) for upload in uploads])
    winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
    assert len(winners) == 1
    assert sum(isinstance(outcome, AlreadyExists) for outcome in outcomes) == 15
    assert deployment.read(name) == bodies[winners[0]]
    for upload in uploads:
        deployment.store.abort_upload(upload.name, upload.token)
    assert deployment.read(name) == bodies[winners[0]]


def test_put_url_changes_nothing_after_the_finish(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    url = deployment.put_url(upload)
    deployment.client.put(url, content=SMALL).raise_for_status()
    deployment.store.finish_upload(upload)
    assert deployment.client.put(url, content=SMALL[::-1]).status_code == 404
    assert deployment.read(upload.name) == SMALL


def test_name_is_free_again_after_delete(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    deployment.store.delete(name)
    assert deployment.keep(SMALL[::-1], name) == name
    assert deployment.read(name) == SMALL[::-1]


# Listing and deleting.


def test_names_are_listed_in_order_by_pages(deployment: Deployment) -> None:
    first_characters = "-09AZ_az"
    names = [ObjectName(character + make_object_name().text[1:]) for character in first_characters]
    names += [ObjectName(names[0].text[:20] + make_object_name().text[20:]) for _ in range(3)]
    for name in random.Random(2).sample(names, len(names)):
        deployment.keep(SMALL, name)
    listed: list[StoredObject] = []
    while page := deployment.store.list_objects(after=listed[-1].name if listed else None, limit=2):
        assert len(page) <= 2
        listed.extend(page)
    assert listed == [StoredObject(name, len(SMALL)) for name in sorted(names, key=lambda name: name.text.encode())]


def test_listing_goes_on_after_a_name_that_is_gone(deployment: Deployment) -> None:
    names = sorted(deployment.keep(SMALL) for _ in range(3))
    deployment.store.delete(names[1])
    assert [entry.name for entry in deployment.store.list_objects(after=names[1])] == [names[2]]


@pytest.mark.parametrize("limit", [0, MAX_PAGE + 1])
def test_page_has_a_limit(deployment: Deployment, limit: int) -> None:
    with pytest.raises(AssertionError, match="internal"):
        deployment.store.list_objects(limit=limit)


def test_empty_store_is_ready_and_lists_nothing(deployment: Deployment) -> None:
    deployment.store.check()
    assert deployment.store.list_objects() == ()
    assert list(deployment.store.stale_uploads(touched_before=FAR_FUTURE)) == []


def test_deleted_object_is_gone(deployment: Deployment) -> None:
    name, other = deployment.keep(SMALL), deployment.keep(SMALL[::-1])
    url = deployment.get_url(name)
    for _ in range(2):
        deployment.store.delete(name)
    with pytest.raises(ObjectNotFound):
        deployment.store.stat(name)
    assert deployment.client.get(url).status_code == 404
    assert deployment.names() == [other]


def test_delete_of_what_never_was_returns(deployment: Deployment) -> None:
    deployment.store.delete(make_object_name())


# Giving up.


def test_aborted_upload_is_gone(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    url = deployment.put_url(upload, 2)
    deployment.send(upload, LARGE)
    for _ in range(2):
        deployment.store.abort_upload(upload.name, upload.token)
    assert deployment.client.put(url, content=LARGE[:MIN_PART_BYTES]).status_code == 404
    with pytest.raises(UploadNotFound):
        deployment.store.arrived_parts(upload)
    with pytest.raises(UploadNotFound):
        deployment.store.finish_upload(upload)
    assert list(deployment.store.stale_uploads(touched_before=FAR_FUTURE)) == []
    assert deployment.names() == []


def test_abort_after_the_finish_removes_nothing(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    deployment.send(upload, SMALL)
    deployment.store.finish_upload(upload)
    deployment.store.abort_upload(upload.name, upload.token)
    assert deployment.read(upload.name) == SMALL


def test_abort_against_finish_does_one_of_both_wholly(deployment: Deployment) -> None:
    for _ in range(8):
        upload = deployment.begin(len(SMALL))
        deployment.send(upload, SMALL)
        finished, aborted = _at_once(
            [
                partial(deployment.store.finish_upload, upload),
                partial(deployment.store.abort_upload, upload.name, upload.token),
            ]
        )
        assert aborted is None
        if finished is None:
            assert deployment.read(upload.name) == SMALL
        else:
            assert isinstance(finished, UploadNotFound)
            assert upload.name not in deployment.names()
            deployment.keep(SMALL, upload.name)


def test_abort_of_one_upload_leaves_another_of_the_same_name(deployment: Deployment) -> None:
    name = make_object_name()
    ours, theirs = deployment.begin(len(SMALL), name), deployment.begin(len(SMALL), name)
    deployment.send(theirs, SMALL)
    deployment.store.abort_upload(ours.name, ours.token)
    deployment.store.finish_upload(theirs)
    assert deployment.read(name) == SMALL


def test_stale_uploads_can_be_found_and_aborted(deployment: Deployment) -> None:
    uploads = sorted((deployment.begin(len(SMALL)) for _ in range(3)), key=lambda upload: upload.name)
    deployment.send(uploads[0], SMALL)
    assert list(deployment.store.stale_uploads(touched_before=0)) == []
    found = list(deployment.store.stale_uploads(touched_before=FAR_FUTURE))
    assert [(entry.name, entry.token) for entry in found] == [(upload.name, upload.token) for upload in uploads]
    for entry in found:
        deployment.store.abort_upload(entry.name, entry.token)
    assert list(deployment.store.stale_uploads(touched_before=FAR_FUTURE)) == []


@pytest.mark.parametrize("token", ["", " ", "../../etc", "a/../b", "x" * 2000, "\n", "é"])
def test_hostile_token_is_refused_or_unknown(deployment: Deployment, token: str) -> None:
    name = deployment.keep(SMALL)
    with pytest.raises((InvalidUpload, UploadNotFound)):
        deployment.store.arrived_parts(Upload(name, len(SMALL), MIN_PART_BYTES, token))
    with pytest.raises((InvalidUpload, UploadNotFound)):
        deployment.store.finish_upload(Upload(make_object_name(), len(SMALL), MIN_PART_BYTES, token))
    assert deployment.read(name) == SMALL


@pytest.mark.parametrize(
    ("size_bytes", "part_bytes"),
    [
        (0, MIN_PART_BYTES),
        (-1, MIN_PART_BYTES),
        (1, MIN_PART_BYTES - 1),
        (1, 5 * 2**30 + 1),
        (10_000 * MIN_PART_BYTES + 1, MIN_PART_BYTES),
        (5 * 2**40 + 1, 5 * 2**30),
    ],
)
def test_upload_beyond_the_limits_never_begins(deployment: Deployment, size_bytes: int, part_bytes: int) -> None:
    with pytest.raises(InvalidUpload):
        deployment.store.begin_upload(make_object_name(), size_bytes=size_bytes, part_bytes=part_bytes)
    assert list(deployment.store.stale_uploads(touched_before=FAR_FUTURE)) == []


def _at_once(calls: Sequence[Callable[[], T]]) -> list[T | StorageError]:
    """Runs all calls at the same moment, each in a thread; returns what each returned or raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | StorageError:
        barrier.wait()
        try:
            return call()
        except StorageError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def _send_cut(url: str, data: bytes, *, announced: int) -> None:
    """Begins a PUT, sends `data`, and is gone; returns when the server has noticed."""
    parts = urlsplit(url)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {announced}\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as connection:
        connection.sendall(head.encode("ascii") + data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
