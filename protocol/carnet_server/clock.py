"""The time of a server: whole UTC seconds, passed in, never going back behind what was committed.

Grants, windows and nonces are decided by time, so a server whose clock was set back would let in what has ended. It
refuses until its clock has caught up with the newest time in its database.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from carnet_server.errors import ClockBehindError

Clock = Callable[[], int]
"""Gives UTC seconds."""

CLOCK_TOLERANCE_SECONDS: Final = 2
"""Two processes on one database, or one step of the machine's time service, may differ by this much."""


def system_clock() -> int:
    """The machine's time in whole seconds."""
    return int(time.time())


def require_clock(now: int, *, last_committed: int) -> None:
    """Refuse to act at `now` if the newest committed time is later. Raises `ClockBehindError`."""
    if now + CLOCK_TOLERANCE_SECONDS < last_committed:
        raise ClockBehindError("clock_behind_database")


class ClockGuard:
    """Compares the clock with the newest committed times, once in each second.

    `newest` are functions that give a newest committed time, or None where nothing is committed yet.
    """

    def __init__(self, newest: Sequence[Callable[[Connection], int | None]]) -> None:
        self._newest = newest
        self._checked_at = -1

    def check(self, connection: Connection, now: int) -> None:
        """Refuse to act at `now` if it is behind. Raises `ClockBehindError`."""
        if now == self._checked_at:
            return
        for newest in self._newest:
            require_clock(now, last_committed=newest(connection) or 0)
        self._checked_at = now
