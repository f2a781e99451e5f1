"""`--resume` goes on with the job of its own kind, at its own pace, and shows one that has ended as it ended."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.commands import make_rotate_app
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.job import JobKind, JobParameters, JobState, Pace, Phase
from carnet_keyservice.rotation.queries import count_progress
from carnet_keyservice.rotation.walk import walk
from carnet_protocol.ids import JobId
from carnet_server.deployment import Deployment
from tests.support.keyservice import KeyServiceStory
from tests.support.rotation import NEVER, QUICK, Bench
from tests.support.tables import unchanged

SLOW = JobParameters(rate=123, workers=5, grace_seconds=3600)
RECORDS = 12
OTHERS = [(typed, running) for typed in ("master", "locks", "suite") for running in JobKind if running.value != typed]


@pytest.fixture
def bench(story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A workshop beside a key service with one lock; commands read its clock."""
    monkeypatch.setattr("carnet_keyservice.rotation.desk.system_clock", story.world.clock)
    with Bench.at(story.world) as made:
        yield made


def rotate(bench: Bench, *words: str) -> Result:
    """Type `rotate` and `words` at the database of `bench`."""

    @contextlib.contextmanager
    def open_database(_: Path | None) -> Iterator[tuple[Deployment, Engine]]:
        yield bench.shop.deployment, bench.shop.engine

    return CliRunner().invoke(make_rotate_app("carnet-keyservice", open_database), list(words))


def pause(bench: Bench, name: JobId) -> None:
    """Have a job stand still."""
    bench.shop.decide(lambda moment: accept.pause_job(moment, bench.job(name), problem="the disk is full"))


@pytest.fixture
def paused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> JobId:
    """A job that stands still. Once it goes on, and somebody waits for it, it stands still again."""
    name = bench.begin(SLOW)
    pause(bench, name)
    monkeypatch.setattr(time, "sleep", lambda _: pause(bench, name))
    return name


@pytest.mark.parametrize(("typed", "running"), OTHERS)
@pytest.mark.parametrize("is_paused", [False, True])
def test_a_job_of_another_kind_is_left_alone_and_the_command_for_it_is_said(
    bench: Bench, typed: str, running: JobKind, *, is_paused: bool
) -> None:
    name = bench.begin(SLOW, kind=running)
    if is_paused:
        pause(bench, name)
    with unchanged(bench.world.engine):
        done = rotate(bench, typed, "--resume", "--rate", "7", "--workers", "2")
    said = " ".join(done.stderr.split())
    command = "keys destroy-locks --resume" if running is JobKind.DESTRUCTION else f"rotate {running} --resume"
    assert (done.exit_code, f"a job ({running}) has not ended" in said, f"`{command}`" in said) == (1, True, True), said


@pytest.mark.parametrize("typed", ["master", "locks", "suite"])
def test_without_any_job_of_that_kind_there_is_nothing_to_go_on_with(bench: Bench, typed: str) -> None:
    if typed != "master":
        bench.begin()
        bench.run()
    with unchanged(bench.world.engine):
        done = rotate(bench, typed, "--resume")
    assert done.exit_code == 1
    assert "start one without --resume" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "pace"),
    [
        ((), (123, 5)),
        (("--rate", "7"), (7, 5)),
        (("--workers", "2"), (123, 2)),
        (("--rate", "7", "--workers", "2"), (7, 2)),
    ],
)
def test_the_pace_is_kept_unless_it_is_given(
    bench: Bench, paused: JobId, words: tuple[str, ...], pace: tuple[int, int]
) -> None:
    done = rotate(bench, "master", "--resume", *words)
    assert (done.exit_code, "the disk is full" in done.stderr) == (1, True), done.output  # it stands still again
    job = bench.job(paused)
    assert (job.parameters.rate, job.parameters.workers, job.parameters.grace_seconds) == (*pace, 3600)
    with bench.world.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events WHERE kind = 'job.resumed'")).scalar_one() == 1


@pytest.mark.parametrize(("outcome", "code"), [(JobState.FINISHED, 0), (JobState.ABORTED, 1)])
def test_a_job_that_ended_just_before_is_shown_as_it_ended(bench: Bench, outcome: JobState, code: int) -> None:
    name = bench.begin(QUICK)
    if outcome is JobState.ABORTED:
        bench.abort()
    bench.run()
    with unchanged(bench.world.engine):
        done = rotate(bench, "master", "--resume", "--rate", "7", "--json")
    shown = json.loads(done.stdout)
    assert (done.exit_code, shown["job"], shown["state"]) == (code, str(name), outcome.value)


# Other workers in the midst of a phase


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 5), (64, 2), (2, 64)])
def test_other_workers_in_the_midst_leave_nothing_out_and_count_nothing_twice(
    story: KeyServiceStory, before: int, after: int
) -> None:
    """A lane is being walked when the job goes on with more workers or fewer: its walk is of the new lanes at once."""
    for number in range(RECORDS - 1):
        KeyServiceStory.begin(story.world, f"other {number}")
    with Bench.at(story.world) as bench:
        name = bench.begin(QUICK.model_copy(update={"workers": before, "grace_seconds": 3600}))
        change = Pace(workers=after)
        for task in conduct(bench.shop):
            walk(bench.shop, task, should_stop=NEVER.is_set, pause=once(partial(bench.resume, pace=change)))
        assert bench.job(name).parameters.workers == after
        bench.run()
        assert bench.job(name).phase is Phase.GRACE
        progress = bench.shop.read(lambda connection: count_progress(connection, name, Phase.WRITE))
        assert (progress.done, progress.skipped, progress.shards_left) == (RECORDS, 0, 0)
        assert [sorted(by_version) for by_version in bench.seals().values()] == [[1, 2]] * RECORDS
        bench.require_openable()


def once(do: Callable[[], None]) -> Callable[[float], None]:
    """A pause in which `do` is done, the first time."""
    left = [do]

    def pause(_: float) -> None:
        if left:
            left.pop()()

    return pause
