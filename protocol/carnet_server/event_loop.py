"""The event loop: uvloop's, which waits less long for the TLS handshake of a connection that it took.

Until then the connection is nobody's: it is not among those that `connections.py` counts, and uvicorn has no setting
for it. Left alone, a silent one holds a file descriptor for a minute.
"""

import asyncio
from typing import Any, Final

import uvloop
from typing_extensions import override

HANDSHAKE_SECONDS: Final = 10.0
EVENT_LOOP: Final = f"{__name__}:EventLoop"
"""How uvicorn's settings name it."""


class EventLoop(uvloop.Loop):
    """The loop of one server."""

    @override
    async def create_server(  # type: ignore[override]  # what uvicorn calls it with is passed on
        self, *args: Any, **kwargs: Any
    ) -> asyncio.AbstractServer:
        """A listener whose TLS handshakes, if there are any, are done in time."""
        if kwargs.get("ssl") is not None:
            kwargs["ssl_handshake_timeout"] = HANDSHAKE_SECONDS
        return await super().create_server(*args, **kwargs)
