"""P10, attack 24: either server is killed, or its disk fails, at every system call that matters of a lock rotation.

A rotation of record locks, one that is aborted after its write phase, and a destruction of retired locks are traced at
the key service and at the vault; then each is run again for every call on a database, and for every send on what
connects the two: that server is killed as it enters the call, or the call fails with EIO or ENOSPC. After that `fsck`
of both finds nothing, the server starts, the job goes on to its end, everybody opens every document, nothing is under
a retired lock, each capsule was swapped once, and the log holds each event of the job once.

By itself a run tries a sample from the whole of each trace; with CARNET_EVERY_KILL=1 it tries every point. How many
that are is printed (`-rP`). strace counts by thread, see `support/syscalls.py`.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from carnet.transport import ServerName
from carnet_keyservice.rotation import accept as jobs
from carnet_keyservice.rotation import job
from carnet_keyservice.rotation.destruction import begin_lock_destruction
from carnet_keyservice.rotation.job import JobParameters, JobState, Phase
from carnet_protocol.ids import JobId
from carnet_server.clock import system_clock
from tests.support.lock_stage import LockStage
from tests.support.mortal import Mortal, wait_for
from tests.support.rotation import few_shards
from tests.support.rotation_stage import decide, has_ended, order_destruction, stands
from tests.support.syscalls import EIO, ENOSPC, KILL, Point, count_calls, points, spread, traced
from tests.unit.client.conftest import quick_passphrases

__all__ = ["quick_passphrases"]

EVERY: Final = bool(os.environ.get("CARNET_EVERY_KILL"))
DURABLE: Final = ("openat", "write", "pwrite64", "fdatasync", "ftruncate", "fsync", "unlink")
"""Calls on the database and what is written ahead of it."""
SENDS: Final = ("sendto", "sendmsg", "write", "writev")
"""Calls by which the servers talk: all of them, for a connection has no path."""
RENEWAL: Final = 20
"""So many runs follow one another on the same data, each rotating what the one before left."""


@dataclass(frozen=True, slots=True)
class Act:
    """What is done again and again: from where, what sets it off, how its end is told, and what is true after it."""

    name: str
    begun: Path
    set_off: Callable[[], object]
    is_over: Callable[[], bool]
    check: Callable[[], None]
    renewal: int = RENEWAL


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, quick_passphrases: None) -> Iterator[LockStage]:
    """Two servers that die many times."""
    assert quick_passphrases is None
    with LockStage.lay_out(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(scope="module")
def before(stage: LockStage) -> Path:
    """What there is before anything is rotated."""
    return stage.keep("before")


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the program of the stage has: what is decided here beside it counts them too."""
    few_shards(monkeypatch)


@pytest.fixture(autouse=True)
def _ended(stage: LockStage, before: Path) -> Iterator[None]:
    """Each test begins from the beginning."""
    stage.put_back(before)
    yield
    stage.end()


def rotation(stage: LockStage) -> Act:
    """A rotation of all record locks without a grace."""
    return Act(
        "rotation",
        stage.keep("rotation"),
        stage.begin,
        lambda: stands(stage.job()),
        lambda: check_rotated(stage),
    )


def check_rotated(stage: LockStage) -> None:
    """All is under new locks, the older ones are retired, and nothing happened twice."""
    assert stage.job().state is JobState.FINISHED
    for record in stage.records():
        versions = stage.tables.versions(record)
        newest = max(versions)
        assert versions == {version: version < newest for version in range(1, newest + 1)}
    assert own_events(stage) == {"job.begun": 1, "lock.made": 2, "lock.retired": 2, "job.finished": 1}
    check_swapped(stage)


def check_swapped(stage: LockStage) -> None:
    """Every capsule is under the newest lock, and was brought there once."""
    for record in stage.records():
        newest = max(stage.tables.versions(record))
        used = stage.tables.used(record)
        assert used.keys() == {newest}
        details = [
            event["detail"]
            for event in stage.tables.events(ServerName.VAULT, "capsules.rotated")
            if event["record"] == str(record)
        ]
        assert sum(detail["capsules"] for detail in details if detail["version"] == newest) == used[newest]


def own_events(stage: LockStage) -> Counter[str]:
    """How often the key service's log names the newest job, by kinds; without standing still and going on."""
    name = str(stage.job().id)
    with stage.world.engines[ServerName.KEYSERVICE].connect() as connection:
        rows = connection.execute(text("SELECT kind, body FROM events")).all()
    counts = Counter(kind for kind, body in rows if (json.loads(body)["detail"] or {}).get("job") == name)
    return Counter({kind: count for kind, count in counts.items() if kind not in {"job.paused", "job.resumed"}})


def abort(stage: LockStage) -> Act:
    """A rotation that is aborted in its grace: what is rotated stays so, and older locks release what they did."""

    def is_over() -> bool:
        if stage.job().phase is Phase.GRACE:
            decide(stage.keyservice, lambda moment: jobs.abort_job(moment, by=None))
        return stands(stage.job())

    return Act("abort", stage.keep("abort"), lambda: stage.begin(grace=86_400), is_over, lambda: check_aborted(stage))


def check_aborted(stage: LockStage) -> None:
    """All is under new locks, and no lock is retired."""
    assert stage.job().state is JobState.ABORTED
    for record in stage.records():
        assert set(stage.tables.versions(record).values()) == {False}
    assert own_events(stage) == {"job.begun": 1, "lock.made": 2, "job.aborting": 1, "job.aborted": 1}
    check_swapped(stage)


def destruction(stage: LockStage) -> Act:
    """The destruction of the locks that a rotation retired, as two officers order it."""
    stage.begin()
    stage.go_on(lambda: has_ended(stage.job()))
    retired = stage.job().ended_at
    assert retired is not None
    wait_for(stage.keyservice, lambda: system_clock() > retired)
    return Act(
        "destruction",
        stage.keep("destruction"),
        lambda: begin_destruction(stage),
        lambda: has_begun_destruction(stage) and stands(stage.job()),
        lambda: check_destroyed(stage),
        renewal=1,
    )


def begin_destruction(stage: LockStage) -> None:
    """Two officers order it, and it begins."""
    until = system_clock()
    orders = order_destruction(stage.keyservice, retired_before=until)
    parameters = JobParameters(rate=1_000_000, workers=1, grace_seconds=0, retired_before=until)
    decide(
        stage.keyservice,
        lambda moment: begin_lock_destruction(moment, JobId.make(), orders, parameters, horizon_seconds=0),
    )


def has_begun_destruction(stage: LockStage) -> bool:
    """Whether the newest job is one."""
    return stage.job().kind is job.JobKind.DESTRUCTION


def check_destroyed(stage: LockStage) -> None:
    """Seals of the retired locks are gone, and said to be gone once; those of the newest are there."""
    assert stage.job().state is JobState.FINISHED
    for record in stage.records():
        assert stage.tables.versions(record) == {1: True, 2: False}
        assert stage.seals(record) == {2: 1}
    expected = {"job.begun": 1, "lock.destroyed": 2, "job.finished": 1, "statement.destruction": 2}
    assert own_events(stage) == expected
    check_swapped(stage)


ACTS: Final = [rotation, abort, destruction]


@dataclass(frozen=True, slots=True)
class Site:
    """A point of a run, and on which paths calls count for it; on none: all."""

    point: Point
    paths: tuple[Path, ...]


def durable_paths(root: Path) -> tuple[Path, ...]:
    """What must outlive a crash of the server in `root`."""
    return tuple(root / f"database.sqlite{end}" for end in ("", "-wal", "-rotation"))


def trace(stage: LockStage, act: Act, victim: Mortal, root: Path) -> dict[str, list[Site]]:
    """Every point of a run that goes well, by what is done there."""
    sites: dict[str, list[Site]] = {}
    file = stage.world.root / "trace"
    for calls, paths, faults in (
        (DURABLE, durable_paths(root), {"killed": KILL, "EIO": EIO, "ENOSPC": ENOSPC}),
        (SENDS, (), {"killed as it sends": KILL}),
    ):
        stage.put_back(act.begun)
        with traced(victim.pid, file, calls, paths):
            act.set_off()
            wait_for(victim, act.is_over)
        act.check()
        counts = count_calls(file)
        for what, fault in faults.items():
            sites[what] = [Site(point, paths) for point in points(counts, fault)]
    return sites


SAMPLE: Final = {"killed": 2, "killed as it sends": 2, "EIO": 1, "ENOSPC": 1}
"""So many from within each trace: its last calls are not made in every run."""


@pytest.mark.parametrize("name", ["keyservice", "vault"])
@pytest.mark.parametrize("make", ACTS)
def test_whichever_server_is_cut_off_wherever_nothing_is_lost_and_the_job_ends(
    stage: LockStage, make: Callable[[LockStage], Act], name: str
) -> None:
    act = make(stage)
    victim: Any = getattr(stage, name)
    reached: list[bool] = []
    for what, every in trace(stage, act, victim, victim.root).items():
        assert every
        chosen = every if EVERY else spread(every, SAMPLE[what] + 2)[1:-1]
        for site in chosen:
            if len(reached) % act.renewal == 0:
                stage.put_back(act.begun)
            try:
                reached.append(come_to_grief(stage, act, victim, site))
                stage.require_clean()
                victim.start()
                stage.go_on(act.is_over)
                act.check()
                stage.require_all_open()
                stage.require_clean()
            except BaseException as error:
                error.add_note(f"{act.name}, {name} {what}: {site.point}")
                raise
        count = sum(reached[-len(chosen) :])
        print(f"{act.name}, {name}, {what}: {len(every)} points, {len(chosen)} tried, {count} reached")  # noqa: T201  for -rP
    assert sum(reached) >= len(reached) * 2 // 3


def come_to_grief(stage: LockStage, act: Act, victim: Mortal, site: Site) -> bool:
    """Run up to a point, at which `victim` is killed or a call fails, and then to the end; say whether it was reached.

    Where a call failed the server serves on, and the job pauses or goes on.
    """
    with site.point.set(victim.pid, site.paths):
        act.set_off()
        wait_for(victim, act.is_over, or_death=True)
        was_killed = not victim.is_running()
    if site.point.fault != KILL:
        assert not was_killed
        stage.require_all_open()
    victim.end()
    return was_killed or site.point.fault != KILL
