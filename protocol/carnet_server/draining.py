"""Answers that are not read: how long one may wait until the other end takes what was sent before it.

uvicorn waits for ever, and whoever waits holds one of the places of `places.py`. The clock runs only while the
connection is full, so an answer that is read costs nothing here. What is left unsent when a connection ends is below
that, and the kernel's to give up (`serve.py`).
"""

import asyncio
from typing import Any, Final

from typing_extensions import override

from carnet_server.connections import BoundedConnection

SEND_SECONDS: Final = 60.0


class DrainedConnection(BoundedConnection):
    """One connection. It is cut, not closed, when it stays full: closing would wait for the same reader."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*args, **kwargs)
        self._full_timer: asyncio.TimerHandle | None = None

    @override
    def pause_writing(self) -> None:
        """The connection is full: whoever answers waits, for so long."""
        super().pause_writing()
        self._full_timer = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        """Somebody read."""
        self._stop_full_timer()
        super().resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop_full_timer()
        super().connection_lost(exc)

    def _stop_full_timer(self) -> None:
        if self._full_timer is not None:
            self._full_timer.cancel()
            self._full_timer = None
