"""Addresses that are safe, and those that are refused."""

from pathlib import Path

import pytest

from carnet.deployment.address import Address, find_free_ports, is_loopback, parse_address
from carnet.errors import CallerError, HomeError, UsageError


def make(**changes: object) -> Address:
    members: dict[str, object] = {
        "listen": "127.0.0.1",
        "name": "127.0.0.1",
        "vault_port": 4001,
        "keyservice_port": 4002,
        **changes,
    }
    return Address(**members)  # type: ignore[arg-type]  # wrong types are what some tests try


def test_loopback_speaks_plain_http() -> None:
    assert make().vault_origin == "http://127.0.0.1:4001"
    assert make(listen="::1", name="::1").keyservice_origin == "http://[::1]:4002"


def test_other_addresses_speak_tls() -> None:
    address = make(listen="0.0.0.0", name="carnet.example", tls_certificate="/c", tls_key="/k")  # noqa: S104  listened on
    assert address.vault_origin == "https://carnet.example:4001"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listen": "0.0.0.0"}, "plain HTTP"),  # noqa: S104  refused
        ({"listen": "192.0.2.1", "name": "192.0.2.1"}, "plain HTTP"),
        ({"name": "carnet.example"}, "plain HTTP"),
        ({"tls_certificate": "/c"}, "both"),
        ({"tls_key": "/k"}, "both"),
        ({"listen": "::", "name": "::", "tls_certificate": "/c", "tls_key": "/k"}, "--name"),
        ({"name": "Carnet.Example", "tls_certificate": "/c", "tls_key": "/k"}, "host name"),
        ({"name": "carnet.example/path", "tls_certificate": "/c", "tls_key": "/k"}, "host name"),
        ({"name": "user@carnet.example", "tls_certificate": "/c", "tls_key": "/k"}, "host name"),
    ],
)
def test_unsafe_address_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(**changes)


def test_address_comes_back_from_its_file() -> None:
    address = make(name="localhost")
    assert parse_address(address.formatted()) == address


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b'{"format": "carnet.deployment.v2"}', b"\xff"])
def test_other_file_is_refused(text: bytes) -> None:
    with pytest.raises(HomeError):
        parse_address(text)


def test_changed_format_is_refused() -> None:
    with pytest.raises(HomeError):
        parse_address(make().formatted().replace(b"deployment.v1", b"deployment.v9"))


def test_plain_http_off_loopback_cannot_be_written_into_the_file() -> None:
    text = make().formatted().replace(b'"listen": "127.0.0.1"', b'"listen": "0.0.0.0"')
    with pytest.raises(CallerError):
        parse_address(text)


def test_change_keeps_ports_and_what_is_not_given(tmp_path: Path) -> None:
    changed = make().change(
        listen="0.0.0.0",  # noqa: S104  with TLS
        name="carnet.example",
        tls_certificate=tmp_path / "c",
        tls_key=tmp_path / "k",
    )
    assert (changed.vault_port, changed.keyservice_port) == (4001, 4002)
    assert changed.change(listen=None, name=None, tls_certificate=None, tls_key=None) == changed


def test_name_follows_the_address_it_was() -> None:
    assert make().change(listen="::1", name=None, tls_certificate=None, tls_key=None).name == "::1"


def test_free_ports_are_two() -> None:
    first, second = find_free_ports("127.0.0.1")
    assert first != second


def test_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="no address of this machine"):
        find_free_ports("192.0.2.1")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104  refused
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
