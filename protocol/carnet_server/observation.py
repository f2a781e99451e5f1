"""What becomes of each request: one line in the log, one count, and an answer even where nobody expected the failure.

The outermost layer (ASGI middleware). It knows a request by its number since the start and its route by its template.
"""

import itertools
import secrets
import time
from typing import Any, Final

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from carnet_protocol.errors import ErrorCode
from carnet_server.answers import REFUSAL_STATE, answer_refusal, note
from carnet_server.body import is_much_unread
from carnet_server.errors import RefusalError
from carnet_server.logs import describe
from carnet_server.metrics import Metrics

_UNMATCHED: Final = "unmatched"
_PROGRAM: Final = secrets.token_hex(4)
_COUNTER: Final = itertools.count(1)
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_HEADERS: Final = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_SERVER_FAULT: Final = 500


class Observation:
    """The middleware."""

    def __init__(self, app: ASGIApp, *, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._app = app
        self._log = log
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens; then log and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Observed(scope, send)
        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, request.send)
        except RefusalError as error:
            note(Request(scope), error.code, reason=error.reason, error=error.__cause__)
            await self._answer(request, error.code, error)
        except Exception as error:  # noqa: BLE001  the last one who can answer
            note(Request(scope), ErrorCode.INTERNAL, reason="unexpected")
            try:
                await self._answer(request, ErrorCode.INTERNAL, error)
            finally:
                self._log.error("failure", request=request.id, error_id=request.id, **describe(error))
        finally:
            self._metrics.in_flight.dec()
            self._conclude(request)

    async def _answer(self, request: "_Observed", code: ErrorCode, error: Exception) -> None:
        if request.status:
            # Too late for another answer: the connection is cut, and what was sent has no end.
            raise error
        await answer_refusal(code)(request.scope, _no_body, request.send)

    def _conclude(self, request: "_Observed") -> None:
        seconds = time.perf_counter() - request.started
        route = getattr(request.scope.get("route"), "path", _UNMATCHED)
        method = request.scope["method"] if request.scope["method"] in _METHODS else "other"
        code, reason, cause = request.scope.get("state", {}).get(REFUSAL_STATE, (None, None, None))
        self._metrics.count_answer(method=method, route=route, status=request.status, code=code, seconds=seconds)
        fields: dict[str, Any] = {} if code is None else {"code": code.value, "reason": reason}
        if cause is not None:
            fields["cause"] = type(cause).__name__
        write = self._log.info if request.status < _SERVER_FAULT else self._log.error
        write(
            "answer",
            request=request.id,
            method=method,
            route=route,
            status=request.status,
            milliseconds=round(seconds * 1000, 2),
            **fields,
        )


class _Observed:
    """One request on its way."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.id = f"{_PROGRAM}-{next(_COUNTER)}"
        self.started = time.perf_counter()
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass `message` on. How long it may wait for whoever reads the answer is `draining.py`'s."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            names = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in names)]
            if is_much_unread(self.scope):
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


async def _no_body() -> Message:
    raise AssertionError("internal: a refusal reads nothing")
