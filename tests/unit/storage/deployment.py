"""A store as a vault would run it, and a client who knows nothing of it but the URLs that he was given.

The filesystem's URLs are served here by a small HTTP server that does what the vault's routes do, no more; the bucket
serves its own.
"""

import contextlib
import datetime as dt
import http.server
import re
import secrets
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import botocore.auth
import httpx2
import pytest

from carnet_storage import (
    MIN_PART_BYTES,
    OBJECTS_PATH,
    FilesystemStore,
    ObjectName,
    RangeNotSatisfiable,
    StorageError,
    Store,
    TransferUrls,
    Upload,
    UrlRefused,
    UrlSecret,
    create_filesystem_store,
    make_object_name,
    parse_range,
)
from carnet_storage.s3 import S3Store, make_s3_client
from tests.support.radosgw import RadosGateway

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SECRET: Final = UrlSecret(bytes(range(32)))
TTL_SECONDS: Final = 600
_SOCKET_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Deployment:
    """One store, its URLs being served, and a client of these URLs."""

    kind: Literal["filesystem", "s3"]
    store: Store
    reopen: Callable[[], Store]
    client: httpx2.Client

    def begin(self, size_bytes: int, name: ObjectName | None = None) -> Upload:
        """Begins an upload in the smallest parts that there are."""
        return self.store.begin_upload(name or make_object_name(), size_bytes=size_bytes, part_bytes=MIN_PART_BYTES)

    def put_url(self, upload: Upload, part: int = 1) -> str:
        """Returns a URL that is good now."""
        return self.store.put_url(upload, part, now=int(time.time()), ttl_seconds=TTL_SECONDS)

    def get_url(self, name: ObjectName) -> str:
        """Returns a URL that is good now."""
        return self.store.get_url(name, now=int(time.time()), ttl_seconds=TTL_SECONDS)

    def send(self, upload: Upload, data: bytes, *parts: int) -> None:
        """Sends the named parts of `data`, or all of them."""
        for part in parts or range(1, upload.part_count + 1):
            offset = upload.part_offset(part)
            piece = data[offset : offset + upload.part_size(part)]
            self.client.put(self.put_url(upload, part), content=piece).raise_for_status()

    def keep(self, data: bytes, name: ObjectName | None = None) -> ObjectName:
        """Stores an object from beginning to end."""
        upload = self.begin(len(data), name)
        self.send(upload, data)
        self.store.finish_upload(upload)
        return upload.name

    def read(self, name: ObjectName) -> bytes:
        """Reads an object by its URL."""
        return self.client.get(self.get_url(name)).raise_for_status().content

    def names(self) -> list[ObjectName]:
        """Lists the whole store."""
        return [entry.name for entry in self.store.list_objects()]

    @contextlib.contextmanager
    def an_hour_ago(self) -> Iterator[int]:
        """Makes URLs that were good an hour ago: the bucket's are dated by boto3's own clock, the vault's by `now`."""
        past = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda: past)
            yield int(past.timestamp())


@contextlib.contextmanager
def filesystem_deployment(root: Path, client: httpx2.Client) -> Iterator[Deployment]:
    """Serves a new store in `root` on loopback."""
    create_filesystem_store(root)
    with _Server() as server:
        urls = TransferUrls(f"http://127.0.0.1:{server.server_address[1]}", SECRET)
        server.urls, server.store = urls, FilesystemStore(root, urls)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Deployment("filesystem", server.store, partial(FilesystemStore, root, urls), client)
        finally:
            server.shutdown()
            thread.join()


def s3_deployment(gateway: RadosGateway, s3_client: "S3Client", client: httpx2.Client) -> Deployment:
    """Makes a new bucket in the gateway; `s3_client` is one of its clients."""
    bucket = f"carnet-{secrets.token_hex(8)}"
    s3_client.create_bucket(Bucket=bucket)
    reopen = partial(_reopen_s3, gateway, bucket)
    return Deployment("s3", S3Store(s3_client, bucket=bucket), reopen, client)


def _reopen_s3(gateway: RadosGateway, bucket: str) -> S3Store:
    return S3Store(client_of(gateway), bucket=bucket)


def client_of(gateway: RadosGateway) -> "S3Client":
    """Returns a client with the gateway's only account."""
    return make_s3_client(
        endpoint_url=gateway.endpoint_url,
        region=gateway.region,
        access_key_id=gateway.access_key_id,
        secret_access_key=gateway.secret_access_key,
    )


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    urls: TransferUrls
    store: FilesystemStore

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_SECONDS
    server: _Server

    def do_PUT(self) -> None:
        name, query = self._target()
        announced = self.headers.get("Content-Length")
        length = int(announced) if announced and re.fullmatch("[0-9]+", announced) else None
        try:
            permit = self.server.urls.authorize_put(name, query, content_length=length, now=int(time.time()))
            with self.server.store.open_part(permit) as writer:
                writer.write_from(self.rfile)
                writer.finish()
        except StorageError as error:
            self._refuse(error)
        else:
            self._answer(200)

    def do_GET(self) -> None:
        name, query = self._target()
        try:
            object_name = self.server.urls.authorize_get(name, query, now=int(time.time()))
            with self.server.store.open_object(object_name) as reader:
                wanted = parse_range(self.headers.get("Range"), size_bytes=reader.size_bytes)
                if wanted is None:
                    self._answer(200, *reader.chunks(start=0, length=reader.size_bytes))
                else:
                    content_range = wanted.content_range(reader.size_bytes)
                    chunks = reader.chunks(start=wanted.start, length=wanted.length)
                    self._answer(206, *chunks, content_range=content_range)
        except StorageError as error:
            self._refuse(error)

    def log_message(self, *_: object) -> None:
        """Says nothing: pytest shows what matters."""

    def _target(self) -> tuple[str, str]:
        path, _, query = self.path.partition("?")
        return path.removeprefix(OBJECTS_PATH), query

    def _refuse(self, error: StorageError) -> None:
        match error:
            case UrlRefused():
                self._answer(403)
            case RangeNotSatisfiable():
                self._answer(416, content_range=f"bytes */{error.size_bytes}")
            case _:
                self._answer(404)
        # The rest of a refused body is taken in, or the client would be cut off before it reads the answer.
        with contextlib.suppress(OSError):
            while self.rfile.read(65536):
                pass

    def _answer(self, status: int, *chunks: bytes, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(sum(map(len, chunks))))
        # One request for a connection: none is left open for a server that is no more.
        self.send_header("Connection", "close")
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(chunk)
