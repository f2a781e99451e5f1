"""Connections to the object stores that presigned URLs lead to: the vault itself, or a bucket (spec `api.md`)."""

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2

from carnet.connections import open_http
from carnet.errors import AnswerError


class Stores:
    """Connections to the stores that presigned URLs lead to, one pool for each origin."""

    __slots__ = ("_clients", "_open_client")

    def __init__(self, open_client: Callable[[str], httpx2.Client] = open_http) -> None:
        """No connection yet; `open_client` makes those to an origin."""
        self._open_client = open_client
        self._clients: dict[str, httpx2.Client] = {}

    def client(self, url: str) -> httpx2.Client:
        """The client for the origin of `url`. Raises `AnswerError` for a URL that is none."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username is not None:
            raise AnswerError("the vault named a store that is none: tell its operator")
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._clients:
            self._clients[origin] = self._open_client(origin)
        return self._clients[origin]

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()
