"""A finished object of the S3 store, open for reading."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

from carnet_storage._s3_errors import typed_errors
from carnet_storage.errors import RangeNotSatisfiable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES: Final = 2**20


class S3Object:
    """Reads one object, with one request for each range."""

    def __init__(self, client: "S3Client", *, bucket: str, key: str, size_bytes: int) -> None:
        self._client: Final = client
        self._bucket: Final = bucket
        self._key: Final = key
        self._size_bytes: Final = size_bytes

    @property
    def size_bytes(self) -> int:
        """Returns how many bytes the object has."""
        return self._size_bytes

    def chunks(self, *, start: int, length: int) -> Iterator[bytes]:
        """Yields the bytes of a range, as the port's contract has it."""
        if start < 0 or length < 0 or start + length > self._size_bytes:
            raise RangeNotSatisfiable(self._size_bytes)
        return self._pieces(start, length) if length else iter(())

    def close(self) -> None:
        """Does nothing: what a range has open closes with its iterator."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, start: int, length: int) -> Iterator[bytes]:
        with typed_errors():
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._key, Range=f"bytes={start}-{start + length - 1}"
            )
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK_BYTES)
