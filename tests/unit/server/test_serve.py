"""A real process on loopback: it says when it is ready, refuses what is not HTTP, and ends without dropping anyone."""

import asyncio
import contextlib
import datetime as dt
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carnet_protocol.errors import ErrorCode
from carnet_server import event_loop
from carnet_server import serve as serve_module
from carnet_server.answers import answer_refusal
from carnet_server.chassis import DEFAULT_MAX_CONCURRENT
from carnet_server.connections import MAX_CONNECTIONS, MAX_HEAD_BYTES
from carnet_server.database import make_engine
from carnet_server.draining import SEND_SECONDS
from carnet_server.errors import MigrationError, SettingsError
from carnet_server.event_loop import EventLoop
from carnet_server.serve import serve
from carnet_server.settings import ServerSettings
from tests.support.patience import wait_until
from tests.support.ports import held_port
from tests.support.tiny_server.world import World

ROOT = Path(__file__).parents[3]
SECONDS = 30


class Running:
    """A tiny server in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        command = [sys.executable, "-W", "error", "-m", "tests.support.tiny_server", "--data-dir", str(folder)]
        self.process = subprocess.Popen(
            [*command, "--log-file", str(folder / "log"), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.readiness = self._pipe(self.process.stdout).readline()
        self.port = int(self.readiness.rpartition(":")[2] or 0)

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def ask(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def end(self) -> tuple[int, str]:
        """Exit code and what it said on standard error."""
        _, complaint = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, complaint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever became of the test, the process ends with it."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code, complaint = self.end()
        assert complaint == ""
        return code

    def log_events(self) -> list[str]:
        return [json.loads(line)["event"] for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("tiny")) as server:
        yield server
        assert server.stop() == 0


def answer_to(running: Running, sent: bytes) -> bytes:
    """Whatever comes back until the server closes the connection."""
    with running.connect() as connection:
        connection.sendall(sent)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    """Whatever comes until the other end closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def test_it_says_where_it_is_ready_and_answers_there(running: Running) -> None:
    assert running.readiness == f"tiny ready on http://127.0.0.1:{running.port}\n"
    for path in ("/healthz", "/readyz"):
        status, _, body = running.ask(path)
        assert (status, body) == (200, b'{"status":"ok"}')


def test_answers_tell_the_time_and_not_the_program(running: Running) -> None:
    _, headers, _ = running.ask("/healthz")
    assert set(headers) == {"date", "content-length", "content-type", "cache-control", "x-content-type-options"}


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=[
        "nonsense",
        "version",
        "foreign path",
        "http/2",
        "bad header",
        "folded header",
        "two lengths",
        "length and chunks",
        "negative length",
        "no number",
        "tls",
    ],
)
def test_what_is_not_http_is_refused_in_the_common_form(running: Running, sent: bytes) -> None:
    received = answer_to(running, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in head
    assert body == answer_refusal(ErrorCode.BAD_REQUEST).body


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: " + b"x" * MAX_HEAD_BYTES,
        b"GET /" + b"x" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD_BYTES // 6 + 1),
    ],
    ids=["one header", "path", "many headers"],
)
def test_a_head_without_end_is_refused_before_it_ends(running: Running, sent: bytes) -> None:
    received = answer_to(running, sent)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert received.endswith(answer_refusal(ErrorCode.TOO_LARGE).body)


@pytest.mark.parametrize("method", ["CONNECT x:1", "OPTIONS *", "GET *"])
def test_other_forms_of_a_target_reach_no_route(running: Running, method: str) -> None:
    verb, _, target = method.partition(" ")
    received = answer_to(running, f"{verb} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert received.split(b" ")[1] in {b"400", b"404", b"405"}


def test_an_absolute_target_is_taken_for_its_path(running: Running) -> None:
    request = b"GET http://elsewhere.example/healthz HTTP/1.1\r\nhost: y\r\nconnection: close\r\n\r\n"
    assert answer_to(running, request).startswith(b"HTTP/1.1 200 ")


def test_a_wish_to_become_a_websocket_is_not_heard(running: Running) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n"
    with running.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_nobody_unknown_is_asked_to_go_on_with_a_body(running: Running) -> None:
    head = b"POST /v1/notes HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n"
    with running.connect() as connection:
        connection.sendall(head + b"content-length: 1000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_body_that_is_much_too_long_ends_the_connection(running: Running) -> None:
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    received = answer_to(running, head + b"content-length: 1000000000000\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in received


def test_bodies_that_drip_in_keep_nobody_out(running: Running) -> None:
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    with contextlib.ExitStack() as slow:
        for _ in range(DEFAULT_MAX_CONCURRENT + 1):
            slow.enter_context(running.connect()).sendall(head)
        assert [running.ask(path)[0] for path in ("/healthz", "/readyz", "/openapi.json")] == [200, 200, 200]


def test_two_requests_go_over_one_connection(running: Running) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert answer_to(running, request + last).count(b"HTTP/1.1 200 OK") == 2


# Beginning and end


def test_it_ends_when_told_to_after_answering_who_was_being_served(tmp_path: Path) -> None:
    with Running(tmp_path) as server, server.connect() as connection:
        connection.sendall(
            b"PUT /v1/objects/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\n"
        )
        # The route is waiting for the body now.
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.log_events(), "a line about the stop", process=server.process)
        connection.sendall(b"abcdef")
        received = rest_of(connection)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.endswith(b'{"size_bytes":6}')
        assert server.end() == (0, "")
        assert server.log_events() == ["ready", "stopping", "answer"]


def test_a_signal_amid_a_line_of_the_log_ends_it_all_the_same(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_NONBLOCK)
    with Running(tmp_path) as server:
        with contextlib.suppress(BlockingIOError):
            while os.write(log, b"x" * 4096):
                pass
        assert server.ask("/healthz")[0] == 200
        # There is no room for the line about this answer, so the server is amid writing it.
        waits_for = Path(f"/proc/{server.process.pid}/wchan")
        wait_until(lambda: "pipe" in waits_for.read_text(), "a line amid being written", process=server.process)
        server.process.send_signal(signal.SIGTERM)
        written, patience = b"", time.monotonic() + SECONDS
        while server.process.poll() is None and time.monotonic() < patience:
            with contextlib.suppress(BlockingIOError):
                written = (written + os.read(log, 65536))[-65536:]
        assert server.end() == (0, "")
        with contextlib.suppress(BlockingIOError):
            written += os.read(log, 65536)
    os.close(log)
    assert b'"stopping"' in written


def test_metrics_are_on_a_port_of_their_own_and_an_interrupt_ends_it(tmp_path: Path) -> None:
    with held_port() as port, Running(tmp_path, "--metrics-port", str(port)) as server:
        assert server.ask("/metrics")[0] == 404
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:
            assert b'carnet_answers_total{method="GET",route="unmatched",status="404"} 1.0' in answer.read()
        server.process.send_signal(signal.SIGINT)
        assert server.end() == (0, "")


def make_settings(folder: Path, **fields: Any) -> ServerSettings:
    local = {"data_dir": folder, "service_card": folder / "card", "origin": "https://localhost:8001"}
    return ServerSettings.model_validate(local | fields)


def test_it_does_not_start_on_a_database_that_is_not_migrated(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'tiny.sqlite'}")
    world = World(engine)
    with pytest.raises(MigrationError, match="run its command `migrate`"):
        serve(world.app, world.chassis, make_settings(tmp_path))
    engine.dispose()


def test_it_may_hold_as_many_connections_as_it_takes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        serve_module._allow_connections()
        raised, unchanged = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised == (2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(2 * MAX_CONNECTIONS, hard))
        assert unchanged == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_it_does_not_start_on_an_address_that_is_taken(world: World, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match="taken"):
            serve(world.app, world.chassis, make_settings(tmp_path, listen_port=taken.getsockname()[1]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel has no such limit")
def test_what_nobody_takes_is_given_up_by_the_kernel_too(tmp_path: Path) -> None:
    with serve_module._listen(make_settings(tmp_path)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SEND_SECONDS * 1000


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_path.chmod(0o600)
    return certificate_path, key_path


def test_tls_is_1_3_and_nothing_older(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    path, key = (str(file) for file in certificate)
    with Running(tmp_path, "--tls-certificate", path, "--tls-key", key, "--origin", "https://localhost:8001") as server:
        assert server.readiness == f"tiny ready on https://127.0.0.1:{server.port}\n"
        context = ssl.create_default_context(cafile=path)
        with context.wrap_socket(server.connect(), server_hostname="localhost") as connection:
            assert connection.version() == "TLSv1.3"
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)), server.connect() as plain:
            context.wrap_socket(plain, server_hostname="localhost")
        assert server.stop() == 0


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a greeting"])
def test_a_handshake_that_does_not_come_in_time_ends_the_connection(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(event_loop, "HANDSHAKE_SECONDS", 0.1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writer.write(sent)
            async with asyncio.timeout(SECONDS):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
            writer.close()

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(main())


def test_it_runs_on_the_loop_that_bounds_handshakes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories: list[object] = []

    class NoServer:
        def __init__(self, config: uvicorn.Config, *_: object) -> None:
            factories.append(config.get_loop_factory())

        def run(self, sockets: list[socket.socket]) -> None:
            sockets[0].close()

    monkeypatch.setattr(serve_module, "_Server", NoServer)
    monkeypatch.setattr(serve_module, "_rarely_collect_garbage", lambda: None)
    serve(world.app, world.chassis, make_settings(tmp_path))
    assert factories == [EventLoop]


def test_it_does_not_start_with_a_certificate_that_cannot_be_used(
    world: World, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    path, key = certificate
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for wrong in ((tmp_path / "nowhere", key), (broken, key), (path, tmp_path / "nowhere"), (path, broken), (key, key)):
        settings = make_settings(tmp_path, tls_certificate=wrong[0], tls_key=wrong[1])
        with pytest.raises(SettingsError, match="TLS certificate"):
            serve(world.app, world.chassis, settings)


def test_it_does_not_start_with_a_tls_key_that_others_can_use(
    world: World, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    path, key = certificate
    copy = tmp_path / "key.pem"
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o644)
    with pytest.raises(SettingsError, match=r"key\.pem can be used by others than its owner"):
        serve(world.app, world.chassis, make_settings(tmp_path, tls_certificate=path, tls_key=copy))
