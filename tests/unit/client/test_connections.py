"""Connections against real sockets: kept, given up, bounded in time; every way to break off is an error of its own."""

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SHUT_RDWR, create_server, socket

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carnet import connections
from carnet.connections import Connections, advise, open_http

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Server:
    """Answers each request with the next of `answers`; None closes the connection instead."""

    def __init__(self, *answers: bytes | None, context: ssl.SSLContext | None = None) -> None:
        self.listener = create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self._context = context
        self._open: list[socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            while request := self._read(connection):
                self.requests.append(request)
                answer = self.answers.pop(0) if self.answers else OK
                if answer is None:
                    break
                connection.sendall(answer)
                if b"connection: close" in answer or answer.endswith(b"<cut>"):
                    break
            connection.shutdown(SHUT_RDWR)
            connection.close()
        except OSError:
            connection.close()

    @staticmethod
    def _read(connection: socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def drop(self) -> None:
        """Close every connection that is open."""
        while self._open:
            connection = self._open.pop()
            try:
                connection.shutdown(SHUT_RDWR)
            except OSError:
                connection.close()

    def stop(self) -> None:
        self.listener.close()
        self.drop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*answers: bytes | None, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(*answers, context=context))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


Serve = Callable[..., Server]


def test_a_connection_is_used_again(serve: Serve) -> None:
    server = serve()
    with open_http(server.origin) as http:
        for _ in range(3):
            assert http.get(f"{server.origin}/path?query=1").content == b"hello"
        assert http.put(f"{server.origin}/x", content=b"body").content == b"hello"
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /path?query=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert server.requests[-1].endswith(b"\r\n\r\nbody")


def test_a_body_is_sent_in_pieces(serve: Serve) -> None:
    server = serve()
    with open_http(server.origin) as http:
        pieces = (b"x" * 1000 for _ in range(100))
        http.put(f"{server.origin}/x", content=pieces, headers={"content-length": "100000"})
    assert server.requests[0].endswith(b"x" * 100_000)
    assert b"transfer-encoding" not in server.requests[0].lower()


def test_a_connection_that_the_server_closed_is_not_used_again(serve: Serve) -> None:
    server = serve()
    with open_http(server.origin) as http:
        http.get(server.origin)
        server.drop()
        assert http.get(server.origin).content == b"hello"
    assert server.connections == 2


def test_an_idle_connection_grows_too_old(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)
    with open_http(server.origin) as http:
        http.get(server.origin)
        http.get(server.origin)
    assert server.connections == 2


def test_a_closing_answer_ends_its_connection(serve: Serve) -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
    server = serve(closing)
    with open_http(server.origin) as http:
        assert http.get(server.origin).content == b"hello"
        assert http.get(server.origin).content == b"hello"
    assert server.connections == 2


def test_an_answer_that_nobody_read_ends_its_connection(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + bytes(1_000_000))
    with open_http(server.origin) as http:
        with http.stream("GET", server.origin) as response:
            assert next(response.iter_raw())
        assert http.get(server.origin).content == b"hello"
    assert server.connections == 2


def test_an_answer_in_chunks_is_joined(serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    server = serve(chunked)
    with open_http(server.origin) as http:
        assert http.get(server.origin).content == b"hello"
        assert http.get(server.origin).content == b"hello"
    assert server.connections == 1


BROKEN: dict[str, tuple[bytes | None, type[httpx2.TransportError]]] = {
    "nothing": (None, httpx2.RemoteProtocolError),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n<cut>", httpx2.RemoteProtocolError),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le<cut>", httpx2.RemoteProtocolError),
    "half a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhe<cut>", httpx2.RemoteProtocolError),
    "half a chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhe<cut>",
        httpx2.RemoteProtocolError,
    ),
    "no last chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<cut>",
        httpx2.RemoteProtocolError,
    ),
    "no end told": (b"HTTP/1.1 200 OK\r\n\r\nhello<cut>", httpx2.RemoteProtocolError),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 70_000, httpx2.RemoteProtocolError),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", httpx2.RemoteProtocolError),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_is_none(serve: Serve, name: str) -> None:
    answer, expected = BROKEN[name]
    server = serve(answer)
    with open_http(server.origin) as http:
        with pytest.raises(expected):
            http.get(server.origin)
        assert http.get(server.origin).content == b"hello"


def test_a_server_that_keeps_silent_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.05)
    server = serve(b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
    with open_http(server.origin) as http:
        for _ in range(2):
            with pytest.raises(httpx2.ReadTimeout):
                http.get(server.origin)


def test_a_refusal_before_the_body_was_read_is_the_answer(serve: Serve) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    server = serve(refusal)
    server._read = lambda connection: connection.recv(65536)
    with open_http(server.origin) as http:
        pieces = (bytes(65536) for _ in range(200))
        try:
            response = http.put(server.origin, content=pieces, headers={"content-length": str(200 * 65536)})
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            return  # the reset overtook the answer, as TCP allows
        assert response.status_code == 413


def test_nobody_there_is_a_connect_error() -> None:
    listener = create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    with open_http(f"http://127.0.0.1:{port}") as http, pytest.raises(httpx2.ConnectError):
        http.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:1", "https://127.0.0.1", "http://localhost"])
def test_no_request_leads_elsewhere(serve: Serve, elsewhere: str) -> None:
    server = serve()
    with open_http(server.origin) as http, pytest.raises(httpx2.UnsupportedProtocol):
        http.get(elsewhere)


def test_redirects_and_cookies_are_nothing_here(serve: Serve) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nlocation: /other\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    server = serve(redirect)
    with open_http(server.origin) as http:
        assert http.get(server.origin).status_code == 302
        http.get(server.origin)
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


def test_the_environment_changes_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password something")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server = serve()
    with open_http(server.origin) as http:
        assert http.get(server.origin).content == b"hello"
    assert b"authorization" not in server.requests[0].lower()


def test_threads_have_connections_of_their_own(serve: Serve) -> None:
    server = serve()
    results: list[bytes] = []
    together = threading.Barrier(8, timeout=60)
    with open_http(server.origin) as http:

        def ask() -> None:
            together.wait()
            for _ in range(20):
                results.extend([http.get(server.origin).content])

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [b"hello"] * 160
    assert server.connections <= 8


def test_a_certificate_of_nobody_is_refused(serve: Serve, self_signed: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed)
    server = serve(context=context)
    with open_http(server.origin) as http, pytest.raises(httpx2.ConnectError) as caught:
        http.get(server.origin)
    assert "does not trust its certificate (self-signed certificate); " in advise(caught.value, "else")
    trusting = ssl.create_default_context(cafile=self_signed[0])
    with httpx2.Client(transport=Connections(server.origin, context=trusting)) as http:
        assert http.get(server.origin).content == b"hello"
    wrong_name = server.origin.replace("127.0.0.1", "localhost")
    with (
        httpx2.Client(transport=Connections(wrong_name, context=trusting)) as http,
        pytest.raises(httpx2.ConnectError) as caught,
    ):
        http.get(wrong_name)
    assert "not valid for 'localhost'" in advise(caught.value, "else")
    assert advise(httpx2.ConnectError("no connection"), "else") == "else"


@pytest.fixture
def self_signed(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "carnet test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tmp_path / "cert.pem", tmp_path / "key.pem"
