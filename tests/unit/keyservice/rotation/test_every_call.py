"""Attack 25: each call that a rotation of the master key makes fails in turn; it pauses with what to mend, or goes on.

The database, its writer and the provider of master keys are counted, and the n-th call fails, for n = 1, 2, 3 … until a
run comes off without a failure: before it did anything, and after it did all and the answer was lost, with the errors
that such a call raises. After each: releases are answered, `fsck` finds nothing, the job goes on to its end, nothing is
doubled. The rotation of record locks has the same in `tests/unit/lock_rotation/test_every_call.py`.
"""

from collections import Counter
from functools import partial

import pytest
from sqlalchemy import text

from carnet_keyservice.fsck import check_all
from carnet_keyservice.rotation.job import JobState, Phase
from carnet_keyservice.rotation.queries import count_progress
from carnet_protocol.ids import JobId
from carnet_protocol.tuples import KeyRole
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.nth_call import Faults, failing_workshop, run_as_the_program_does
from tests.support.rotation import QUICK, Bench, few_shards

GRACE = QUICK.model_copy(update={"grace_seconds": 3600})
LOCKS = 3
MOST = 200


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts instead of 64, so that a run has few calls; records of the story stand in both."""
    few_shards(monkeypatch)


def require_well(bench: Bench, story: KeyServiceStory) -> None:
    """Assert that releases are answered, each lock opens, and `fsck` finds nothing."""
    item = story.item(KeyRole.CONTENT, lock=story.lock)
    assert None not in story.inner(story.release(story.bob, story.grant, [item]))
    bench.require_openable()
    with bench.world.engine.connect() as connection:
        assert list(check_all(connection, bench.shop.deployment, bench.shop.ring)) == []


def events_of(bench: Bench, job: JobId) -> Counter[str]:
    """How often each kind of event says `job`, pauses aside."""
    query = text(
        "SELECT kind FROM events WHERE CAST(body AS TEXT) LIKE :job AND kind NOT IN ('job.paused', 'job.resumed')"
    )
    with bench.world.engine.connect() as connection:
        return Counter(connection.execute(query, {"job": f"%{job}%"}).scalars())


def begin(bench: Bench, outcome: str) -> JobId:
    """A job that only has to be run."""
    if outcome == "finished":
        return bench.begin()
    name = bench.begin(GRACE)
    bench.run()
    bench.abort()
    return name


def do(bench: Bench, outcome: str) -> JobId:
    """A job, from its beginning to its end."""
    name = begin(bench, outcome)
    bench.run()
    return name


def finish(bench: Bench, name: JobId) -> None:
    """What an operator does: read the problem, mend it, resume."""
    job = bench.job(name)
    if job.state is JobState.PAUSED:
        assert job.problem
        bench.resume()
        bench.run()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_after", [False, True], ids=["undone", "answer lost"])
@pytest.mark.parametrize("outcome", ["finished", "aborted"])
def test_whichever_call_fails_the_job_ends_and_nothing_is_doubled(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch, outcome: str, *, is_after: bool
) -> None:
    accept(story.world.post(f"{story.path}/locks", story.alice))
    KeyServiceStory.begin(story.world, "another")
    faults = Faults()
    with Bench.at(story.world) as bench:
        shop = failing_workshop(faults, bench.shop, monkeypatch)
        usual = events_of(bench, do(bench, outcome))
        for at in range(1, MOST):
            active = max(version for version, state in bench.states().items() if state == "active")
            name = begin(bench, outcome)
            faults.arm(at, is_after=is_after)
            run_as_the_program_does(shop)
            was_made = faults.disarm()
            require_well(bench, story)
            finish(bench, name)
            require_well(bench, story)
            job = bench.job(name)
            assert (job.state.value, job.problem) == (outcome, None), (at, faults.failed[-1])
            assert events_of(bench, name) == usual, (at, faults.failed[-1])
            last = active if outcome == "aborted" else job.new
            assert [version for version, state in bench.states().items() if state == "active"] == [last]
            assert {tuple(by_version) for by_version in bench.seals().values()} == {(last,)}
            for phase in {"finished": (Phase.WRITE, Phase.DELETE), "aborted": (Phase.UNDO,)}[outcome]:
                progress = bench.shop.read(partial(count_progress, job=name, phase=phase))
                assert (progress.done, progress.skipped) == (LOCKS, 0), (at, faults.failed[-1])
            if not was_made:
                break
    assert {"read", "decide", "write"} <= set(faults.failed)
    assert outcome == "aborted" or "make" in faults.failed
    assert len(faults.failed) >= 15, faults.failed
