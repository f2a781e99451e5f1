"""Connections, before there is a request: a head that is too long or too slow, and bytes that are not HTTP.

uvicorn leaves these to a proxy in front; this server may stand alone. The answers are those of every other refusal.
"""

import asyncio
from typing import Any, Final

from typing_extensions import override
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from carnet_protocol.errors import ErrorCode
from carnet_protocol.limits import MAX_HEADER_BYTES, MAX_URL_BYTES
from carnet_server.answers import format_refusal
from carnet_server.places import ADDRESS_FRACTION
from carnet_server.rates import subscriber

HEAD_SECONDS: Final = 15.0
MAX_CONNECTIONS: Final = 4096
MAX_CONNECTIONS_OF_AN_ADDRESS: Final = MAX_CONNECTIONS // ADDRESS_FRACTION
# The request line and the headers, and one read of the socket beyond: exact limits are those of `limits.py`.
MAX_HEAD_BYTES: Final = MAX_HEADER_BYTES + MAX_URL_BYTES + 1024


class BoundedConnection(HttpToolsProtocol):
    """One connection. Between requests uvicorn's keep-alive timer ends it, within a head this class does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **kwargs)
        self._address = ""
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself narrows it
        """Wait for a head, if there is room for one more connection, and for one more of its address."""
        super().connection_made(transport)
        self._address = subscriber(self.client[0] if self.client else "")
        if len(self.connections) > MAX_CONNECTIONS or self._is_one_too_many_of_its_address():
            transport.abort()
            return
        self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that goes on for too long."""
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._await_head()
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(ErrorCode.TOO_LARGE)

    @override
    def on_headers_complete(self) -> None:
        """The head is whole: what follows is the request's business."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        """The next byte begins another head."""
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, as everything else is refused."""
        del msg
        self._refuse(ErrorCode.BAD_REQUEST)

    def _is_one_too_many_of_its_address(self) -> bool:
        if len(self.connections) <= MAX_CONNECTIONS_OF_AN_ADDRESS or self._is_of_trusted_proxy():
            return False
        same: int = sum(getattr(other, "_address", None) == self._address for other in self.connections)
        return same > MAX_CONNECTIONS_OF_AN_ADDRESS

    def _is_of_trusted_proxy(self) -> bool:
        """Whether the other end speaks for many addresses: as uvicorn judges whose word on addresses it takes."""
        if not isinstance(self.app, ProxyHeadersMiddleware) or self.client is None:
            return False
        return self.client[0] in self.app.trusted_hosts

    def _refuse(self, code: ErrorCode) -> None:
        self._stop_timer()
        if getattr(self.cycle, "response_complete", True):
            self.transport.write(format_refusal(code))
        self.transport.close()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
