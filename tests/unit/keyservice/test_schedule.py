"""What is due: by the age of keys, the backup horizon, and a rotation that stands still; in counts and in gauges."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import create_engine, update

from carnet_keyservice.gauges import ScheduleGauges
from carnet_keyservice.rotation import accept as jobs
from carnet_keyservice.rotation.destruction import check_master_key
from carnet_keyservice.schedule import Policy, Schedule, load_schedule
from carnet_keyservice.status import count_due
from carnet_keyservice.tables import master_keys, record_locks
from carnet_keyservice.words import DAY
from carnet_server.database import reader
from carnet_server.deployment import Moment
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.people import NOW
from tests.support.rotation import QUICK, Bench

POLICY = Policy(master_key_seconds=100 * DAY, record_lock_seconds=50 * DAY, backup_horizon_seconds=9 * DAY)
GRACE = QUICK.model_copy(update={"grace_seconds": 3600})


@pytest.fixture
def bench(story: KeyServiceStory) -> Iterator[Bench]:
    """A workshop beside a key service with one lock and a master key, both made now."""
    with story.world.engine.begin() as connection:
        connection.execute(update(master_keys).values(made_at=NOW, changed_at=NOW))
    with Bench.at(story.world) as made:
        yield made


def due(bench: Bench) -> dict[str, int]:
    with reader(bench.world.engine) as connection:
        return count_due(connection, POLICY, now=bench.world.clock.now)


def schedule(bench: Bench) -> Schedule:
    with reader(bench.world.engine) as connection:
        return load_schedule(connection, POLICY, now=bench.world.clock.now)


def gauges(bench: Bench) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ScheduleGauges(bench.world.engine, POLICY, bench.world.clock))
    lines = generate_latest(registry).decode().splitlines()
    pairs = [line.removeprefix("carnet_keyservice_").split() for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_ages_run_and_what_is_due_becomes_overdue(bench: Bench) -> None:
    assert due(bench) == {
        "master_key_age": 0,
        "master_key_due_in": 100 * DAY,
        "oldest_record_lock_age": 0,
        "oldest_record_lock_due_in": 50 * DAY,
        "master_keys_destroyable": 0,
        "master_keys_not_yet_destroyed_by_their_provider": 0,
        "rotations_that_need_somebody": 0,
    }
    bench.world.clock.now += 60 * DAY
    found = due(bench)
    assert (found["master_key_age"], found["master_key_due_in"]) == (60 * DAY, 40 * DAY)
    assert (found["oldest_record_lock_age"], found["oldest_record_lock_due_in"]) == (60 * DAY, -10 * DAY)


@pytest.mark.parametrize("column", ["retired", "destroyed"])
def test_a_lock_that_is_out_of_use_is_not_the_oldest(bench: Bench, story: KeyServiceStory, column: str) -> None:
    story.world.clock.now += 7 * DAY
    accept(story.world.post(f"{story.path}/locks", story.alice))
    story.world.clock.now += DAY
    assert due(bench)["oldest_record_lock_age"] == 8 * DAY
    with story.world.engine.begin() as connection:
        older = record_locks.c.version == 1
        connection.execute(update(record_locks).where(older).values({column: record_locks.c.made}))
    assert due(bench)["oldest_record_lock_age"] == DAY
    with story.world.engine.begin() as connection:
        connection.execute(update(record_locks).values(destroyed=record_locks.c.made))
    assert schedule(bench).oldest_lock_made_at is None
    assert "oldest_record_lock_due_in" not in due(bench)


def test_a_retired_key_may_go_once_the_horizon_has_passed_and_no_sooner(bench: Bench) -> None:
    bench.begin()
    bench.run()
    bench.world.clock.now += 9 * DAY - 1
    assert schedule(bench).destroyable == ()
    bench.world.clock.now += 1
    assert schedule(bench).destroyable == (1,)
    assert bench.states() == {1: "deactivated", 2: "active"}


def test_what_is_called_destroyable_is_what_a_destruction_would_find(bench: Bench) -> None:
    def is_ready(version: int) -> bool:
        with reader(bench.world.engine) as connection:
            moment = Moment(connection, bench.world.clock.now, bench.shop.deployment)
            checks = check_master_key(moment, version, horizon_seconds=POLICY.backup_horizon_seconds)
        return all(check.is_met for check in checks)

    seen = []
    for parameters in (QUICK, GRACE):
        bench.begin(parameters)
        bench.run()
        for _ in range(2):
            seen.append({version for version in bench.states() if is_ready(version)})
            assert seen[-1] == set(schedule(bench).destroyable)
            bench.world.clock.now += 9 * DAY
    assert seen == [set(), {1}, set(), set()]  # while the second rotation is under way, none


def test_a_key_that_something_is_sealed_under_may_not_go(bench: Bench) -> None:
    bench.begin()
    bench.run()
    with bench.world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE lock_seals SET master_key_version = 1")
    bench.world.clock.now += 10 * DAY
    assert schedule(bench).destroyable == ()


def test_a_rotation_that_stands_still_needs_somebody_and_one_that_goes_on_does_not(bench: Bench) -> None:
    name = bench.begin(GRACE)
    bench.run()
    assert due(bench)["rotations_that_need_somebody"] == 0
    bench.shop.decide(lambda moment: jobs.pause_job(moment, bench.job(name), problem=None))
    assert due(bench)["rotations_that_need_somebody"] == 1
    bench.resume()
    assert due(bench)["rotations_that_need_somebody"] == 0
    bench.shop.decide(lambda moment: jobs.note_problem(moment, bench.job(name), "the token is away"))
    assert due(bench)["rotations_that_need_somebody"] == 1


def test_the_gauges_say_the_same(bench: Bench) -> None:
    bench.world.clock.now += DAY
    bench.begin()
    bench.tick()
    found = gauges(bench)
    assert found["master_key_age_seconds"] == found["record_lock_age_seconds"] == DAY
    assert (found["job_items"], found["job_items_done"], found["job_needs_somebody"]) == (1, 1, 0)
    bench.run()
    found = gauges(bench)
    assert (found["job_items"], found["job_items_done"], found["master_keys_destroyable"]) == (0, 0, 0)
    bench.world.clock.now += 9 * DAY
    assert gauges(bench)["master_keys_destroyable"] == 1


def test_a_database_that_is_away_leaves_no_gauges(bench: Bench) -> None:
    bench.world.engine = create_engine("postgresql+psycopg://nobody@/none?host=/nonexistent")
    assert gauges(bench) == {}
