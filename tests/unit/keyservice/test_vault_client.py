"""The client of the vault: whose certificate it trusts, what it never does, how long an answer may be."""

import datetime as dt
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carnet_keyservice import vault as vault_module
from carnet_keyservice.errors import VaultAnswerError, VaultAwayError, VaultRefusedError
from carnet_keyservice.vault import VaultClient, open_vault_http
from carnet_protocol.ids import RecordId
from carnet_server.errors import SettingsError
from tests.support.people import NOW, Deployment, Dice

RECORDS = [RecordId(bytes(32))]
Answering = Callable[[httpx2.Request], httpx2.Response]


class Refusing(http.server.BaseHTTPRequestHandler):
    """Refuses whatever is asked, as a vault does."""

    def do_POST(self) -> None:
        content = b'{"error":{"code":"refused","message":"There is no such thing, or it is not for you."}}'
        self.send_response(404)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that the library gives it
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a certificate for localhost, its own authority, and its key."""
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
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def origin(certificate: Path) -> Iterator[str]:
    """Something that speaks TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def client(http: httpx2.Client, *, origin: str = "http://127.0.0.1:7801") -> VaultClient:
    own = Deployment.make(Dice("client"), vault_origin=origin)
    return VaultClient(
        own.card.body.vault, server_key=own.keyservice.key, http=http, clock=lambda: NOW, sleep=lambda _: None
    )


def raw(status: int, content: bytes = b"") -> httpx2.Response:
    """An answer that is not read yet."""
    return httpx2.Response(status, stream=httpx2.ByteStream(content))


def answering(answer: Answering) -> VaultClient:
    return client(httpx2.Client(transport=httpx2.MockTransport(answer)))


def test_the_authority_of_the_settings_is_trusted_and_no_other(origin: str, certificate: Path) -> None:
    trusting = client(open_vault_http(certificate), origin=origin)
    with pytest.raises(VaultRefusedError, match="404, refused"):
        trusting.count_locks(RECORDS)
    trusting.close()
    doubting = client(open_vault_http(None), origin=origin)
    with pytest.raises(VaultAwayError, match="vault_authority"):
        doubting.count_locks(RECORDS)
    doubting.close()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_authorities_is_refused_with_the_setting_to_mend(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="vault_authority"):
        open_vault_http(path)


def test_proxies_and_passwords_of_the_machine_are_not_used(
    monkeypatch: pytest.MonkeyPatch, origin: str, certificate: Path
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    asking = client(open_vault_http(certificate), origin=origin)
    with pytest.raises(VaultRefusedError):
        asking.count_locks(RECORDS)
    asking.close()


def test_an_answer_over_the_bound_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MAX_ANSWER_BYTES", 10)
    with pytest.raises(VaultAnswerError, match="more than any answer"):
        answering(lambda _: raw(200, bytes(11))).count_locks(RECORDS)


def test_an_unsigned_answer_is_not_even_parsed() -> None:
    with pytest.raises(VaultAnswerError, match="not signed"):
        answering(lambda _: raw(200, b'{"records":[]}')).count_locks(RECORDS)


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError])
def test_a_vault_that_cannot_be_reached_is_away(error: type[httpx2.TransportError]) -> None:
    asked: list[str] = []

    def fail(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers["signature-input"])
        raise error("gone")

    with pytest.raises(VaultAwayError, match=re.escape("127.0.0.1:7801")):
        answering(fail).count_locks(RECORDS)
    assert len(set(asked)) == len(asked) == 3


def test_what_was_away_and_came_back_is_asked_once_more_and_no_more() -> None:
    answers = iter([raw(503), raw(404)])
    with pytest.raises(VaultRefusedError):
        answering(lambda _: next(answers)).count_locks(RECORDS)
    assert next(answers, None) is None
