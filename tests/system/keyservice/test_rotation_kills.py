"""P10, attack 24: the key service is killed, or its disk fails, at every system call that matters of a rotation.

One rotation of the master key, one abort within the grace and one destruction are traced; then each is run again for
every call on what is durable (the database, what is written ahead of it, the key files and their folder): the program
is killed as it enters that call, or the call fails with EIO or ENOSPC. After that `fsck` finds nothing, the program
starts, the job goes on to its end, each lock opens, a release is answered, and one master key is active. A call that
failed does not stop what is served.

By itself a run tries a sample from the whole of each trace; with CARNET_EVERY_KILL=1 it tries every point, which takes
the better part of an hour. How many that are is printed (`-rP`). strace counts by thread, see `support/syscalls.py`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from carnet_keyservice.rotation import accept as jobs
from carnet_keyservice.rotation.destruction import destroy_master_key
from carnet_keyservice.rotation.job import Phase
from tests.support.rotation import few_shards
from tests.support.rotation_stage import Stage, has_ended, stands
from tests.support.syscalls import EIO, ENOSPC, KILL, Point, count_calls, points, spread, traced

EVERY: Final = bool(os.environ.get("CARNET_EVERY_KILL"))
ON_PATHS: Final = ("openat", "write")
"""Calls that are made on much else too."""
ANYWHERE: Final = ("pwrite64", "fdatasync", "ftruncate", "fsync", "link", "unlink", "rename")
"""Calls that nothing else makes, or on drafts of key files, of which nobody knows the names before."""
SAMPLE: Final = {KILL: 6, EIO: 3, ENOSPC: 3}


@dataclass(frozen=True, slots=True)
class Act:
    """What is done again and again: from where, what sets it off, how its end is told, and what is true after it."""

    name: str
    begun: Path
    set_off: Callable[[], object]
    is_over: Callable[[], bool]
    check: Callable[[], None]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One key service that dies many times."""
    with Stage.lay_out(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the program of the stage has: what is decided here beside it counts them too."""
    few_shards(monkeypatch)


@pytest.fixture(scope="module")
def before(stage: Stage) -> Path:
    """What there is before anything is rotated."""
    return stage.keep("before")


@pytest.fixture(autouse=True)
def _dead(stage: Stage, before: Path) -> Iterator[None]:
    """Each test begins without a program, from the beginning."""
    stage.put_back(before)
    yield
    stage.process.end()


def rotation(stage: Stage) -> Act:
    """A rotation of the master key without a grace."""
    return Act(
        "rotation",
        stage.keep("rotation"),
        stage.begin,
        lambda: stands(stage.job()),
        lambda: check_rotated(stage),
    )


def check_rotated(stage: Stage) -> None:
    """Everything is under the new key, and nothing happened twice."""
    assert stage.job().state == "finished"
    assert stage.keys() == {1: ("deactivated", 0), 2: ("active", 3)}
    assert stage.events("master_key.%") == [
        "master_key.made",
        "master_key.suspended",
        "master_key.activated",
        "master_key.deactivated",
    ]
    assert stage.events("job.begun", "job.finished") == ["job.begun", "job.finished"]
    assert len((stage.root / "keys" / "master-1.key").read_bytes()) == 32


def abort(stage: Stage) -> Act:
    """The way back, from the grace of a rotation."""
    stage.begin(grace=3600)
    stage.process.start()
    stage.wait(lambda: stage.job().phase is Phase.GRACE)
    stage.process.kill()
    return Act(
        "abort",
        stage.keep("abort"),
        lambda: stage.decide(lambda moment: jobs.abort_job(moment, by=None)),
        lambda: stands(stage.job()),
        lambda: check_aborted(stage),
    )


def check_aborted(stage: Stage) -> None:
    """Everything is under the old key again."""
    assert stage.job().state == "aborted"
    assert stage.keys() == {1: ("active", 3), 2: ("deactivated", 0)}
    assert stage.events("job.%ed") == ["job.aborted"]


def destruction(stage: Stage) -> Act:
    """The destruction of the key that a rotation retired, as two officers ordered it and the row says."""
    stage.begin()
    stage.process.start()
    stage.wait(lambda: has_ended(stage.job()))
    stage.process.kill()
    given = stage.order_destruction(1)
    return Act(
        "destruction",
        stage.keep("destruction"),
        lambda: stage.decide(lambda moment: destroy_master_key(moment, 1, given, horizon_seconds=0)),
        lambda: is_destroyed(stage),
        lambda: check_destroyed(stage),
    )


def is_destroyed(stage: Stage) -> bool:
    """Whether the provider has destroyed the key."""
    return not stage.master_key(1).check_value


def check_destroyed(stage: Stage) -> None:
    """It is gone, and said to be gone once."""
    assert is_destroyed(stage)
    assert stage.keys() == {1: ("destroyed", 0), 2: ("active", 3)}
    assert stage.events("master_key.destroyed") == ["master_key.destroyed"]
    assert [path.name for path in (stage.root / "keys").glob("*master-1*")] == []
    assert len((stage.root / "keys" / "master-2.key").read_bytes()) == 32


ACTS: Final = [rotation, abort, destruction]


def trace(stage: Stage, act: Act) -> dict[str, int]:
    """How often each call is made in a run that goes well."""
    counts: dict[str, int] = {}
    file = stage.root / "trace"
    for calls, paths in ((ON_PATHS, stage.paths()), (ANYWHERE, [])):
        stage.put_back(act.begun)
        stage.process.start()
        with traced(stage.process.pid, file, calls, paths):
            act.set_off()
            stage.wait(act.is_over)
            stage.process.end()
        act.check()
        counts |= count_calls(file)
    return counts


@pytest.mark.parametrize("fault", [KILL, EIO, ENOSPC])
@pytest.mark.parametrize("make", ACTS)
def test_wherever_it_is_cut_off_nothing_is_lost_and_the_next_start_ends_it(
    stage: Stage, make: Callable[[Stage], Act], fault: str
) -> None:
    act = make(stage)
    every = points(trace(stage, act), fault)
    chosen = every if EVERY else spread(every, SAMPLE[fault])
    reached = 0
    for point in chosen:
        stage.put_back(act.begun)
        try:
            reached += come_to_grief(stage, act, point)
            stage.require_clean()
            stage.start_again()
            stage.wait(act.is_over)
            assert stage.releases()
            act.check()
            stage.require_clean()
        except BaseException as error:
            error.add_note(f"{act.name}, {point}")
            raise
        finally:
            stage.process.end()
    print(f"{act.name}, {fault}: {len(every)} points, {len(chosen)} tried, {reached} reached")  # noqa: T201  for -rP
    assert reached >= len(chosen) * 2 // 3
    assert len(every) >= 10


def come_to_grief(stage: Stage, act: Act, point: Point) -> bool:
    """Run up to `point`, which kills or makes a call fail, and then to the end; say whether it was killed there.

    Where a call failed the program serves on, and its job pauses or goes on.
    """
    stage.process.start()
    with point.set(stage.process.pid, [] if point.call in ANYWHERE else stage.paths()):
        act.set_off()
        stage.wait(act.is_over, or_death=True)
        was_killed = not stage.process.is_running()
        if point.fault != KILL:
            assert not was_killed
            assert stage.releases() or stage.releases(), "it does not serve on"
        stage.process.end()
    return was_killed or point.fault != KILL
