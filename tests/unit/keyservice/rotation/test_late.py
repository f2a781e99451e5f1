"""Workers that come late: planned in one phase, they write in another, and do neither good nor harm."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from carnet_keyservice.errors import MovedOnError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.rotation import master
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.job import SHARDS, JobState, Phase
from carnet_keyservice.rotation.queries import load_shards
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.ids import JobId
from tests.support.keyservice import KeyServiceStory
from tests.support.keyservice import accept as accepted
from tests.support.rotation import NEVER, QUICK, Bench
from tests.support.tables import unchanged

GRACE = QUICK.model_copy(update={"grace_seconds": 3600})


@pytest.fixture
def bench(story: KeyServiceStory) -> Iterator[Bench]:
    """A workshop beside a key service with three locks of two records."""
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    KeyServiceStory.begin(story.world, "another")
    with Bench.at(story.world) as made:
        yield made


class LateWorkshop(Workshop):
    """A workshop whose first write comes late: `meanwhile` happens before it."""

    __slots__ = ("meanwhile",)

    @classmethod
    def beside(cls, shop: Workshop, meanwhile: Callable[[], object]) -> "LateWorkshop":
        """One with the parts of `shop`."""
        made = cls(shop.engine, shop.writer, shop.deployment, shop.server_key, shop.ring, shop.log, shop.clock)
        object.__setattr__(made, "meanwhile", [meanwhile])
        return made

    def write(self, work: Callable[..., Any]) -> Any:
        while self.meanwhile:
            self.meanwhile.pop()()
        return Workshop.write(self, work)


def late_batch(bench: Bench, name: JobId, phase: Phase, meanwhile: Callable[[], object]) -> None:
    """Plan a batch of the first lock's shard, let `meanwhile` happen, then write; nothing may change by that."""
    record = min(bench.seals())[0]
    job = bench.job(name)
    shard = bench.shop.read(lambda connection: load_shards(connection, name, phase))[record[0] // (256 // SHARDS)]

    def then() -> None:
        meanwhile()
        quiet.__enter__()

    quiet = unchanged(bench.world.engine)
    with pytest.raises(MovedOnError):
        master.take_batch(LateWorkshop.beside(bench.shop, then), job, shard, limit=1000)
    quiet.__exit__(None, None, None)


def require_clean(bench: Bench) -> None:
    """Assert that every lock opens and that nothing is wrong."""
    bench.require_openable()
    with bench.world.engine.connect() as connection:
        assert list(check_all(connection, bench.shop.deployment, bench.shop.ring)) == []


def test_two_walks_in_one_lane_count_each_lock_once(bench: Bench) -> None:
    """The second comes in where the first has planned its batch, and walks to the end."""
    name = bench.begin(GRACE)
    (lane,) = conduct(bench.shop)
    late = LateWorkshop.beside(bench.shop, lambda: bench.walk(lane))
    walk(late, lane, should_stop=NEVER.is_set, pause=lambda _: None)
    conduct(bench.shop)
    with bench.world.engine.connect() as connection:
        done = connection.execute(text("SELECT sum(done) FROM job_shards WHERE phase = 'write'")).scalar_one()
    assert done == 3
    assert bench.job(name).phase is Phase.GRACE
    require_clean(bench)


def test_a_late_repair_takes_no_good_seal_away(bench: Bench) -> None:
    """It had planned to replace a bad row; the row was repaired meanwhile, and the old seals are gone."""
    name = bench.begin()
    conduct(bench.shop)
    with bench.world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO lock_seals (record, version, master_key_version, sealed_seed)"
                " SELECT record, version, 2, record FROM lock_seals WHERE master_key_version = 1"
            )
        )
    late_batch(bench, name, Phase.WRITE, bench.run)
    assert bench.job(name).state is JobState.FINISHED
    require_clean(bench)


def test_a_late_write_puts_nothing_back_that_was_undone(bench: Bench) -> None:
    name = bench.begin(GRACE)
    conduct(bench.shop)

    def abort() -> None:
        bench.abort()
        bench.run()

    late_batch(bench, name, Phase.WRITE, abort)
    assert {tuple(versions) for versions in bench.seals().values()} == {(1,)}
    require_clean(bench)


def test_a_late_undoing_takes_nothing_from_the_next_job(bench: Bench) -> None:
    name = bench.begin(GRACE)
    for task in conduct(bench.shop):
        bench.walk(task)
    bench.abort()

    def next_job() -> None:
        bench.run()
        bench.begin(GRACE)
        bench.run()

    late_batch(bench, name, Phase.UNDO, next_job)
    assert {tuple(sorted(versions)) for versions in bench.seals().values()} == {(1, 2)}
    require_clean(bench)


def test_a_late_deletion_takes_nothing_from_the_next_job(bench: Bench) -> None:
    name = bench.begin()
    while bench.job(name).phase is not Phase.DELETE:
        for task in conduct(bench.shop):
            if task.phase is Phase.WRITE:
                bench.walk(task)

    def next_job() -> None:
        bench.run()
        bench.begin(GRACE)
        bench.run()

    late_batch(bench, name, Phase.DELETE, next_job)
    require_clean(bench)


def test_a_new_lock_is_not_sealed_under_a_key_of_an_aborted_job(bench: Bench, story: KeyServiceStory) -> None:
    """That key could never be destroyed: something would always be sealed under it."""
    bench.begin(GRACE)
    conduct(bench.shop)
    bench.abort()
    bench.run()
    assert bench.states() == {1: "active", 2: "pre-activation"}
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    assert {tuple(versions) for versions in bench.seals().values()} == {(1,)}
