"""HTTP/1.1 connections to one origin: kept open, few, and nothing more than that.

    with open_http("https://vault.example") as http:
        response = http.get("https://vault.example/v1/service-card")

An `httpx2.Client` whose requests go straight over the standard library's `http.client`. Measured per small request it
takes a third of the processor time that the library's own way takes, and what it leaves out is what must not happen
here: redirects, cookies, proxies and passwords of the machine, other protocols. Errors are those of `httpx2`.
"""

import http.client
import select
import ssl
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx2
from typing_extensions import override

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 15.0
"""Servers close idle connections after 20 seconds or more: ours are not used that long after their last answer."""

_MAX_IDLE: Final = 16
_PIECE_BYTES: Final = 256 * 1024
_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "carnet"}


def open_http(origin: str) -> httpx2.Client:
    """Connections to `origin`, with the certificate authorities of this machine. Nothing is opened yet."""
    return _DirectClient(Connections(origin))


def advise(error: httpx2.TransportError, otherwise: str) -> str:
    """What to do about `error`: `otherwise`, unless this machine does not trust the certificate that it was shown."""
    cause = error.__cause__
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return otherwise
    reason = cause.verify_message.rstrip(".")
    return (
        f"this machine does not trust its certificate ({reason}); ask its operator, and name the file of an authority "
        "of their own in SSL_CERT_FILE"
    )


class Connections(httpx2.BaseTransport):
    """Connections to one origin. Safe to share between threads; each request has one for itself."""

    def __init__(self, origin: str, *, context: ssl.SSLContext | None = None) -> None:
        """Connections to `origin`, `scheme://host` or `scheme://host:port`."""
        parts = urlsplit(origin)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._context = context
        if parts.scheme == "https" and context is None:
            self._context = ssl.create_default_context()
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._lock = threading.Lock()

    @override
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to `request`, whose body is not read yet. Raises a `httpx2.TransportError`."""
        url = request.url
        if f"{url.scheme}://{url.netloc.decode('ascii')}" != self._origin:
            raise httpx2.UnsupportedProtocol("these connections lead to another origin", request=request)
        connection = self._take(request)
        try:
            _send(connection, request)
            answer = _receive(connection, request)
        except BaseException:
            connection.close()
            raise
        body = _Body(self, connection, answer, request)
        return httpx2.Response(answer.status, headers=answer.getheaders(), stream=body, request=request)

    @override
    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep `connection`, whose answer was read to its end, for another request."""
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append((connection, time.monotonic() + IDLE_SECONDS))
                return
        connection.close()

    def _take(self, request: httpx2.Request) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection, good_until = self._idle.pop()
            if time.monotonic() < good_until and not _is_readable(connection):
                return connection
            connection.close()
        return self._connect(request)

    def _connect(self, request: httpx2.Request) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_SECONDS, context=self._context
            )
        try:
            connection.connect()
        except TimeoutError as error:
            connection.close()
            raise httpx2.ConnectTimeout("no connection in time", request=request) from error
        except (OSError, ValueError) as error:
            connection.close()
            raise httpx2.ConnectError("no connection", request=request) from error
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection


def _is_readable(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side closed an idle connection, or sent something that nobody asked for."""
    try:
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _send(connection: http.client.HTTPConnection, request: httpx2.Request) -> None:
    target = request.url.raw_path.decode("ascii")
    try:
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            connection.putheader(name.decode("ascii"), value)
        connection.endheaders()
    except TimeoutError as error:
        raise httpx2.WriteTimeout("the request was not taken in time", request=request) from error
    except OSError as error:
        raise httpx2.WriteError("the request was not taken", request=request) from error
    try:
        for piece in request.stream if isinstance(request.stream, httpx2.SyncByteStream) else ():
            if piece:
                connection.send(piece)
    except TimeoutError as error:
        raise httpx2.WriteTimeout("the request was not taken in time", request=request) from error
    except OSError:
        pass  # a server may refuse before it read everything: its answer says why, or there is none


def _receive(connection: http.client.HTTPConnection, request: httpx2.Request) -> http.client.HTTPResponse:
    try:
        answer = connection.getresponse()
    except TimeoutError as error:
        raise httpx2.ReadTimeout("no answer in time", request=request) from error
    except http.client.HTTPException as error:
        raise httpx2.RemoteProtocolError("no answer, or none of HTTP", request=request) from error
    except OSError as error:
        raise httpx2.ReadError("the answer broke off", request=request) from error
    if answer.length is None and not answer.chunked:
        answer.close()
        raise httpx2.RemoteProtocolError("an answer that does not say where it ends", request=request)
    return answer


class _Body(httpx2.SyncByteStream):
    """The body of an answer. Read to its end, it gives its connection back; else the connection is closed."""

    def __init__(
        self,
        connections: Connections,
        connection: http.client.HTTPConnection,
        answer: http.client.HTTPResponse,
        request: httpx2.Request,
    ) -> None:
        self._connections = connections
        self._connection: http.client.HTTPConnection | None = connection
        self._answer = answer
        self._request = request

    @override
    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces. Raises `httpx2.ReadError`, `ReadTimeout` or `RemoteProtocolError` where it breaks off."""
        try:
            while piece := self._answer.read(_PIECE_BYTES):
                yield piece
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the answer stopped", request=self._request) from error
        except http.client.HTTPException as error:
            raise httpx2.RemoteProtocolError("the answer broke off", request=self._request) from error
        except OSError as error:
            raise httpx2.ReadError("the answer broke off", request=self._request) from error
        if self._answer.length:
            raise httpx2.RemoteProtocolError("the answer is shorter than it said", request=self._request)
        if self._connection is not None and not self._answer.will_close:
            connection, self._connection = self._connection, None
            self._connections.give_back(connection)

    @override
    def close(self) -> None:
        """Close the connection unless it was given back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _DirectClient(httpx2.Client):
    """A client that hands every request to its connections as it is."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(transport=connections, trust_env=False, follow_redirects=False, headers=_HEADERS)
        self._connections = connections

    @override
    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """The answer to `request`; unread if `stream`. Nothing of `options` is wanted here."""
        del options
        response = self._connections.handle_request(request)
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response

    @override
    def __enter__(self) -> Self:
        """Itself; nothing has to be opened."""
        return self

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close."""
        self.close()
