"""What the S3 store does beyond the contract: its placeholders, its failing network, and the words of the service."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.stub import Stubber

from carnet_storage import (
    MIN_PART_BYTES,
    AlreadyExists,
    NoSpace,
    ObjectName,
    ObjectNotFound,
    SizeMismatch,
    StorageError,
    StoreUnavailable,
    Upload,
    UploadNotFound,
)
from carnet_storage.s3 import S3Store, make_s3_client
from tests.support.radosgw import RadosGateway
from tests.unit.storage.deployment import Deployment, client_of, s3_deployment

if TYPE_CHECKING:
    import httpx2
    from mypy_boto3_s3 import S3Client

NAME = ObjectName("A" * 43)
UPLOAD = Upload(NAME, 2 * MIN_PART_BYTES, MIN_PART_BYTES, "token")
DATA = b"ciphertext of a letter"
FAR_FUTURE = 2**40


@pytest.fixture
def bucket(radosgw: RadosGateway, s3_client: "S3Client", http_client: "httpx2.Client") -> Deployment:
    return s3_deployment(radosgw, s3_client, http_client)


@pytest.fixture
def lonely_client() -> Iterator["S3Client"]:
    """A client of nobody."""
    client = make_s3_client(endpoint_url=None, region="eu-west-3", access_key_id="AKID", secret_access_key="swordfish")
    yield client
    client.close()


def store_of(bucket: Deployment) -> S3Store:
    assert isinstance(bucket.store, S3Store)
    return bucket.store


class Network:
    """What is between a store and its bucket: it loses what it is told to lose."""

    def __init__(self, client: "S3Client", is_lost: Callable[[int], bool], *, only_answers: bool) -> None:
        self.requests = 0
        self._is_lost, self._only_answers = is_lost, only_answers
        self._session = URLLib3Session()
        client.meta.events.register("before-send.s3", self._send)

    def _send(self, request: Any, **_: Any) -> None:
        self.requests += 1
        if not self._is_lost(self.requests):
            return
        if self._only_answers:
            self._session.send(request)
        raise ConnectionClosedError(endpoint_url=request.url)


@pytest.mark.parametrize("only_answers", [False, True])
@pytest.mark.parametrize("stays_broken", [False, True])
def test_finish_survives_the_loss_of_any_request(
    bucket: Deployment, radosgw: RadosGateway, stays_broken: bool, only_answers: bool
) -> None:
    for number in itertools.count(1):
        upload = bucket.begin(len(DATA))
        bucket.send(upload, DATA)
        client = client_of(radosgw)
        network = Network(client, _from(number) if stays_broken else _only(number), only_answers=only_answers)
        broken = S3Store(client, bucket=store_of(bucket)._bucket)
        failed = _fails(broken.finish_upload, upload)
        client.close()
        assert failed is (stays_broken and network.requests >= number)
        bucket.store.finish_upload(upload)
        assert bucket.read(upload.name) == DATA
        if network.requests < number:
            break
    assert number > 3
    assert list(bucket.store.stale_uploads(touched_before=FAR_FUTURE)) == []


def test_placeholder_of_a_cut_finish_does_not_show(bucket: Deployment) -> None:
    upload = _cut_after_the_placeholder(bucket)
    other = bucket.keep(DATA)
    with pytest.raises(ObjectNotFound):
        bucket.store.stat(upload.name)
    with pytest.raises(ObjectNotFound):
        bucket.store.open_object(upload.name)
    assert bucket.names() == [other]
    assert bucket.store.list_objects(limit=1)[0].name == other


def test_cut_finish_goes_on_from_its_placeholder(bucket: Deployment) -> None:
    upload = _cut_after_the_placeholder(bucket)
    bucket.store.finish_upload(upload)
    assert bucket.read(upload.name) == DATA


def test_placeholder_keeps_the_name_from_other_uploads(bucket: Deployment) -> None:
    upload = _cut_after_the_placeholder(bucket)
    other = bucket.begin(len(DATA), upload.name)
    bucket.send(other, DATA[::-1])
    with pytest.raises(AlreadyExists):
        bucket.store.finish_upload(other)
    bucket.store.finish_upload(upload)
    assert bucket.read(upload.name) == DATA


def test_abort_frees_the_name_that_its_placeholder_took(bucket: Deployment) -> None:
    upload = _cut_after_the_placeholder(bucket)
    for pending in bucket.store.stale_uploads(touched_before=FAR_FUTURE):
        bucket.store.abort_upload(pending.name, pending.token)
    assert bucket.keep(DATA[::-1], upload.name) == upload.name
    assert bucket.read(upload.name) == DATA[::-1]


def test_abort_of_another_upload_leaves_a_placeholder(bucket: Deployment) -> None:
    upload = _cut_after_the_placeholder(bucket)
    other = bucket.begin(len(DATA), upload.name)
    bucket.store.abort_upload(other.name, other.token)
    with pytest.raises(AlreadyExists):
        bucket.keep(DATA[::-1], upload.name)


def test_finish_after_the_deletion_leaves_no_placeholder(bucket: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = bucket.begin(len(DATA))
    bucket.send(upload, DATA)
    store = store_of(bucket)
    read_parts, stale_parts = store._parts, [store._parts(upload)]
    bucket.store.finish_upload(upload)
    bucket.store.delete(upload.name)
    monkeypatch.setattr(store, "_parts", lambda asked: stale_parts.pop() if stale_parts else read_parts(asked))
    with pytest.raises(UploadNotFound):
        bucket.store.finish_upload(upload)
    assert store._owner_of_placeholder(upload.name) is None


def test_keys_that_are_not_ours_are_not_listed(bucket: Deployment) -> None:
    name = bucket.keep(DATA)
    store = store_of(bucket)
    for key in ("notes.txt", "objects/notes.txt", f"objects/{NAME}/more", f"other/{NAME}"):
        store._client.put_object(Bucket=store._bucket, Key=key, Body=DATA)
    store._client.create_multipart_upload(Bucket=store._bucket, Key="objects/notes.txt")
    assert bucket.names() == [name]
    assert list(store.stale_uploads(touched_before=FAR_FUTURE)) == []


def test_put_url_signs_the_length_and_asks_for_nothing_else(lonely_client: "S3Client") -> None:
    url = S3Store(lonely_client, bucket="carnet").put_url(UPLOAD, 2, now=0, ttl_seconds=61)
    assert "X-Amz-SignedHeaders=content-length%3Bhost&" in url
    assert "X-Amz-Expires=61&" in url
    assert "checksum" not in url.lower()
    assert url.startswith("https://carnet.s3.")
    assert "swordfish" not in url


def test_client_with_an_older_signature_is_refused() -> None:
    client = boto3.session.Session("AKID", "swordfish").client(
        "s3", region_name="eu-west-3", config=Config(signature_version="s3")
    )
    with pytest.raises(AssertionError, match="internal"):
        S3Store(client, bucket="carnet")
    client.close()


def test_parts_on_several_pages_are_all_seen(lonely_client: "S3Client") -> None:
    page = {"Bucket": "carnet", "Key": f"objects/{NAME}", "UploadId": "token"}
    with Stubber(lonely_client) as service:
        first = {"PartNumber": 1, "Size": MIN_PART_BYTES, "ETag": "a"}
        service.add_response("list_parts", page | {"Parts": [first], "IsTruncated": True, "NextPartNumberMarker": 1})
        second = {"PartNumber": 2, "Size": MIN_PART_BYTES, "ETag": "b"}
        service.add_response("list_parts", page | {"Parts": [second], "IsTruncated": False})
        assert S3Store(lonely_client, bucket="carnet").arrived_parts(UPLOAD) == (1, 2)


def test_part_of_another_size_has_not_arrived(lonely_client: "S3Client") -> None:
    parts = [
        {"PartNumber": 1, "Size": MIN_PART_BYTES - 1, "ETag": "a"},
        {"PartNumber": 2, "Size": MIN_PART_BYTES, "ETag": "b"},
        {"PartNumber": 3, "Size": 1, "ETag": "c"},
    ]
    with Stubber(lonely_client) as service:
        service.add_response("list_parts", {"Parts": parts, "IsTruncated": False})
        assert S3Store(lonely_client, bucket="carnet").arrived_parts(UPLOAD) == (2,)


def test_finish_with_a_part_too_many_is_refused(lonely_client: "S3Client") -> None:
    parts = [{"PartNumber": number, "Size": MIN_PART_BYTES, "ETag": "a"} for number in (1, 2, 3)]
    with Stubber(lonely_client) as service:
        service.add_response("list_parts", {"Parts": parts, "IsTruncated": False})
        with pytest.raises(SizeMismatch):
            S3Store(lonely_client, bucket="carnet").finish_upload(UPLOAD)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, ObjectNotFound),
        ("404", 404, ObjectNotFound),
        ("NoSuchUpload", 404, UploadNotFound),
        ("PreconditionFailed", 412, AlreadyExists),
        ("ConditionalRequestConflict", 409, AlreadyExists),
        ("QuotaExceeded", 403, NoSpace),
        ("InsufficientCapacity", 507, NoSpace),
        ("AccessDenied", 403, StoreUnavailable),
        ("SignatureDoesNotMatch", 403, StoreUnavailable),
        ("NoSuchBucket", 404, StoreUnavailable),
        ("NotImplemented", 501, StoreUnavailable),
        ("", 400, StoreUnavailable),
    ],
)
def test_every_answer_of_the_service_has_one_meaning(
    lonely_client: "S3Client", code: str, status: int, expected: type[StorageError]
) -> None:
    with Stubber(lonely_client) as service:
        service.add_client_error("delete_object", code, "said with a secret", status)
        with pytest.raises(StorageError) as failure:
            S3Store(lonely_client, bucket="carnet").delete(NAME)
    assert type(failure.value) is expected
    assert "secret" not in str(failure.value)


def test_missing_bucket_is_unavailable(s3_client: "S3Client") -> None:
    with pytest.raises(StoreUnavailable, match="no bucket"):
        S3Store(s3_client, bucket="carnet-that-never-was").check()


def test_service_is_asked_once_whether_it_keeps_conditions(bucket: Deployment) -> None:
    requests: list[str] = []
    store = store_of(bucket)
    store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: requests.append(request.url))
    store.check()
    store.check()
    assert len(requests) == 2
    S3Store(store._client, bucket=store._bucket).check()
    assert len(requests) == 3
    assert bucket.names() == []


def test_service_that_overwrites_all_the_same_is_refused(lonely_client: "S3Client") -> None:
    store = S3Store(lonely_client, bucket="carnet")
    with Stubber(lonely_client) as service:
        for _ in range(2):
            service.add_response("head_bucket", {})
            service.add_response("put_object", {})
            service.add_response("put_object", {})
            with pytest.raises(StoreUnavailable, match="If-None-Match"):
                store.check()


def test_wrong_credentials_are_unavailable(radosgw: RadosGateway, bucket: Deployment) -> None:
    client = make_s3_client(
        endpoint_url=radosgw.endpoint_url,
        region=radosgw.region,
        access_key_id=radosgw.access_key_id,
        secret_access_key="wrong",
    )
    store = S3Store(client, bucket=store_of(bucket)._bucket)
    for refused in (store.check, store.list_objects, lambda: store.stat(NAME), lambda: store.delete(NAME)):
        with pytest.raises(StoreUnavailable) as failure:
            refused()
        assert radosgw.access_key_id not in str(failure.value)
    client.close()


def test_unreachable_service_is_unavailable() -> None:
    client = make_s3_client(
        endpoint_url="http://127.0.0.1:1", region="default", access_key_id="AKID", secret_access_key="swordfish"
    )
    with pytest.raises(StoreUnavailable) as failure:
        S3Store(client, bucket="carnet").check()
    assert "swordfish" not in str(failure.value)
    client.close()


def test_object_deleted_while_it_is_read_is_not_found(bucket: Deployment) -> None:
    with bucket.store.open_object(bucket.keep(DATA)) as reader:
        pieces = reader.chunks(start=0, length=1)
        for name in bucket.names():
            bucket.store.delete(name)
        with pytest.raises(ObjectNotFound):
            next(pieces)


def test_package_does_not_load_boto3_before_a_bucket_is_used() -> None:
    program = "import sys, carnet_storage; sys.exit('boto3' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def _cut_after_the_placeholder(bucket: Deployment) -> Upload:
    upload = bucket.begin(len(DATA))
    bucket.send(upload, DATA)
    store_of(bucket)._take_name(upload)
    return upload


def _from(first: int) -> Callable[[int], bool]:
    return lambda number: number >= first


def _only(lost: int) -> Callable[[int], bool]:
    return lambda number: number == lost


def _fails(finish: Callable[[Upload], None], upload: Upload) -> bool:
    try:
        finish(upload)
    except StoreUnavailable:
        return True
    return False
