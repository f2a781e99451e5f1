"""Attack 25: each call that a rotation of record locks makes fails in turn; it pauses with what to mend, or goes on.

The database, its writer and the vault are counted, and the n-th call fails, for n = 1, 2, 3 … until a run comes off
without a failure: before it did anything, and after it did all and the answer was lost. After each: everybody opens
what is theirs, the job goes on to its end under one new lock, and `fsck` finds nothing at either server.
"""

from dataclasses import replace

import httpx2
import pytest

from carnet.transport import ServerName
from carnet_keyservice.fsck import check_all
from carnet_keyservice.lock_rotation import locks, procedure
from carnet_keyservice.rotation import accept, queries
from carnet_keyservice.rotation import job as jobs
from carnet_keyservice.rotation.job import AS_BEGUN, JobKind, JobState
from carnet_keyservice.rotation.queries import find_job
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.ids import JobId
from carnet_server.logs import make_log
from tests.support.nth_call import Faults, failing_workshop, run_as_the_program_does
from tests.support.rotation import QUICK
from tests.unit.lock_rotation.conftest import Story

MOST = 200
EVERY_SO_OFTEN = 8
"""How many failures pass until everybody opens everything again: that takes as long as all the rest."""


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """One part instead of 64."""
    monkeypatch.setattr(jobs, "SHARDS", 1)
    monkeypatch.setattr(queries, "SHARDS", 1)


@pytest.fixture
def shop(story: Story) -> Workshop:
    """The workshop of a program beside the key service."""
    store = story.rotation.rotator.locks
    return Workshop(
        engine=store.engine,
        writer=store.writer,
        deployment=store.deployment,
        server_key=store.server_key,
        ring=store.keys._ring,
        log=make_log(story.world.logs[ServerName.KEYSERVICE], "debug"),
        clock=store.clock,
        rotator=story.rotation.rotator,
    )


def failing(faults: Faults, shop: Workshop, patch: pytest.MonkeyPatch) -> Workshop:
    """`shop` with the calls of its rotator counted too: what it reads, what it decides, and what it asks the vault."""
    rotator = shop.rotator
    assert rotator is not None
    made = failing_workshop(faults, shop, patch)
    for module in (locks, procedure):
        patch.setattr(module, "reader", faults.reader)
    http = rotator.vault._http
    send = http.send

    def ask(request: httpx2.Request, **more: object) -> httpx2.Response:
        return faults.call("ask", lambda: httpx2.ReadError("cut", request=request), lambda: send(request, **more))  # type: ignore[arg-type]  what it is given

    patch.setattr(http, "send", ask)
    patch.setattr("carnet_keyservice.vault._PAUSES_SECONDS", ())
    object.__setattr__(made, "rotator", replace(rotator, locks=replace(rotator.locks, writer=made.writer)))
    return made


@pytest.mark.parametrize("is_after", [False, True], ids=["undone", "answer lost"])
def test_whichever_call_fails_the_job_ends_and_nothing_is_doubled(
    story: Story, shop: Workshop, monkeypatch: pytest.MonkeyPatch, *, is_after: bool
) -> None:
    faults = Faults()
    doomed = failing(faults, shop, monkeypatch)
    for at in range(1, MOST):
        name = JobId.make()
        shop.decide(lambda moment, name=name: accept.begin_job(moment, name, JobKind.LOCKS, QUICK, by=None))
        faults.arm(at, is_after=is_after)
        run_as_the_program_does(doomed)
        was_made = faults.disarm()
        if at % EVERY_SO_OFTEN == 0:
            story.require_all_open()
        job = shop.read(lambda connection, name=name: find_job(connection, name))
        assert job is not None
        if job.state is JobState.PAUSED:
            assert job.problem
            shop.decide(lambda moment: accept.resume_job(moment, JobKind.LOCKS, AS_BEGUN, by=None))
            run_as_the_program_does(shop)
            job = shop.read(lambda connection, name=name: find_job(connection, name))
        assert job is not None
        assert (job.state, job.problem) == (JobState.FINISHED, None), (at, faults.failed[-1])
        # One lock for one job, whatever failed: everything is under it, and what was before is retired.
        assert story.rotation.versions(story.record) == {number: number <= at for number in range(1, at + 2)}
        assert story.rotation.used(story.record) == {at + 1: 8}
        if not was_made:
            break
    story.require_all_open()
    with shop.engine.connect() as connection:
        assert list(check_all(connection, shop.deployment, shop.ring)) == []
    assert {"read", "decide", "write", "ask"} <= set(faults.failed)
    assert len(faults.failed) >= 15, faults.failed
