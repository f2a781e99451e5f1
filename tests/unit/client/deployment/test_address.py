"""Addresses that are safe, and those that are refused."""

import socket
from contextlib import suppress
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


def choose(listen: str | None, **changes: str) -> Address:
    return Address.choose(listen=listen, name=changes.get("name"), tls_certificate=None, tls_key=None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_chosen_port_is_the_vaults_and_the_next_one_the_key_services(host: str) -> None:
    port = find_two_ports()
    address = choose(f"{host}:{port}")
    assert (address.vault_port, address.keyservice_port) == (port, port + 1)
    assert address.vault_origin == f"http://{host}:{port}"


@pytest.mark.parametrize(("listen", "host"), [(None, "127.0.0.1"), ("localhost", "localhost"), ("::1", "::1")])
def test_ports_that_nobody_chose_are_free_ones(listen: str | None, host: str) -> None:
    address = choose(listen)
    assert address.listen == host
    assert address.vault_port != address.keyservice_port


@pytest.mark.parametrize("port", [0, 65535, 65536, 99999])
def test_port_without_another_after_it_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="is no port"):
        choose(f"127.0.0.1:{port}")


@pytest.mark.parametrize("listen", ["192.0.2.1:8443", "127.0.0.1:x", "[::1", "127.0.0.1:", ":8443", "::1:8443:x"])
def test_what_is_no_address_with_a_port_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match="no address of this machine"):
        choose(listen)


@pytest.mark.parametrize("offset", [0, 1])
def test_chosen_port_that_is_taken_is_refused(offset: int) -> None:
    port = find_two_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + offset))
        taken.listen()
        with pytest.raises(UsageError, match=f"ports {port} and {port + 1} of 127.0.0.1 are not both free"):
            choose(f"127.0.0.1:{port}")


def test_change_takes_the_ports_that_are_asked_for() -> None:
    port = find_two_ports()
    changed = make().change(listen=f"127.0.0.1:{port}", name=None, tls_certificate=None, tls_key=None)
    assert (changed.vault_port, changed.keyservice_port) == (port, port + 1)


def test_change_moves_the_key_service_next_to_a_vault_that_stays() -> None:
    port = find_two_ports()
    before = make(vault_port=port, keyservice_port=4002)
    changed = before.change(listen=f"127.0.0.1:{port}", name=None, tls_certificate=None, tls_key=None)
    assert (changed.vault_port, changed.keyservice_port) == (port, port + 1)


def test_ports_that_stay_may_be_its_own() -> None:
    port = find_two_ports()
    with socket.socket() as own:
        own.bind(("127.0.0.1", port))
        own.listen()
        before = make(vault_port=port, keyservice_port=port + 1)
        assert before.change(listen=f"127.0.0.1:{port}", name=None, tls_certificate=None, tls_key=None) == before


def find_two_ports() -> int:
    """A port that is free as the next one is; other tests take theirs elsewhere."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


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
