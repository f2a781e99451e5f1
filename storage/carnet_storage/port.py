"""The port: what the vault asks of a store, and what every store promises.

A store keeps bytes under opaque names. It knows nothing of patients, documents or keys, and what it is given is
ciphertext. The bytes themselves travel by transfer URLs, straight between a client and whoever serves those URLs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, Self

from carnet_storage.names import ObjectName
from carnet_storage.uploads import PendingUpload, Upload

MAX_URL_SECONDS: Final = 900
MAX_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A finished object."""

    name: ObjectName
    size_bytes: int


class ObjectReader(Protocol):
    """One finished object, open for reading; close it, or use it in a `with` block."""

    @property
    def size_bytes(self) -> int:
        """Returns how many bytes the object has."""
        ...

    def chunks(self, *, start: int, length: int) -> Iterator[bytes]:
        """Yields `length` bytes from `start` in pieces of at most 1 MiB, reading each when it is asked for.

        Raises `RangeNotSatisfiable` before the first piece when the object does not have all of them, and
        `StoreUnavailable` when the disk or the network fails, also between two pieces: only the end of the iteration
        says that all were read.
        """
        ...

    def close(self) -> None:
        """Gives back what is open; a second time does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Store(Protocol):
    """The contract. Both adapters pass the same tests for it (`tests/unit/storage/test_contract_*.py`).

    **Durability.** When `finish_upload` returns, the object survives a power cut, as far as the medium keeps what it
    confirmed. When a part is confirmed (`arrived_parts` names it), its bytes do. A begun upload may be forgotten; it
    is then `UploadNotFound`. `delete` is as durable as `finish_upload`. `abort_upload` is not, and what it left is
    found again by `stale_uploads`.

    **Overwriting.** Never. An object is visible under its name only when it is finished, whole and at once. Of any
    number of uploads of one name, begun in whatever order and finished at the same time, one wins and every other
    finish raises `AlreadyExists`, whose upload stays until it is aborted. A finished object cannot be changed by a
    transfer URL that is still valid. A name is free again after `delete`.

    **Parts.** A part is as long as the upload says, or it is refused. A part that was cut has not arrived. It may be
    sent again until the upload is finished, also by two senders at once: what counts is all of one sender's bytes, the
    last that arrived whole. On the filesystem a part that is being sent again has not arrived until it is whole again.

    **Repeating.** Every operation can be run again after a cut. A finish of an upload that is finished returns as
    before (known by the upload being gone and an object of the same name and size being there); an abort or a delete
    of what is gone returns.

    **Order.** Names are listed in ascending order of their ASCII texts. A listing is not a snapshot: it has everything
    that was there from its first page to its last, nothing that was gone before, and may or may not have what came or
    went meanwhile.

    **Concurrency.** Operations may run at once in threads and processes, on one host for the filesystem. Aborting an
    upload while it is being finished does one of both, wholly.

    **Errors.** Those named at each operation; any operation may also raise `StoreUnavailable`. After `NoSpace` or
    `StoreUnavailable` nothing half-written is visible under any name. No other exception leaves a store. Blocking
    calls: not for an event loop.
    """

    def check(self) -> None:
        """Returns when the store is there and lets us work. Raises `StoreUnavailable`.

        Whoever serves asks once before the first upload, and then as often as a readiness probe does: after the first
        time that it returned it only reads.
        """
        ...

    def begin_upload(self, name: ObjectName, *, size_bytes: int, part_bytes: int) -> Upload:
        """Begins the upload of an object of exactly `size_bytes`, in parts of `part_bytes`.

        Neither looks whether the name is taken nor reserves it: finishing decides. Raises `InvalidUpload` for sizes
        beyond the limits in `uploads`, and `NoSpace` where it is already plain that the object will not fit.
        """
        ...

    def put_url(self, upload: Upload, part: int, *, now: int, ttl_seconds: int) -> str:
        """Returns the URL to which the bytes of `part` are sent by HTTP PUT.

        No header is needed but `Content-Length`. The URL is good for this part of this upload, for exactly its length,
        and for `ttl_seconds` from `now` (at most `MAX_URL_SECONDS`), counted at the start of a transfer. No request is
        made, so nothing is said of whether the upload is there. Raises `InvalidUpload` when there is no such part.
        """
        ...

    def arrived_parts(self, upload: Upload) -> tuple[int, ...]:
        """Returns the numbers of the parts that arrived whole, in order. Raises `UploadNotFound`."""
        ...

    def finish_upload(self, upload: Upload) -> None:
        """Makes the object of its parts, under its name.

        Raises `UploadNotFound`, `UploadIncomplete` with the parts that are missing, `SizeMismatch` when a part has
        another size than this upload says, `AlreadyExists` when the name is taken by another upload's object, and
        `NoSpace`.
        """
        ...

    def abort_upload(self, name: ObjectName, token: str) -> None:
        """Forgets an upload and frees what its parts took; of a finished object it removes nothing.

        Raises `InvalidUpload` for a text that is no token of this store.
        """
        ...

    def stale_uploads(self, *, touched_before: int) -> Iterator[PendingUpload]:
        """Yields the uploads under way that were last touched before that time, in order of their names.

        "Touched" is begun; a store that knows of parts that arrived later counts those, too.
        """
        ...

    def get_url(self, name: ObjectName, *, now: int, ttl_seconds: int) -> str:
        """Returns the URL from which the object, or any range of it, is read by HTTP GET.

        It is good for this object and for `ttl_seconds` from `now` (at most `MAX_URL_SECONDS`), counted at the start
        of a transfer. No request is made, so nothing is said of whether the object is there.
        """
        ...

    def stat(self, name: ObjectName) -> StoredObject:
        """Returns the object's size. Raises `ObjectNotFound`."""
        ...

    def open_object(self, name: ObjectName) -> ObjectReader:
        """Opens an object for reading on the server's side. Raises `ObjectNotFound`."""
        ...

    def list_objects(self, *, after: ObjectName | None = None, limit: int = MAX_PAGE) -> tuple[StoredObject, ...]:
        """Returns the first `limit` (1 to `MAX_PAGE`) objects after the name `after`; an empty page is the end."""
        ...

    def delete(self, name: ObjectName) -> None:
        """Removes an object; when there is none, returns. A transfer under way may still be served to its end."""
        ...
