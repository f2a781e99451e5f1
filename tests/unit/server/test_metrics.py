"""Metrics: counts under route templates, on loopback, without anything personal."""

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import generate_latest

from carnet_server.errors import SettingsError
from carnet_server.metrics import LOOPBACK, Metrics, MetricsListener
from carnet_server.writer import BatchCount
from tests.support.tiny_server.world import ALICE, World


def text_of(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_answers_refusals_and_commits_are_counted() -> None:
    metrics = Metrics()
    metrics.count_answer(method="GET", route="/v1/notes/{note}", status=404, code="refused", seconds=0.2)
    metrics.count_answer(method="GET", route="/v1/notes/{note}", status=200, code=None, seconds=0.1)
    metrics.count_batch(BatchCount(works=3, seconds=0.01, lost=2))
    metrics.watch_queue(lambda: 7)
    text = text_of(metrics)
    assert 'carnet_answers_total{method="GET",route="/v1/notes/{note}",status="404"} 1.0' in text
    assert 'carnet_refusals_total{code="refused"} 1.0' in text
    assert 'carnet_answer_seconds_count{route="/v1/notes/{note}"} 2.0' in text
    assert "carnet_commit_works_sum 3.0" in text
    assert "carnet_commit_lost_total 2.0" in text
    assert "carnet_writer_queued 7.0" in text


def test_what_was_asked_for_appears_as_a_template_and_never_as_itself(world: World) -> None:
    note = "Q0FOQVJZQ0FOQVJZQ0FOQQ"
    world.get_as(ALICE, f"/v1/notes/{note}")
    world.client.get(f"/v1/nowhere/{note}")
    world.client.request("BREW", f"/v1/notes/{note}")
    text = text_of(world.chassis.metrics)
    assert 'route="/v1/notes/{note}"' in text
    assert 'route="unmatched"' in text
    assert note not in text
    assert "BREW" not in text
    assert "192.0.2.1" not in text


def test_the_listener_serves_the_registry_on_loopback() -> None:
    metrics = Metrics()
    metrics.count_batch(BatchCount(works=3, seconds=0.01))
    listener = MetricsListener(metrics, 0)
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{listener.port}/metrics") as answer:
            assert b"carnet_commit_works_sum 3.0" in answer.read()
    finally:
        listener.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{LOOPBACK}:{listener.port}/metrics")


def test_a_port_that_is_taken_is_a_typed_error() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        with pytest.raises(SettingsError, match="metrics_port"):
            MetricsListener(Metrics(), taken.getsockname()[1])
