"""`carnet up`: starting, staying, stopping, coming back, and what it refuses."""

import datetime as dt
import ipaddress
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carnet.cli.entry import main
from tests.support.patience import wait_until
from tests.system.cli.conftest import Person, Servers, stop_servers

StartServers = Callable[..., Servers]

NAME = "localhost"
SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that run."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that has not ended."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_stops_both_servers(tmp_path: Path, start_servers: StartServers, number: signal.Signals) -> None:
    servers = start_servers(tmp_path / "data")
    running = children(servers.process.pid)
    assert len(running) == 2
    for name in ("vault", "keyservice"):
        assert httpx2.get(f"{servers.said[name]}/readyz", timeout=60).status_code == 200
    assert stop_servers(servers, number) == (0, "")
    assert not any(is_running(pid) for pid in running)
    for name in ("vault", "keyservice"):
        assert '"event": "stopping"' in (tmp_path / "data" / name / "log" / f"{name}.jsonl").read_text()
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{servers.said[name]}/readyz")


def test_second_run_is_the_same_deployment(
    tmp_path: Path, start_servers: StartServers, make_person: Callable[[str], Person]
) -> None:
    servers = start_servers(tmp_path / "data")
    alice, late = make_person("alice"), make_person("late")
    alice.json("init", "--card", servers.card)
    alice.json("record", "open")
    (tmp_path / "note.txt").write_text("still there")
    alice.json("add", tmp_path / "note.txt")
    first = servers.said
    assert stop_servers(servers, signal.SIGTERM) == (0, "")
    # While both are away
    for words in (("record", "open"), ("list",), ("verify",), ("grants",), ("history",), ("device", "list")):
        assert alice.refused(*words) == (3, "unreachable")
    assert "run this again" in alice.run("list").err
    assert late.json("init", "--card", servers.card)["registered"] is False
    # And back
    servers = start_servers(tmp_path / "data")
    assert servers.said == first
    assert alice.json("verify")["versions"] == 1
    assert late.json("record", "open")["lock_version"] == 1
    assert stop_servers(servers) == (0, "")


def test_server_that_dies_is_started_again(tmp_path: Path, start_servers: StartServers) -> None:
    servers = start_servers(tmp_path / "data")
    before = children(servers.process.pid)
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: len(set(children(servers.process.pid)) - {before[0]}) == 2, "another server", process=servers.process
    )

    def answers() -> bool:
        try:
            return all(
                httpx2.get(f"{servers.said[name]}/readyz", timeout=60).status_code == 200
                for name in ("vault", "keyservice")
            )
        except httpx2.TransportError:
            return False

    wait_until(answers, "an answer of both servers", process=servers.process)
    assert stop_servers(servers)[0] == 0


def test_servers_do_not_outlive_a_killed_watcher(tmp_path: Path, start_servers: StartServers) -> None:
    servers = start_servers(tmp_path / "data")
    running = children(servers.process.pid)
    servers.process.kill()
    servers.process.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in running), "the end of both servers")


def test_servers_that_run_are_not_started_twice(
    tmp_path: Path, start_servers: StartServers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = start_servers(tmp_path / "data")
    assert main(["up", "--data", str(tmp_path / "data")]) == 4
    assert "are running already" in capsys.readouterr().err
    assert httpx2.get(f"{servers.said['vault']}/readyz", timeout=60).status_code == 200
    assert stop_servers(servers) == (0, "")


@pytest.mark.parametrize(
    "options",
    [
        ("--listen", "0.0.0.0"),  # noqa: S104  refused
        ("--listen", "::"),
        ("--name", "carnet.example"),
        ("--tls-cert", "chain.pem"),
        ("--listen", "0.0.0.0", "--tls-cert", "chain.pem", "--tls-key", "key.pem"),  # noqa: S104  without a name
        ("--listen", "192.0.2.1", "--name", "x.example", "--tls-cert", "chain.pem", "--tls-key", "key.pem"),
    ],
)
def test_address_that_others_could_listen_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert main(["up", "--data", str(tmp_path / "data"), "--json", *options]) == 2
    assert '"usage"' in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_certificate_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chain.pem").write_text("none")
    options = ["--tls-cert", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "chain.pem")]
    assert main(["up", "--data", str(tmp_path / "data"), *options]) == 2
    assert "no certificate with its key" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_certificate_whose_key_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_certificate(tmp_path)
    (tmp_path / "key.pem").chmod(0o640)
    options = ["--tls-cert", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "key.pem")]
    assert main(["up", "--data", str(tmp_path / "data"), *options]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_certificate(tmp_path)
    options = ["--tls-cert", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "key.pem")]
    assert main(["up", "--data", str(tmp_path / "data"), "--name", "other.example", *options]) == 2
    assert "no certificate for other.example" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_others_reach_it_by_tls_and_clients_follow(
    tmp_path: Path,
    start_servers: StartServers,
    make_person: Callable[[str], Person],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = start_servers(tmp_path / "data")
    alice, carol = make_person("alice"), make_person("carol")
    alice.json("init", "--card", servers.card)
    alice.json("record", "open")
    assert stop_servers(servers) == (0, "")
    make_certificate(tmp_path)
    options = ("--name", NAME, "--tls-cert", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "key.pem"))
    servers = start_servers(tmp_path / "data", *options)
    assert servers.said["vault"].startswith(f"https://{NAME}:")
    assert servers.said["card_serial"] == 2
    # A certificate that this machine does not know is not believed
    assert carol.refused("init", "--card", servers.said["vault"]) == (3, "unreachable")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    made = carol.json("init", "--card", servers.said["vault"])
    assert made["card_fingerprint"] == servers.said["card_fingerprint"]
    # Alice knows the old card until she takes the new one
    assert alice.refused("list")[0] == 3
    assert alice.json("card", "take", servers.card)["serial"] == 2
    (tmp_path / "note.txt").write_text("over TLS")
    alice.json("add", tmp_path / "note.txt")
    assert alice.json("verify")["versions"] == 1
    assert stop_servers(servers) == (0, "")


def test_patient_begins_over_tls_with_a_self_made_authority(
    tmp_path: Path,
    start_servers: StartServers,
    make_person: Callable[[str], Person],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_certificate(tmp_path)
    certificate = ("--tls-cert", str(tmp_path / "chain.pem"), "--tls-key", str(tmp_path / "key.pem"))
    servers = start_servers(tmp_path / "data", "--listen", "127.0.0.1", *certificate)
    for name in ("vault", "keyservice"):
        assert servers.said[name].startswith("https://127.0.0.1:")
    alice = make_person("alice")
    begin = ("init", "--card", servers.said["keyservice"], "--fingerprint", servers.said["card_fingerprint"])
    # Whoever does not know the authority is told so, and nobody lives there yet
    said = alice.run(*begin, "--json")
    assert (said.code, said.error()) == (3, "unreachable")
    assert "does not trust its certificate (" in said.err
    assert "SSL_CERT_FILE" in said.err
    assert not alice.home.exists()
    with monkeypatch.context() as trusting:
        trusting.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        made = alice.json(*begin)
        assert (made["registered"], made["card_fingerprint"]) == (True, servers.said["card_fingerprint"])
        assert alice.json("record", "open")["lock_version"] == 1
        (tmp_path / "note.txt").write_text("over TLS from the first byte")
        alice.json("add", tmp_path / "note.txt")
        assert alice.json("verify")["versions"] == 1
    assert "SSL_CERT_FILE" in alice.run("list").err
    assert stop_servers(servers) == (0, "")


def make_certificate(folder: Path) -> None:
    """An authority of one's own, and a certificate of it for `NAME` and 127.0.0.1."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority = (
        begin_certificate("authority", issuer="authority")
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        begin_certificate(NAME, issuer="authority")
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "chain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "key.pem").chmod(0o600)


def begin_certificate(subject: str, *, issuer: str) -> x509.CertificateBuilder:
    """A certificate of today that lacks its key, its extensions and its signature."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
