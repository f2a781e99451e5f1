"""Connections to the object stores that presigned URLs lead to: the vault itself, or a bucket (spec `api.md`).

Whoever reads such a URL may use it, so it is followed over TLS, or to this machine's loopback.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httpx2
from pydantic import TypeAdapter

from carnet.connections import open_http
from carnet.errors import AnswerError
from carnet_protocol.statements.deployment import Origin

_ORIGIN: Final = TypeAdapter[str](Origin)


class Stores:
    """Connections to the stores that presigned URLs lead to, one pool for each origin."""

    __slots__ = ("_clients", "_open_client")

    def __init__(self, open_client: Callable[[str], httpx2.Client] = open_http) -> None:
        """No connection yet; `open_client` makes those to an origin."""
        self._open_client = open_client
        self._clients: dict[str, httpx2.Client] = {}

    def client(self, url: str) -> httpx2.Client:
        """The client for the origin of `url`. Raises `AnswerError` for a URL that is none or could be overheard."""
        origin = _parse_origin(url)
        if origin not in self._clients:
            self._clients[origin] = self._open_client(origin)
        return self._clients[origin]

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


def _parse_origin(url: str) -> str:
    refused = AnswerError("the vault named a store that is none, or is not reached by TLS: tell its operator")
    try:
        parts = urlsplit(url)
        origin = _ORIGIN.validate_python(f"{parts.scheme}://{parts.netloc}")
    except ValueError as error:
        raise refused from error
    if not parts.netloc:
        raise refused
    return origin
