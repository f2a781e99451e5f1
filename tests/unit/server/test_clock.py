"""A clock that was set back decides nothing."""

import time

import pytest
from sqlalchemy import Connection, Engine

from carnet_server.clock import CLOCK_TOLERANCE_SECONDS, ClockGuard, require_clock, system_clock
from carnet_server.database import reader
from carnet_server.errors import ClockBehindError

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("last_committed", "accepted"),
    [(0, True), (NOW, True), (NOW + CLOCK_TOLERANCE_SECONDS, True), (NOW + CLOCK_TOLERANCE_SECONDS + 1, False)],
)
def test_a_clock_may_be_behind_by_the_tolerance_and_no_more(last_committed: int, accepted: bool) -> None:
    if accepted:
        require_clock(NOW, last_committed=last_committed)
    else:
        with pytest.raises(ClockBehindError):
            require_clock(NOW, last_committed=last_committed)


def test_the_guard_asks_every_source_and_again_in_every_second(sqlite_engine: Engine) -> None:
    asked: list[int] = []

    def newest(connection: Connection) -> int | None:
        asked.append(len(asked))
        return None if len(asked) == 1 else NOW + 10

    guard = ClockGuard([lambda _: NOW, newest])
    with reader(sqlite_engine) as connection:
        guard.check(connection, NOW)
        guard.check(connection, NOW)
        assert len(asked) == 1
        with pytest.raises(ClockBehindError):
            guard.check(connection, NOW + 1)
        with pytest.raises(ClockBehindError):
            guard.check(connection, NOW + 1)
        guard.check(connection, NOW + 10)


def test_the_system_clock_gives_whole_utc_seconds() -> None:
    before = int(time.time())
    assert before <= system_clock() <= int(time.time())
