"""A certificate is taken for the names in it, today, and with a key that is its owner's alone."""

import datetime as dt
import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carnet.deployment.certificate import check_certificate
from carnet.errors import UsageError

NAMES = (
    x509.DNSName("carnet.example"),
    x509.DNSName("*.clinic.example"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
)
Make = Callable[..., tuple[Path, Path]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a certificate of an authority that nobody knows, and its key."""

    def certify(*, days: int = 1) -> tuple[Path, Path]:
        key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common.example")]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=9))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
            .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        )
        pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (tmp_path / "chain.pem").write_bytes(made.public_bytes(pem))
        (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
        (tmp_path / "key.pem").chmod(0o600)
        return tmp_path / "chain.pem", tmp_path / "key.pem"

    return certify


@pytest.mark.parametrize("name", ["carnet.example", "a.clinic.example", "192.0.2.1"])
def test_certificate_serves_under_its_names(make: Make, name: str) -> None:
    check_certificate(*make(), name=name)


@pytest.mark.parametrize(
    "name", ["other.example", "a.carnet.example", "clinic.example", "common.example", "192.0.2.2", "::1", "localhost"]
)
def test_certificate_for_another_name_is_refused(make: Make, name: str) -> None:
    with pytest.raises(UsageError, match=f"no certificate for {name} .*--name"):
        check_certificate(*make(), name=name)


def test_certificate_that_has_ended_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="expired"):
        check_certificate(*make(days=-1), name="carnet.example")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_key_that_others_can_use_is_refused(make: Make, mode: int) -> None:
    certificate, key = make()
    key.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        check_certificate(certificate, key, name="carnet.example")


def test_what_is_no_pair_is_refused(make: Make, tmp_path: Path) -> None:
    certificate, key = make()
    for wrong in ((tmp_path / "nowhere", key), (key, key), (certificate, certificate), (certificate, tmp_path)):
        with pytest.raises(UsageError, match="no certificate with its key"):
            check_certificate(*wrong, name="carnet.example")
