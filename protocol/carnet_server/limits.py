"""Limits of a request's head, before any route sees it (ASGI middleware; spec `api.md`, "Limits").

1. No more requests at once than the server is sized for, and of one address a fraction of them (see `places.py`).
   Whether the server lives, it says at any time.
2. The target is short, ASCII, and not percent-encoded: our paths and queries never need it, and a path with two
   spellings would be two routes for a signature and one for the router.
3. The headers are few and small.
4. The body is not encoded: what is limited and digested is what is parsed.
5. The body is behind its gate (see `body.py`), and while it is on its way the request makes room for others.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from carnet_protocol.limits import MAX_HEADER_BYTES, MAX_URL_BYTES
from carnet_server.body import BodyGate
from carnet_server.errors import BadRequestError, RefusalError, TooLargeError, UnsupportedMediaTypeError
from carnet_server.places import Place, Places
from carnet_server.rates import subscriber

HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz"})
MAX_HEADERS: Final = 64
_HEADER_OVERHEAD: Final = 4  # colon, space, CR, LF


class RequestLimits:
    """The middleware. Raises `RefusalError`s for the observer outside of it to answer."""

    def __init__(self, app: ASGIApp, *, max_concurrent: int) -> None:
        self._app = app
        self._at_work = Places(max_concurrent)
        self._waiting = Places(max_concurrent)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the head, then let the request in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # 1
        place = Place(self._at_work, self._waiting, subscriber(scope["client"][0] if scope["client"] else ""))
        if scope["path"] not in HEALTH_PATHS:
            place.work()
        try:
            # 2 to 4
            refusal = check_head(scope)
            if refusal is not None:
                raise refusal
            # 5
            gate = BodyGate(scope, receive, place)
            await self._app(scope, gate.receive, send)
        finally:
            place.leave()


def check_head(scope: Scope) -> RefusalError | None:
    """The refusal of a head that is over a limit, or None."""
    # 2
    target: bytes = scope["raw_path"] + scope["query_string"]
    if len(target) > MAX_URL_BYTES:
        return TooLargeError("url")
    if b"%" in target or not target.isascii():
        return BadRequestError("url_encoded")
    # 3
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    size_bytes = sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)
    if len(headers) > MAX_HEADERS or size_bytes > MAX_HEADER_BYTES:
        return TooLargeError("headers")
    # 4
    if any(name == b"content-encoding" for name, _ in headers):
        return UnsupportedMediaTypeError("content_encoding")
    return None
