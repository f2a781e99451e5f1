"""The contract of `carnet_storage.port.Store`, first half: what is read, and what a URL is good for.

Run for every adapter, over real HTTP wherever bytes travel.
"""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import pytest

from carnet_storage import (
    MAX_URL_SECONDS,
    MIN_PART_BYTES,
    InvalidUpload,
    RangeNotSatisfiable,
    StoredObject,
    make_object_name,
)
from tests.unit.storage.deployment import TTL_SECONDS, Deployment

T = TypeVar("T")
FAR_FUTURE = 2**40
SMALL = b"ciphertext of a letter"
LARGE = random.Random(1).randbytes(2 * MIN_PART_BYTES + 4321)


# What is stored is what is read.


@pytest.mark.parametrize("size_bytes", [1, 65_537, MIN_PART_BYTES, MIN_PART_BYTES + 1])
def test_object_is_read_back_byte_for_byte(deployment: Deployment, size_bytes: int) -> None:
    data = random.Random(size_bytes).randbytes(size_bytes)
    name = deployment.keep(data)
    assert deployment.read(name) == data
    assert deployment.store.stat(name) == StoredObject(name, size_bytes)


def test_parts_may_arrive_in_any_order(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    deployment.send(upload, LARGE, 3, 1, 2)
    assert deployment.store.arrived_parts(upload) == (1, 2, 3)
    deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) == LARGE


def test_parts_may_arrive_at_once(deployment: Deployment) -> None:
    upload = deployment.begin(len(LARGE))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda part: deployment.send(upload, LARGE, part), [1, 2, 3]))
    deployment.store.finish_upload(upload)
    assert deployment.read(upload.name) == LARGE


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=20-", slice(20, None)),
        ("bytes=-3", slice(-3, None)),
        ("bytes=10-999", slice(10, None)),
    ],
)
def test_range_is_served(deployment: Deployment, header: str, expected: slice) -> None:
    name = deployment.keep(SMALL)
    answer = deployment.client.get(deployment.get_url(name), headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, SMALL[expected])
    assert answer.headers["Content-Range"].endswith(f"/{len(SMALL)}")


def test_range_behind_the_end_is_refused(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    answer = deployment.client.get(deployment.get_url(name), headers={"Range": f"bytes={len(SMALL)}-"})
    assert answer.status_code == 416


@pytest.mark.parametrize(("start", "length"), [(0, 0), (0, 5), (3, 4), (0, len(LARGE)), (MIN_PART_BYTES - 1, 2)])
def test_server_reads_a_range_in_pieces(deployment: Deployment, start: int, length: int) -> None:
    name = deployment.keep(LARGE)
    with deployment.store.open_object(name) as reader:
        pieces = list(reader.chunks(start=start, length=length))
    assert b"".join(pieces) == LARGE[start : start + length]
    assert all(0 < len(piece) <= 2**20 for piece in pieces)


@pytest.mark.parametrize(("start", "length"), [(0, len(SMALL) + 1), (len(SMALL), 1), (-1, 1), (1, -1)])
def test_server_reads_nothing_outside_of_an_object(deployment: Deployment, start: int, length: int) -> None:
    name = deployment.keep(SMALL)
    with deployment.store.open_object(name) as reader, pytest.raises(RangeNotSatisfiable) as refusal:
        reader.chunks(start=start, length=length)
    assert refusal.value.size_bytes == reader.size_bytes == len(SMALL)


# A transfer URL is good for one thing, for a while.


@pytest.mark.parametrize("difference", [-1, 1])
def test_part_of_another_length_is_refused(deployment: Deployment, difference: int) -> None:
    upload = deployment.begin(100)
    answer = deployment.client.put(deployment.put_url(upload), content=bytes(100 + difference))
    assert answer.status_code == 403
    assert deployment.store.arrived_parts(upload) == ()


def test_part_of_unannounced_length_is_refused(deployment: Deployment) -> None:
    upload = deployment.begin(100)
    answer = deployment.client.put(deployment.put_url(upload), content=iter([bytes(100)]))
    assert answer.status_code in {403, 411}
    assert deployment.store.arrived_parts(upload) == ()


def test_expired_put_url_is_refused(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    with deployment.an_hour_ago() as now:
        url = deployment.store.put_url(upload, 1, now=now, ttl_seconds=TTL_SECONDS)
    assert deployment.client.put(url, content=SMALL).status_code == 403
    assert deployment.store.arrived_parts(upload) == ()


def test_expired_get_url_is_refused(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    with deployment.an_hour_ago() as now:
        url = deployment.store.get_url(name, now=now, ttl_seconds=TTL_SECONDS)
    answer = deployment.client.get(url)
    assert answer.status_code == 403
    assert SMALL not in answer.content


def test_tampered_signature_is_refused(deployment: Deployment) -> None:
    upload = deployment.begin(len(SMALL))
    url = deployment.put_url(upload)
    assert deployment.client.put(_with_other_end(url), content=SMALL).status_code == 403
    assert deployment.store.arrived_parts(upload) == ()
    name = deployment.keep(SMALL)
    assert deployment.client.get(_with_other_end(deployment.get_url(name))).status_code == 403


def test_lengthened_life_is_refused(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    url = deployment.get_url(name)
    expires = {key.lower(): value for key, value in httpx2.URL(url).params.items() if key.lower().endswith("expires")}
    ((_, seconds),) = expires.items()
    longer = url.replace(f"xpires={seconds}", f"xpires={int(seconds) + 1}")
    assert longer != url
    assert deployment.client.get(longer).status_code == 403


def test_put_url_of_one_part_is_useless_for_another(deployment: Deployment) -> None:
    upload = deployment.begin(2 * MIN_PART_BYTES)
    first, second = deployment.put_url(upload, 1), deployment.put_url(upload, 2)
    swapped = _with_value_of(first, second, ("part", "partNumber", "offset"))
    assert swapped not in {first, second}
    assert deployment.client.put(swapped, content=bytes(MIN_PART_BYTES)).status_code == 403
    assert deployment.store.arrived_parts(upload) == ()


def test_put_url_of_one_upload_is_useless_for_another(deployment: Deployment) -> None:
    name = make_object_name()
    ours, theirs = deployment.begin(len(SMALL), name), deployment.begin(len(SMALL), name)
    swapped = _with_value_of(deployment.put_url(ours), deployment.put_url(theirs), ("upload", "uploadId"))
    assert deployment.client.put(swapped, content=SMALL).status_code == 403
    assert deployment.store.arrived_parts(theirs) == ()


def test_url_of_one_object_is_useless_for_another(deployment: Deployment) -> None:
    ours, theirs = deployment.keep(SMALL), deployment.keep(SMALL[::-1])
    swapped = deployment.get_url(ours).replace(ours.text, theirs.text)
    answer = deployment.client.get(swapped)
    assert answer.status_code == 403
    assert SMALL[::-1] not in answer.content


def test_url_of_one_method_is_useless_for_another(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    upload = deployment.begin(len(SMALL), name)
    assert deployment.client.put(deployment.get_url(name), content=SMALL[::-1]).status_code == 403
    assert deployment.client.get(deployment.put_url(upload)).status_code == 403
    assert deployment.read(name) == SMALL


def test_bare_address_is_refused(deployment: Deployment) -> None:
    name = deployment.keep(SMALL)
    bare = deployment.get_url(name).partition("?")[0]
    assert deployment.client.get(bare).status_code == 403
    assert deployment.client.put(bare, content=SMALL[::-1]).status_code == 403
    assert deployment.client.delete(bare).status_code in {403, 501}
    assert deployment.read(name) == SMALL


@pytest.mark.parametrize("ttl_seconds", [-1, 0, MAX_URL_SECONDS + 1])
def test_url_is_never_made_for_longer_than_minutes(deployment: Deployment, ttl_seconds: int) -> None:
    upload = deployment.begin(len(SMALL))
    with pytest.raises(AssertionError, match="internal"):
        deployment.store.put_url(upload, 1, now=0, ttl_seconds=ttl_seconds)
    with pytest.raises(AssertionError, match="internal"):
        deployment.store.get_url(upload.name, now=0, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize("part", [-1, 0, 2])
def test_url_is_never_made_for_a_part_that_is_not(deployment: Deployment, part: int) -> None:
    upload = deployment.begin(len(SMALL))
    with pytest.raises(InvalidUpload):
        deployment.put_url(upload, part)


def _with_other_end(url: str) -> str:
    """Returns the URL with another last character, which belongs to the signature."""
    return url[:-1] + ("A" if url[-1] != "A" else "B") if "X-Amz" not in url else url[:-1] + f"{int(url[-1], 16) ^ 1:x}"


def _with_value_of(url: str, other: str, keys: tuple[str, ...]) -> str:
    """Returns `url` with the values that `other` has for `keys`."""
    theirs = dict(pair.split("=", 1) for pair in urlsplit(other).query.split("&"))
    pairs = (pair.split("=", 1) for pair in urlsplit(url).query.split("&"))
    query = "&".join(f"{key}={theirs[key] if key in keys else value}" for key, value in pairs)
    return f"{url.partition('?')[0]}?{query}"
