"""Metrics for Prometheus, in a registry of their own, without personal data: route templates, statuses, codes.

They are served by a listener of their own that is bound to loopback. On the port of the API a check of the caller's
address would be worth nothing: behind a proxy on the same machine everybody comes from loopback.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from carnet_server.errors import SettingsError
from carnet_server.writer import BatchCount

LOOPBACK: Final = "127.0.0.1"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WORKS: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What a server counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "carnet_answers",
            "Answers by route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._refusals = Counter("carnet_refusals", "Refusals by code.", ("code",), registry=self.registry)
        self._seconds = Histogram(
            "carnet_answer_seconds", "Time to answer.", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self._batch_works = Histogram(
            "carnet_commit_works", "Works in one commit.", buckets=_WORKS, registry=self.registry
        )
        self._batch_seconds = Histogram(
            "carnet_commit_seconds", "Time from the first work to the commit.", buckets=_SECONDS, registry=self.registry
        )
        self._lost = Counter(
            "carnet_commit_lost",
            "Transactions that were lost, to another one or with their connection, and begun anew.",
            registry=self.registry,
        )
        self.in_flight = Gauge("carnet_requests_in_flight", "Requests being answered.", registry=self.registry)
        self._queued = Gauge("carnet_writer_queued", "Works that wait for the writer.", registry=self.registry)

    def count_answer(self, *, method: str, route: str, status: int, code: str | None, seconds: float) -> None:
        """Count one answer. `route` is a template."""
        self._answers.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._refusals.labels(code).inc()

    def count_batch(self, batch: BatchCount) -> None:
        """Count one commit."""
        self._batch_works.observe(batch.works)
        self._batch_seconds.observe(batch.seconds)
        self._lost.inc(batch.lost)

    def watch_queue(self, queued: Callable[[], float]) -> None:
        """Ask `queued` how many works wait, whenever someone wants to know."""
        self._queued.set_function(queued)


class MetricsListener:
    """`/metrics` on loopback, in a thread, until closed."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=metrics.registry)
        except OSError as error:
            raise SettingsError("the port for metrics is taken; choose another `metrics_port`") from error
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop to answer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
