"""No test reaches the network, whichever way it tries; loopback and sockets without a network still work."""

import asyncio
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.support.network import NetworkRefusedError, is_loopback

# Addresses of documentation (RFC 5737, RFC 3849) and a name that never exists (RFC 6761).
OUTSIDE_V4 = "192.0.2.1"
OUTSIDE_V6 = "2001:db8::1"
OUTSIDE_NAME = "carnet.invalid"


@pytest.fixture
def outgoing() -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as connection:
        connection.setblocking(False)
        yield connection


def test_connect_outside_is_refused(outgoing: socket.socket) -> None:
    with pytest.raises(NetworkRefusedError, match=OUTSIDE_V4):
        outgoing.connect((OUTSIDE_V4, 443))


def test_connect_ex_outside_is_refused(outgoing: socket.socket) -> None:
    with pytest.raises(NetworkRefusedError, match=OUTSIDE_V4):
        outgoing.connect_ex((OUTSIDE_V4, 443))


def test_connect_outside_over_ipv6_is_refused() -> None:
    with (
        closing(socket.socket(socket.AF_INET6, socket.SOCK_STREAM)) as connection,
        pytest.raises(NetworkRefusedError, match=OUTSIDE_V6),
    ):
        connection.connect((OUTSIDE_V6, 443, 0, 0))


def test_datagram_outside_is_refused() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as connection:
        with pytest.raises(NetworkRefusedError, match="sendto"):
            connection.sendto(b"x", (OUTSIDE_V4, 53))
        with pytest.raises(NetworkRefusedError, match="sendmsg"):
            connection.sendmsg([b"x"], [], 0, (OUTSIDE_V4, 53))


@pytest.mark.parametrize("look_up", [socket.gethostbyname, lambda name: socket.getaddrinfo(name, 443)])
def test_look_up_of_an_outside_name_is_refused(look_up: Callable[[str], object]) -> None:
    with pytest.raises(NetworkRefusedError, match=OUTSIDE_NAME):
        look_up(OUTSIDE_NAME)


def test_refusal_is_no_failure_of_the_network_that_code_could_catch() -> None:
    with pytest.raises(NetworkRefusedError):
        urllib.request.urlopen(f"https://{OUTSIDE_NAME}/")
    assert not issubclass(NetworkRefusedError, OSError)


def test_an_event_loop_is_refused_too() -> None:
    async def leave() -> None:
        await asyncio.open_connection(OUTSIDE_V4, 443)

    with pytest.raises(NetworkRefusedError, match=OUTSIDE_V4):
        asyncio.run(leave())


def test_loopback_still_works(outgoing: socket.socket) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        outgoing.setblocking(True)
        outgoing.connect(("localhost", server.getsockname()[1]))
        outgoing.sendall(b"x")


def test_sockets_without_a_network_still_work() -> None:
    left, right = socket.socketpair()
    with closing(left), closing(right):
        left.sendmsg([b"x"])
        assert right.recv(1) == b"x"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        ("alice.localhost", True),
        pytest.param(b"localhost", True, id="bytes"),
        ("", False),
        ("0.0.0.0", False),  # noqa: S104 - the address as a value
        ("::", False),
        ("::ffff:192.0.2.1", False),
        ("127.0.0.1.example.org", False),
        ("localhost.example.org", False),
        ("128.0.0.1", False),
        (b"\xff", False),
    ],
)
def test_is_loopback(host: str | bytes, expected: bool) -> None:
    assert is_loopback(host) is expected
