"""Moving ciphertext to the store: parts by PUT on presigned URLs (spec `api.md`, "Routes of the vault").

The URLs lead to the vault itself or straight to a bucket; what is sent is the same.
"""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final

import httpx2

from carnet.errors import NoSpaceError, UnreachableError
from carnet.session import Session
from carnet_protocol.api import PartUrl
from carnet_protocol.errors import ErrorCode

PIECE: Final = 1 << 20


def put_part(session: Session, part: PartUrl, body: bytes | Iterable[bytes]) -> None:
    """PUT `body`, which must be exactly the bytes of `part`. Raises a `TransportError`; the part can be sent again."""
    headers = {**part.headers, "content-length": str(part.size)}
    try:
        response = session.stores.client(part.url).put(part.url, content=body, headers=headers)
    except (httpx2.TransportError, httpx2.StreamError) as error:
        raise UnreachableError("the store cannot be reached: run the same command again, it goes on there") from error
    if response.status_code == HTTPStatus.INSUFFICIENT_STORAGE:
        raise NoSpaceError(ErrorCode.NO_SPACE, "the store has no space left: tell the operator of the vault")
    if response.status_code not in {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}:
        raise UnreachableError(
            f"the store did not take a part ({response.status_code}): run the same command again, it goes on there"
        )


def read_part(path: str, part: PartUrl, *, on_sent: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The bytes of `part` in the local file at `path`, in pieces of a MiB."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  unbuffered, for large reads
        file.seek(part.offset)
        left = part.size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise AssertionError("internal: a spool is shorter than its upload")
            left -= len(piece)
            yield piece
            if on_sent is not None:
                on_sent(len(piece))
