"""`/healthz`: the program runs. `/readyz`: it can do its work: writer alive, all that it needs there."""

import time
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool

from carnet_server.answers import JSON_TYPE
from carnet_server.chassis import Chassis
from carnet_server.errors import MigrationError, UnavailableError

_LOOK_SECONDS: Final = 1.0
_OK: Final = b'{"status":"ok"}'


def add_health(app: FastAPI, chassis: Chassis, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Add both routes: open, unlimited, not part of the documented API.

    What the server needs is looked at once a second at most, and by one thread: a look may wait long for a network.
    """
    last = _LastLook()

    async def healthz() -> Response:
        return Response(_OK, media_type=JSON_TYPE)

    async def readyz() -> Response:
        now = monotonic()
        if now - last.at >= _LOOK_SECONDS and not last.is_looking:
            last.at, last.is_ready, last.is_looking = now, False, True
            try:
                last.is_ready = await run_in_threadpool(_is_ready, chassis)
            finally:
                last.is_looking = False
        if not last.is_ready:
            raise UnavailableError("not_ready")
        return Response(_OK, media_type=JSON_TYPE)

    app.add_api_route("/healthz", healthz, methods=["GET"], include_in_schema=False)
    app.add_api_route("/readyz", readyz, methods=["GET"], include_in_schema=False)


class _LastLook:
    at = float("-inf")
    is_ready = False
    is_looking = False


def _is_ready(chassis: Chassis) -> bool:
    if not chassis.writer.is_alive():
        return False
    try:
        chassis.check_ready()
    except (MigrationError, UnavailableError):
        return False
    return True
