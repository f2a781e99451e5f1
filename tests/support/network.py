"""Keeps tests off the network: in the process of the tests, a socket reaches this machine's loopback or raises.

A look-up of an outside name is refused as well, since it tells a server of names what is being tested. The refusal is
an audit hook of the interpreter, so it also sees libraries that never touch Python's own `socket.socket`. It does not
reach into programs that a test starts, nor into C libraries that bring their own sockets; those get loopback addresses.
"""

import ipaddress
import socket
import sys

_WITH_SOCKET = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


class NetworkRefusedError(RuntimeError):
    """A test tried to leave the machine. Not an OSError, which code that expects a failing network would catch."""


def pytest_configure() -> None:
    """Refuses the network from before the first test is collected until the process ends."""
    sys.addaudithook(_refuse_network)


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in _WITH_SOCKET:
        connection, address = arguments
        if not (
            address is None or _is_internal(connection) or (isinstance(address, tuple) and is_loopback(address[0]))
        ):
            raise NetworkRefusedError(f"{event} to {address!r}: tests may use loopback addresses only")
    elif event in _LOOK_UPS and not (arguments[0] is None or is_loopback(arguments[0])):
        raise NetworkRefusedError(f"{event} of {arguments[0]!r}: tests may look up loopback names only")


def _is_internal(connection: object) -> bool:
    """Tells whether `connection` is of a family that cannot leave the machine."""
    internal = {socket.AF_UNIX, getattr(socket, "AF_NETLINK", socket.AF_UNIX)}
    return isinstance(connection, socket.SocketType) and connection.family in internal


def is_loopback(host: object) -> bool:
    """Tells whether `host`, a name or an address as sockets take them, is this machine and nothing else."""
    text = host.decode("ascii", errors="replace") if isinstance(host, bytes | bytearray) else str(host)
    if text == "localhost" or text.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False
