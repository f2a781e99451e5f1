"""The body of a request: shut until the route that matched opens it, bounded in size and in time.

A route that declares no body cannot be made to read one. A route that declares one reads at most what it declares, and
the whole of it within a deadline; a stream, whose length is its sender's business, must keep moving instead.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Message, Receive, Scope

from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.errors import BadRequestError, TooLargeError
from carnet_server.places import Place

READ_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 20.0
_SCOPE_KEY: Final = "carnet.body"
_MAX_LENGTH_DIGITS: Final = 15


class BodyGate:
    """Stands between the server and the application, in the place of `receive`."""

    def __init__(self, scope: Scope, receive: Receive, place: Place) -> None:
        self._receive = receive
        self._place = place
        self._content_length = _content_length(scope)
        self._left = 0
        self._is_open = False
        self.is_complete = False
        scope[_SCOPE_KEY] = self

    async def receive(self) -> Message:
        """What the application sees: no byte of a body that no route has opened."""
        message = await self._receive()
        if message["type"] == "http.request" and not self._is_open:
            self.is_complete = not message.get("more_body", False)
            return {"type": "http.request", "body": b"", "more_body": not self.is_complete}
        return message

    def open(self, limit_bytes: int) -> None:
        """Let up to `limit_bytes` through. Raises `TooLargeError` if more are announced."""
        self._is_open = True
        self._left = limit_bytes
        if self._content_length is not None and self._content_length > limit_bytes:
            raise TooLargeError("body_announced")

    async def read(self) -> bytes:
        """The whole body. Where it is not there yet, the request waits for it and makes room for others meanwhile.

        Raises `TooLargeError`, `BadRequestError` if it is cut or does not arrive in time, or `BusyError`.
        """
        parts: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):  # what is there is taken without a wait
                await self._collect(parts)
        if not self.is_complete:
            self._place.wait()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await self._collect(parts)
            except TimeoutError as error:
                raise BadRequestError("body_too_slow") from error
            self._place.work()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in parts as they arrive; the request counts as one that waits, up to its end.

        Raises as `read` does, at the part where it happens.
        """
        self._place.wait()
        parts = self._parts()
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    part = await anext(parts, None)
            except TimeoutError as error:
                raise BadRequestError("body_too_slow") from error
            if part is None:
                return
            yield part

    async def _collect(self, parts: list[bytes]) -> None:
        """Append what comes to `parts`. It may be cancelled and called again: it goes on where it was."""
        async for part in self._parts():
            parts.append(part)  # noqa: PERF401  what came before a cancellation is kept

    async def _parts(self) -> AsyncIterator[bytes]:
        if not self._is_open:
            raise AssertionError("internal: a body is read that its route did not declare")
        while not self.is_complete:
            message = await self._receive()
            if message["type"] != "http.request":
                raise BadRequestError("body_cut")
            part: bytes = message.get("body", b"")
            self.is_complete = not message.get("more_body", False)
            self._left -= len(part)
            if self._left < 0:
                raise TooLargeError("body")
            if part:
                yield part


def is_much_unread(scope: Scope) -> bool:
    """Whether an answer had better end the connection than wait for the rest of this request's body."""
    gate = scope.get(_SCOPE_KEY)
    if isinstance(gate, BodyGate) and gate.is_complete:
        return False
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"0")
    is_long = not announced.isdigit() or len(announced) > _MAX_LENGTH_DIGITS or int(announced) > MAX_BODY_BYTES
    return is_long or b"transfer-encoding" in headers


def body_gate(scope: Scope) -> BodyGate:
    """The gate of the request that `scope` describes."""
    gate = scope.get(_SCOPE_KEY)
    if not isinstance(gate, BodyGate):
        raise AssertionError("internal: a request came in past the limits")  # noqa: TRY004  STYLE 32
    return gate


def _content_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # The parser of HTTP has refused what is not a number; a number of a thousand digits it has not.
            if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
                raise TooLargeError("body_announced")
            return int(value)
    return None
