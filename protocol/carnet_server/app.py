"""The application that both servers wire: middleware, routes, health, OpenAPI. Importing this starts nothing."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool

from carnet_server.answers import JSON_TYPE, install_handlers
from carnet_server.chassis import Chassis
from carnet_server.health import add_health
from carnet_server.limits import RequestLimits
from carnet_server.observation import Observation
from carnet_server.openapi import format_openapi, make_openapi
from carnet_server.routes import Router, Terms


def make_app(
    chassis: Chassis,
    *,
    title: str,
    routers: Sequence[Router],
    lifespan: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
) -> FastAPI:
    """The application of one server.

    `lifespan` surrounds the time in which requests are answered, inside that of the chassis: background work starts
    after the writer and ends before it.
    """

    @contextlib.asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        del app
        await run_in_threadpool(chassis.start)
        try:
            async with lifespan():
                yield
        finally:
            await run_in_threadpool(chassis.stop)

    app = FastAPI(
        title=title,
        version=chassis.version,
        lifespan=run,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_handlers(app)
    app.add_middleware(RequestLimits, max_concurrent=chassis.rates.max_concurrent)
    app.add_middleware(Observation, log=chassis.log, metrics=chassis.metrics)  # the last one added is the outermost
    add_health(app, chassis)
    terms = [stated for router in routers for stated in router.add_to(app, chassis)]
    _add_openapi(app, terms)
    return app


def _add_openapi(app: FastAPI, terms: Sequence[Terms]) -> None:
    document = make_openapi(app, terms)

    def openapi() -> dict[str, Any]:
        return document

    async def answer() -> Response:
        return Response(format_openapi(document), media_type=JSON_TYPE)

    # FastAPI documents this as the way to replace the document.
    app.openapi = openapi  # type: ignore[method-assign]
    app.add_api_route("/openapi.json", answer, methods=["GET"], include_in_schema=False)
