"""Several threads at one job, stopped by the first failure."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.content.crew import Crew, Watermark, count_cores, count_workers

SIZES = pytest.mark.parametrize("size", [1, 2, 4])


def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert count_cores() == len(before)


@pytest.mark.parametrize(
    ("cores", "leaves", "workers"), [(1, 100, 1), (2, 100, 2), (4, 100, 4), (64, 100, 4), (4, 3, 3), (4, 1, 1)]
)
def test_workers_are_as_many_as_there_is_work_and_cores_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, leaves: int, workers: int
) -> None:
    monkeypatch.setattr("carnet.content.crew.count_cores", lambda: cores)
    assert count_workers(leaves) == workers


@SIZES
def test_every_worker_works_once(size: int) -> None:
    seen: list[int] = []
    Crew(size).run(seen.append)
    assert sorted(seen) == list(range(size))


def test_a_crew_of_one_works_in_the_thread_of_its_caller() -> None:
    seen: list[threading.Thread] = []
    Crew(1).run(lambda _worker: seen.append(threading.current_thread()))
    assert seen == [threading.current_thread()]


@SIZES
def test_turns_go_in_order_whoever_has_them(size: int) -> None:
    crew = Crew(size)
    order: list[int] = []

    def work(worker: int) -> None:
        for number in range(worker, 40, size):
            assert crew.wait_for_turn(number)
            order.append(number)
            crew.end_turn(number)

    crew.run(work)
    assert order == list(range(40))


@SIZES
@pytest.mark.parametrize("failing", [0, 1, 3])
def test_the_first_failure_stops_those_who_wait_and_is_raised(size: int, failing: int) -> None:
    crew = Crew(size)
    stopped: list[int] = []

    def work(worker: int) -> None:
        if worker == failing % size:
            raise ValueError(f"of worker {worker}")
        if not crew.wait_for_turn(3):
            stopped.append(worker)

    with pytest.raises(ValueError, match="of worker"):
        crew.run(work)
    assert crew.is_stopped
    assert sorted(stopped) == [worker for worker in range(size) if worker != failing % size]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupt_in_any_worker_is_raised(failure: type[BaseException]) -> None:
    def work(worker: int) -> None:
        if worker == 1:
            raise failure

    with pytest.raises(failure):
        Crew(2).run(work)


def test_nobody_is_left_behind() -> None:
    before = set(threading.enumerate())
    crew = Crew(4)

    def work(worker: int) -> None:
        if worker == 3:
            raise ValueError
        crew.wait_for_turn(3)

    with pytest.raises(ValueError):  # noqa: PT011  raised five lines above
        crew.run(work)
    assert set(threading.enumerate()) <= before


@given(st.permutations(range(12)))
def test_a_watermark_rises_over_what_has_no_gap(order: list[int]) -> None:
    told: list[int] = []
    watermark = Watermark(told.append)
    for leaf in order:
        watermark.pass_leaf(leaf, end=(leaf + 1) * 10)
        done = {*order[: order.index(leaf) + 1]}
        without_gap = next(number for number in range(13) if number not in done)
        assert (told[-1] if told else 0) == without_gap * 10
    assert told == sorted(set(told))


def test_a_watermark_that_nobody_looks_at_keeps_nothing() -> None:
    Watermark(None).pass_leaf(5, end=50)


def test_a_thread_that_cannot_start_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    crew = Crew(4)

    def wait(_worker: int) -> None:
        crew.wait_for_turn(3)

    with pytest.raises(RuntimeError, match="can't start"):
        crew.run(wait)
    assert not any(thread.is_alive() for thread in started)
