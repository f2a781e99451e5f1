"""An object, or a range of it, as the body of an answer."""

import asyncio
from collections.abc import Iterator

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from carnet_storage import ObjectReader, RangeNotSatisfiable, parse_range
from carnet_vault.objects.limits import TRANSFER_SECONDS
from carnet_vault.objects.threads import run_to_the_end

_MEDIA_TYPE = "application/octet-stream"


class ObjectAnswer(Response):
    """Sends what a Range header asks for, in large pieces, each read in a thread while the one before is sent.

    A piece says nothing of the next one: a client knows that it has all by the length alone, and that it has the right
    bytes by their digests alone. Ends, cut short, `TRANSFER_SECONDS` after it began.
    """

    media_type = _MEDIA_TYPE

    def __init__(self, reader: ObjectReader, range_header: str | None) -> None:
        """Answer from `reader`, which this closes in the end."""
        self._reader = reader
        self._pieces: Iterator[bytes] = iter(())
        headers = {"accept-ranges": "bytes"}
        size = reader.size_bytes
        try:
            wanted = parse_range(range_header, size_bytes=size)
        except RangeNotSatisfiable:
            status, length = 416, 0
            headers["content-range"] = f"bytes */{size}"
        else:
            status, start, length = 200, 0, size
            if wanted is not None:
                status, start, length = 206, wanted.start, wanted.length
                headers["content-range"] = wanted.content_range(size)
            self._pieces = reader.chunks(start=start, length=length)
        super().__init__(status_code=status, headers={**headers, "content-length": str(length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and body, as long as somebody is there to read them."""
        del scope
        gone = asyncio.ensure_future(_disconnection(receive))
        coming = asyncio.ensure_future(self._read())
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                # The server swallows what it cannot send any more, and would let us read on to the end for nobody.
                while (piece := await coming) and not gone.done():
                    coming = asyncio.ensure_future(self._read())
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            # The file is closed when nobody reads it any more: its descriptor may be another's a moment later.
            await asyncio.gather(gone, coming, return_exceptions=True)
            await run_in_threadpool(self._reader.close)

    async def _read(self) -> bytes:
        return await run_to_the_end(next, self._pieces, b"")


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
