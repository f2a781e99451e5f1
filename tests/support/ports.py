"""Ports of loopback for servers of tests, which have to be known before the server runs: its card names them."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port that the system gives to nobody else while the block lasts; a server that asks for it by number gets it.

    It is bound here and listened on by nobody. That keeps others away, but not who says, as all our servers do, that
    an address may be used again: it may start, stop and start anew.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
