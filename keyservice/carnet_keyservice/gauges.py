"""The key service's own gauges for Prometheus, asked of the database whenever somebody wants to know them.

Where the database is away there are none, which is what an alert should be on.
"""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from typing_extensions import override

from carnet_keyservice.schedule import Policy, Schedule, load_schedule
from carnet_server.clock import Clock
from carnet_server.database import reader
from carnet_server.errors import RefusalError


class ScheduleGauges(Collector):
    """Ages of keys, and how far a rotation is."""

    def __init__(self, engine: Engine, policy: Policy, clock: Clock) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock

    def describe(self) -> list[GaugeMetricFamily]:
        """None beforehand: whoever registers this asks no database."""
        return []

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges at this time."""
        now = self._clock()
        try:
            with reader(self._engine) as connection:
                schedule = load_schedule(connection, self._policy, now=now)
        except RefusalError:
            return
        yield from _gauges(schedule, now=now)


def _gauges(schedule: Schedule, *, now: int) -> Iterator[GaugeMetricFamily]:
    made = {
        "carnet_keyservice_master_key_age_seconds": ("Age of the active master key.", schedule.master_key_made_at),
        "carnet_keyservice_record_lock_age_seconds": (
            "Age of the oldest record lock in use.",
            schedule.oldest_lock_made_at,
        ),
    }
    for name, (words, made_at) in made.items():
        if made_at is not None:
            yield GaugeMetricFamily(name, words, value=now - made_at)
    counts = {
        "carnet_keyservice_master_keys_destroyable": (
            "Retired master keys that two officers may destroy now.",
            len(schedule.destroyable),
        ),
        "carnet_keyservice_job_needs_somebody": (
            "1 where a rotation stands still or stumbles.",
            int(schedule.needs_somebody),
        ),
        "carnet_keyservice_job_items": (
            "Items of the rotation under way, 0 without one.",
            0 if schedule.job is None else schedule.job.total,
        ),
        "carnet_keyservice_job_items_done": (
            "Items that are done in its phase; each phase begins at 0.",
            schedule.progress.done,
        ),
    }
    for name, (words, count) in counts.items():
        yield GaugeMetricFamily(name, words, value=count)
