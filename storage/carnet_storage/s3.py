"""The S3 store: every upload is a multipart upload, and its bytes go straight between a client and the bucket.

Objects are `objects/<name>` in one bucket. Nothing is there before the upload is finished, and what is never finished
is listed, aborted and expired as S3 has it for multipart uploads.

**Never overwriting.** Some services (Ceph) honour `If-None-Match: *` on a PUT but not on the completion of a multipart
upload. So a finish first puts an empty object under the final name, on the condition that none is there, marked with
its upload's id; only the upload that owns this placeholder completes, over it. Objects have at least one byte, so an
empty one is a placeholder and counts as absent. One that a crash left belongs to its upload, whose finish goes on from
it and whose abort removes it.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config

from carnet_storage._s3_errors import typed_errors
from carnet_storage.errors import (
    AlreadyExists,
    InvalidName,
    NotFound,
    ObjectNotFound,
    SizeMismatch,
    StoreUnavailable,
    UploadIncomplete,
    UploadNotFound,
)
from carnet_storage.names import ObjectName
from carnet_storage.port import MAX_PAGE, StoredObject
from carnet_storage.s3_object import S3Object
from carnet_storage.uploads import PendingUpload, Upload, check_sizes, check_token
from carnet_storage.urls import expiry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

_PREFIX: Final = "objects/"
_PROBE: Final = "condition-probe"
_OWNER: Final = "carnet-upload"
_CONTENT_TYPE: Final = "application/octet-stream"
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60


def make_s3_client(
    *, endpoint_url: str | None, region: str, access_key_id: str, secret_access_key: str, max_connections: int = 32
) -> "S3Client":
    """Returns a client for `S3Store`, whose URLs point to `endpoint_url`, or without one to AWS in `region`.

    Clients of the vault reach the bucket under that same address.
    """
    configuration = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint_url else "virtual"},
        # Checksums that a service does not ask for would have to be computed by whoever uses a presigned URL.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=max_connections,
    )
    with typed_errors():
        client: S3Client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=configuration,
        )
    return client


class S3Store:
    """The port's contract on one bucket, without versioning and with no other user (see `Store`)."""

    def __init__(self, client: "S3Client", *, bucket: str) -> None:
        """Uses `client`, which must sign with version 4: an older signature does not bind the length of a transfer."""
        if getattr(client.meta.config, "signature_version", None) != "s3v4":
            raise AssertionError("internal: presigned URLs need signature version s3v4")
        self._client: Final = client
        self._bucket: Final = bucket
        self._keeps_conditions = False

    def check(self) -> None:
        """Asks for the bucket, and once whether its service keeps the condition on which never overwriting rests."""
        try:
            with typed_errors():
                self._client.head_bucket(Bucket=self._bucket)
        except ObjectNotFound as error:
            raise StoreUnavailable(f"There is no bucket {self._bucket}. Create it, or correct its name.") from error
        if not self._keeps_conditions:
            self._probe_conditions()

    def begin_upload(self, name: ObjectName, *, size_bytes: int, part_bytes: int) -> Upload:
        """Begins a multipart upload, also for an object of one part."""
        check_sizes(size_bytes=size_bytes, part_bytes=part_bytes)
        with typed_errors():
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=_key(name), ContentType=_CONTENT_TYPE
            )
        return Upload(name, size_bytes, part_bytes, answer["UploadId"])

    def put_url(self, upload: Upload, part: int, *, now: int, ttl_seconds: int) -> str:
        """Presigns the transfer of one part; the length is among the signed headers.

        boto3 reads the clock of this machine, which is what the service compares with its own; `now` only bounds the
        lifetime.
        """
        where = {"Bucket": self._bucket, "Key": _key(upload.name), "UploadId": upload.token}
        what = {"PartNumber": part, "ContentLength": upload.part_size(part)}
        return self._presign("upload_part", {**where, **what}, now=now, ttl_seconds=ttl_seconds)

    def get_url(self, name: ObjectName, *, now: int, ttl_seconds: int) -> str:
        """Presigns reading the object; a Range header may be added. As for `put_url`, the clock is this machine's."""
        return self._presign(
            "get_object", {"Bucket": self._bucket, "Key": _key(name)}, now=now, ttl_seconds=ttl_seconds
        )

    def arrived_parts(self, upload: Upload) -> tuple[int, ...]:
        """Asks the bucket; a part of another size than this upload says has not arrived."""
        parts = self._parts(upload)
        return tuple(
            number
            for number, part in sorted(parts.items())
            if number <= upload.part_count and part["Size"] == upload.part_size(number)
        )

    def finish_upload(self, upload: Upload) -> None:
        """Takes the name with a placeholder, then completes the multipart upload over it."""
        try:
            parts = self._parts(upload)
            self._check_complete(upload, parts)
            self._take_name(upload)
            self._complete(upload, parts)
        except UploadNotFound:
            if not self._is_finished(upload):
                self._remove_placeholder(upload.name, upload.token)
                raise

    def abort_upload(self, name: ObjectName, token: str) -> None:
        """Aborts the multipart upload, after which it cannot complete any more, and removes its placeholder."""
        check_token(token)
        # It may be gone before, or finished: then the name holds an object and no placeholder.
        with contextlib.suppress(NotFound), typed_errors():
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=_key(name), UploadId=token)
        self._remove_placeholder(name, token)

    def stale_uploads(self, *, touched_before: int) -> Iterator[PendingUpload]:
        """Asks the bucket, which knows when an upload began but not when its last part came."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=_PREFIX)
        with typed_errors():
            for page in pages:
                for entry in page.get("Uploads", []):
                    name = _object_name(entry["Key"])
                    begun_at = int(entry["Initiated"].timestamp())
                    if name is not None and begun_at < touched_before:
                        yield PendingUpload(name, entry["UploadId"], begun_at)

    def stat(self, name: ObjectName) -> StoredObject:
        """Asks the bucket."""
        with typed_errors():
            answer = self._client.head_object(Bucket=self._bucket, Key=_key(name))
        if answer["ContentLength"] == 0:
            raise ObjectNotFound("There is no object of this name.")
        return StoredObject(name, answer["ContentLength"])

    def open_object(self, name: ObjectName) -> S3Object:
        """Learns the object's size; its bytes are asked for when they are read."""
        return S3Object(self._client, bucket=self._bucket, key=_key(name), size_bytes=self.stat(name).size_bytes)

    def list_objects(self, *, after: ObjectName | None = None, limit: int = MAX_PAGE) -> tuple[StoredObject, ...]:
        """Asks the bucket until the page is full; placeholders and keys that are not ours do not count."""
        if not 1 <= limit <= MAX_PAGE:
            raise AssertionError(f"internal: a page has 1 to {MAX_PAGE} names")
        page: list[StoredObject] = []
        last_key = _PREFIX if after is None else _key(after)
        while len(page) < limit:
            with typed_errors():
                answer = self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=_PREFIX, StartAfter=last_key, MaxKeys=limit - len(page)
                )
            for entry in answer.get("Contents", []):
                last_key = entry["Key"]
                name = _object_name(last_key)
                if name is not None and entry["Size"]:
                    page.append(StoredObject(name, entry["Size"]))
            if not answer["IsTruncated"]:
                break
        return tuple(page)

    def delete(self, name: ObjectName) -> None:
        """Deletes the key; the service says the same when there was none."""
        with typed_errors():
            self._client.delete_object(Bucket=self._bucket, Key=_key(name))

    def _probe_conditions(self) -> None:
        # Twice, because the first time ever there is nothing yet that could be overwritten.
        for _ in range(2):
            try:
                with typed_errors():
                    self._client.put_object(Bucket=self._bucket, Key=_PROBE, Body=b"", IfNoneMatch="*")
            except AlreadyExists:
                self._keeps_conditions = True
                return
        raise StoreUnavailable("The object store overwrites in spite of If-None-Match. Use a service that honours it.")

    def _presign(self, operation: str, parameters: dict[str, object], *, now: int, ttl_seconds: int) -> str:
        seconds = expiry(now=now, ttl_seconds=ttl_seconds) - now
        with typed_errors():
            url: str = self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)
        return url

    def _parts(self, upload: Upload) -> "dict[int, PartTypeDef]":
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=_key(upload.name), UploadId=upload.token
        )
        try:
            with typed_errors():
                return {part["PartNumber"]: part for page in pages for part in page.get("Parts", [])}
        except ObjectNotFound as error:
            # What Ceph says instead of NoSuchUpload.
            raise UploadNotFound("This upload is not under way. Begin it again.") from error

    def _check_complete(self, upload: Upload, parts: "dict[int, PartTypeDef]") -> None:
        wanted = range(1, upload.part_count + 1)
        missing = tuple(number for number in wanted if number not in parts)
        if missing:
            raise UploadIncomplete(missing)
        if len(parts) > len(wanted) or any(parts[number]["Size"] != upload.part_size(number) for number in wanted):
            raise SizeMismatch("The upload was begun for another size, or in other parts.")

    def _take_name(self, upload: Upload) -> None:
        try:
            with typed_errors():
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=_key(upload.name),
                    Body=b"",
                    IfNoneMatch="*",
                    Metadata={_OWNER: upload.token},
                )
        except AlreadyExists:
            if self._owner_of_placeholder(upload.name) != upload.token:
                # Unless the object is this upload's own, finished this instant by another caller: then the upload is
                # gone.
                self._parts(upload)
                raise

    def _complete(self, upload: Upload, parts: "dict[int, PartTypeDef]") -> None:
        listed: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": parts[number]["ETag"]} for number in sorted(parts)
        ]
        try:
            with typed_errors():
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=_key(upload.name),
                    UploadId=upload.token,
                    MultipartUpload={"Parts": listed},
                )
        except StoreUnavailable:
            # Ceph calls it an internal error when the upload was aborted, or completed by another caller, this instant.
            self._parts(upload)
            raise

    def _owner_of_placeholder(self, name: ObjectName) -> str | None:
        try:
            with typed_errors():
                answer = self._client.head_object(Bucket=self._bucket, Key=_key(name))
        except ObjectNotFound:
            return None
        return answer["Metadata"].get(_OWNER) if answer["ContentLength"] == 0 else None

    def _remove_placeholder(self, name: ObjectName, token: str) -> None:
        if self._owner_of_placeholder(name) == token:
            self.delete(name)

    def _is_finished(self, upload: Upload) -> bool:
        try:
            return self.stat(upload.name).size_bytes == upload.size_bytes
        except ObjectNotFound:
            return False


def _key(name: ObjectName) -> str:
    return f"{_PREFIX}{name}"


def _object_name(key: str) -> ObjectName | None:
    try:
        return ObjectName(key.removeprefix(_PREFIX))
    except InvalidName:
        return None
