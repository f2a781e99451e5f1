"""The rotation of the master key: written beside, read back, flipped, undone, deleted, and never lost in between."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text, update

from carnet_keyservice.errors import RotationError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.master_keys.queries import find_sealing_versions
from carnet_keyservice.rotation import accept, master, seals
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.job import JobParameters, JobState, Phase
from carnet_keyservice.rotation.queries import count_skips, load_skips
from carnet_keyservice.tables import lock_seals
from carnet_protocol.ids import JobId
from carnet_protocol.statements import RotationReport, Signed
from carnet_protocol.tuples import KeyRole
from tests.support.keyservice import KeyServiceStory, code
from tests.support.keyservice import accept as accepted
from tests.support.master_keys import KeptKeys
from tests.support.rotation import QUICK, Bench
from tests.support.tables import count_rows, unchanged

GRACE = QUICK.model_copy(update={"grace_seconds": 3600})


@pytest.fixture
def bench(story: KeyServiceStory) -> Iterator[Bench]:
    """A workshop beside a key service with three locks: two of Alice's and one of another patient."""
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    KeyServiceStory.begin(story.world, "another")
    with Bench.at(story.world) as made:
        yield made


def findings(bench: Bench) -> list[str]:
    """What fsck finds."""
    with bench.world.engine.connect() as connection:
        return [each.check for each in check_all(connection, bench.shop.deployment, bench.shop.ring)]


def versions(bench: Bench) -> list[list[int]]:
    """Under which master keys each lock is sealed; each seal opens."""
    found = bench.seals()
    assert all(all(by_version.values()) for by_version in found.values())
    return [sorted(by_version) for by_version in found.values()]


def test_every_lock_is_sealed_anew_and_the_old_key_retires(bench: Bench) -> None:
    name = bench.begin()
    bench.run()
    job = bench.job(name)
    assert (job.state, job.phase, job.old, job.new, job.total) == (JobState.FINISHED, Phase.DONE, 1, 2, 3)
    assert versions(bench) == [[2], [2], [2]]
    assert bench.states() == {1: "deactivated", 2: "active"}
    assert findings(bench) == []


def test_what_was_released_before_is_released_after_and_in_between(bench: Bench, story: KeyServiceStory) -> None:
    item = story.item(KeyRole.CONTENT, lock=story.lock)

    def opens() -> None:
        assert None not in story.inner(story.release(story.bob, story.grant, [item]))

    bench.begin(GRACE)
    for _ in range(4):
        opens()
        bench.tick()
    assert bench.states() == {1: "suspended", 2: "active"}
    opens()
    bench.world.clock.now += 3599
    bench.tick()
    assert bench.states()[1] == "suspended"


def test_a_report_says_what_was_done_and_is_signed(bench: Bench) -> None:
    name = bench.begin()
    bench.run()
    report = bench.job(name).report
    assert report is not None
    signed = Signed.parse(report, RotationReport)
    signed.verify(bench.world.own.keyservice.key.public_key)
    body = signed.body
    assert (body.job, body.rotates, body.outcome, body.by) == (name, "master", "finished", None)
    assert (body.old_version, body.new_version, body.total, body.old_references) == (1, 2, 3, 0)
    assert {step.name: step.count for step in body.done} == {"write": 3, "delete": 3}
    assert body.skipped == ()


def test_the_log_says_when_each_key_came_and_went(bench: Bench) -> None:
    bench.begin()
    bench.run()
    with bench.world.engine.connect() as connection:
        kinds = connection.execute(
            text("SELECT kind FROM events WHERE kind LIKE 'job%' OR kind LIKE 'master%' ORDER BY position")
        ).scalars()
        assert list(kinds) == [
            "job.begun",
            "master_key.made",
            "master_key.suspended",
            "master_key.activated",
            "master_key.deactivated",
            "job.finished",
        ]


def test_beginning_twice_under_one_name_is_one_job_and_under_two_is_refused(bench: Bench) -> None:
    name = bench.begin()
    with unchanged(bench.world.engine):
        again = bench.shop.decide(lambda moment: accept.begin_job(moment, name, bench.job(name).kind, QUICK, by=None))
        assert again.id == name
        with pytest.raises(RotationError, match="has not ended"):
            bench.begin()


# The grace, and the way back


def test_until_the_grace_is_over_both_keys_stand_and_new_locks_are_under_both(
    bench: Bench, story: KeyServiceStory
) -> None:
    bench.begin(GRACE)
    bench.run()
    assert bench.states() == {1: "suspended", 2: "active"}
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    assert versions(bench) == [[1, 2]] * 4
    assert findings(bench) == []
    bench.world.clock.now += 3600
    bench.run()
    assert versions(bench) == [[2]] * 4


def test_an_abort_before_the_flip_leaves_everything_as_it_was(bench: Bench, story: KeyServiceStory) -> None:
    name = bench.begin()
    tasks = conduct(bench.shop)
    for task in tasks[: len(tasks) // 2]:
        bench.walk(task)
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    bench.abort()
    with bench.world.engine.connect() as connection:
        assert find_sealing_versions(connection) == {1}
    bench.run()
    assert bench.job(name).state is JobState.ABORTED
    assert bench.states() == {1: "active", 2: "pre-activation"}
    assert versions(bench) == [[1]] * 4
    assert findings(bench) == []


def test_an_abort_in_the_grace_flips_back(bench: Bench, story: KeyServiceStory) -> None:
    name = bench.begin(GRACE)
    bench.run()
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    bench.abort()
    bench.run()
    assert bench.job(name).state is JobState.ABORTED
    assert bench.states() == {1: "active", 2: "deactivated"}
    assert versions(bench) == [[1]] * 4
    assert findings(bench) == []
    report = bench.job(name).report
    assert report is not None
    assert Signed.parse(report, RotationReport).body.outcome == "aborted"


def test_once_old_seals_are_deleted_nothing_is_undone(bench: Bench) -> None:
    name = bench.begin()
    for _ in range(10):
        tasks = conduct(bench.shop)
        if bench.job(name).phase is Phase.DELETE:
            break
        for task in tasks:
            bench.walk(task)
    with unchanged(bench.world.engine), pytest.raises(RotationError, match="final"):
        bench.abort()
    bench.run()
    assert versions(bench) == [[2]] * 3


def test_aborting_twice_is_one_abort_and_of_nothing_is_refused(bench: Bench) -> None:
    with unchanged(bench.world.engine), pytest.raises(RotationError, match="nothing to abort"):
        bench.abort()
    bench.begin()
    bench.abort()
    with unchanged(bench.world.engine):
        bench.abort()
    bench.run()
    with unchanged(bench.world.engine):
        bench.abort()


def test_a_key_that_never_came_into_use_is_taken_by_the_next_rotation(bench: Bench) -> None:
    bench.begin()
    conduct(bench.shop)
    bench.abort()
    bench.run()
    bench.begin()
    bench.run()
    assert bench.states() == {1: "deactivated", 2: "active"}


def test_rotations_follow_one_another(bench: Bench) -> None:
    for _ in range(3):
        bench.begin()
        bench.run()
    assert bench.states() == {1: "deactivated", 2: "deactivated", 3: "deactivated", 4: "active"}
    assert versions(bench) == [[4]] * 3


# Damage and failure


def test_a_seal_that_does_not_open_is_reported_and_holds_nothing_up(bench: Bench) -> None:
    """Attack 26: one broken entry blocked the rotation of all others elsewhere."""
    with bench.world.engine.begin() as connection:
        victim = connection.execute(text("SELECT record FROM lock_seals LIMIT 1")).scalar_one()
        connection.execute(
            update(lock_seals).where(text("record = :victim")).values(sealed_seed=bytes(72)), {"victim": victim}
        )
    name = bench.begin()
    bench.run()
    assert bench.job(name).state is JobState.FINISHED
    with bench.world.engine.connect() as connection:
        (reason, count), *rest = count_skips(connection, name).items()
        assert rest == []
        assert "restore its row from a backup" in reason
        assert {skip.record.raw for skip in load_skips(connection, name)} == {bytes(victim)}
    kept = {place: sorted(by_version) for place, by_version in bench.seals().items()}
    assert [kept[place] for place in kept if place[0] == bytes(victim)] == [[1]] * count
    assert {tuple(kept[place]) for place in kept if place[0] != bytes(victim)} == {(2,)}


def test_what_an_earlier_rotation_left_is_left_by_the_next_which_ends(bench: Bench) -> None:
    """Its only seal is under a key that is rotated no more: it was lacking at each check, for ever."""
    with bench.world.engine.begin() as connection:
        victim = connection.execute(text("SELECT record FROM lock_seals ORDER BY record LIMIT 1")).scalar_one()
        connection.execute(
            update(lock_seals).where(text("record = :victim")).values(sealed_seed=bytes(72)), {"victim": victim}
        )
    bench.begin()
    bench.run()
    name = bench.begin()
    for _ in range(4):
        bench.tick()
    assert bench.job(name).state is JobState.FINISHED
    with bench.world.engine.connect() as connection:
        skips = load_skips(connection, name)
    assert {skip.record.raw for skip in skips} == {bytes(victim)}
    assert {skip.reason for skip in skips} == {master.UNOPENABLE}
    assert {tuple(keys) for place, keys in bench.seals().items() if place[0] == bytes(victim)} == {(1,)}
    assert {tuple(keys) for place, keys in bench.seals().items() if place[0] != bytes(victim)} == {(3,)}


def test_a_row_restored_after_a_rotation_releases_nothing_and_is_brought_along_by_the_next(
    bench: Bench, story: KeyServiceStory
) -> None:
    """Its only seal is under a retired master key: that serves the rotation, and never a release."""
    with bench.world.engine.begin() as connection:
        old = connection.execute(text("SELECT record, version, sealed_seed FROM lock_seals")).all()
    bench.begin()
    bench.run()
    with bench.world.engine.begin() as connection:
        for row in old:
            connection.execute(
                text(
                    "UPDATE lock_seals SET master_key_version = 1, sealed_seed = :sealed_seed"
                    " WHERE record = :record AND version = :version"
                ),
                row._asdict(),
            )
    with unchanged(bench.world.engine):
        assert code(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)])) == (503, "unavailable")
    name = bench.begin()
    bench.run()
    assert bench.job(name).state is JobState.FINISHED
    assert versions(bench) == [[3]] * 3
    assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    with bench.world.engine.connect() as connection:
        assert load_skips(connection, name) == []


def begin_and_make_a_lock_behind_the_walk(bench: Bench, story: KeyServiceStory) -> JobId:
    """A job whose walk is over, and a lock that it did not see."""
    name = bench.begin()
    for task in conduct(bench.shop):
        bench.walk(task)
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    return name


def test_a_new_lock_whose_new_seal_is_damaged_is_sealed_anew_before_the_flip(
    bench: Bench, story: KeyServiceStory
) -> None:
    name = begin_and_make_a_lock_behind_the_walk(bench, story)
    damage(bench, "master_key_version = 2 AND version = (SELECT max(version) FROM lock_seals)")
    bench.run()
    assert bench.job(name).state is JobState.FINISHED
    assert versions(bench) == [[2]] * 4
    bench.require_openable()


def test_a_new_lock_that_opens_with_nothing_is_skipped_and_holds_no_flip_up(
    bench: Bench, story: KeyServiceStory
) -> None:
    name = begin_and_make_a_lock_behind_the_walk(bench, story)
    damage(bench, "version = (SELECT max(version) FROM lock_seals)")
    bench.run()
    assert bench.job(name).state is JobState.FINISHED
    with bench.world.engine.connect() as connection:
        assert [skip.reason for skip in load_skips(connection, name)] == [master.UNOPENABLE]


@pytest.mark.parametrize("is_aborted", [False, True])
def test_a_seal_that_was_damaged_in_the_grace_costs_no_good_one(bench: Bench, *, is_aborted: bool) -> None:
    """What is to stay is opened before the other one goes."""
    name = bench.begin(GRACE)
    bench.run()
    kept, gone = (1, 2) if is_aborted else (2, 1)
    damage(
        bench,
        "record = (SELECT record FROM lock_seals ORDER BY record LIMIT 1) AND master_key_version = :kept",
        kept=kept,
    )
    if is_aborted:
        bench.abort()
    else:
        bench.world.clock.now += 3600
    bench.run()
    assert bench.job(name).state is (JobState.ABORTED if is_aborted else JobState.FINISHED)
    first = min(bench.seals())[0]
    assert {tuple(sorted(keys)) for place, keys in bench.seals().items() if place[0] == first} == {(1, 2)}
    assert {tuple(keys) for place, keys in bench.seals().items() if place[0] != first} == {(kept,)}
    with bench.world.engine.connect() as connection:
        assert {skip.reason for skip in load_skips(connection, name)} == {master.DAMAGED}
    last = bench.begin()
    bench.run()
    assert bench.job(last).state is JobState.FINISHED
    bench.require_openable()
    assert gone not in {key for keys in bench.seals().values() for key in keys}


def damage(bench: Bench, which: str, **values: int) -> None:
    """Have the seals that `which` names open with nothing."""
    with bench.world.engine.begin() as connection:
        damaged = update(lock_seals).where(text(which).bindparams(**values)).values(sealed_seed=bytes(72))
        assert connection.execute(damaged).rowcount


@pytest.mark.parametrize("where", ["master.load_pairs", "conductor.count_lacking"])
def test_a_fault_of_ours_stops_the_job_and_is_seen_in_its_status(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Not tried again ten times a second, with nobody told but the log; nothing of it shows but its kind."""
    name = bench.begin()
    with monkeypatch.context() as patch:

        def fail(*_: object, **__: object) -> None:
            raise LookupError("a secret, perhaps")

        patch.setattr(f"carnet_keyservice.rotation.{where}", fail)
        bench.run()
        job = bench.job(name)
        assert (job.state, job.problem) == (JobState.PAUSED, "internal: LookupError; please report it")
    bench.resume()
    bench.run()
    assert bench.job(name).state is JobState.FINISHED


def test_a_torn_new_seal_is_made_anew(bench: Bench) -> None:
    """As after a write that was cut off: it is neither trusted nor in the way."""
    bench.begin(GRACE)
    tasks = conduct(bench.shop)
    with bench.world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO lock_seals (record, version, master_key_version, sealed_seed)"
                " SELECT record, version, 2, sealed_seed FROM lock_seals"
            )
        )
    for task in tasks:
        bench.walk(task)
    bench.run()
    assert versions(bench) == [[1, 2]] * 3


def test_a_database_that_gives_back_something_else_stops_the_job_before_the_flip(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = seals.replace_seals

    def lossy(connection: Connection, given: list[seals.NewSeal], **more: Any) -> None:
        kept(connection, [replace(seal, sealed_seed=bytes(72)) for seal in given], **more)

    monkeypatch.setattr("carnet_keyservice.rotation.master.replace_seals", lossy)
    name = bench.begin()
    bench.run()
    job = bench.job(name)
    assert (job.state, job.phase) == (JobState.PAUSED, Phase.WRITE)
    assert job.problem == "a seal that was just written does not open: check the disk and the database"
    assert bench.states()[1] == "active"
    bench.require_openable()
    monkeypatch.undo()
    bench.resume()
    bench.run()
    assert versions(bench) == [[2]] * 3


def test_a_provider_that_is_away_stops_the_job_and_serving_goes_on(story: KeyServiceStory) -> None:
    """Attack 28."""
    kept = KeptKeys({1: story.world.master_keys._keys[1]})
    ring = MasterKeys([kept])
    ring.hold(1, kept.keys[1])
    with Bench.at(story.world, ring) as bench:
        kept.is_away = True
        name = bench.begin()
        bench.run()
        job = bench.job(name)
        assert (job.state, job.phase, job.problem) == (JobState.PAUSED, Phase.PREPARE, "the provider is away")
        item = story.item(KeyRole.CONTENT)
        assert None not in story.inner(story.release(story.bob, story.grant, [item]))
        kept.is_away = False
        bench.resume()
        bench.run()
        assert bench.job(name).state is JobState.FINISHED
        assert versions(bench) == [[2]]


def test_a_provider_that_the_settings_do_not_name_is_told(bench: Bench) -> None:
    name = bench.begin(QUICK.model_copy(update={"provider": "pkcs11"}))
    bench.run()
    assert bench.job(name).problem == "the settings name no provider 'pkcs11' of master keys"


def test_a_lock_made_while_others_are_written_is_under_both_keys(bench: Bench, story: KeyServiceStory) -> None:
    bench.begin(GRACE)
    tasks = conduct(bench.shop)
    bench.walk(tasks[0])
    accepted(story.world.post(f"{story.path}/locks", story.alice))
    for task in tasks[1:]:
        bench.walk(task)
    bench.run()
    assert versions(bench) == [[1, 2]] * 4


def test_what_is_lacking_at_the_check_is_written_again(bench: Bench) -> None:
    """A row that came by a restore, say, after its shard was walked."""
    name = bench.begin(GRACE)
    tasks = conduct(bench.shop)
    for task in tasks:
        bench.walk(task)
    with bench.world.engine.begin() as connection:
        connection.execute(text("DELETE FROM lock_seals WHERE master_key_version = 2"))
    bench.run()
    assert versions(bench) == [[1, 2]] * 3
    assert bench.job(name).phase is Phase.GRACE


def test_the_grace_of_a_paused_rotation_does_not_end_before_it_goes_on(bench: Bench) -> None:
    name = bench.begin(GRACE)
    bench.run()
    job = bench.job(name)
    bench.shop.decide(lambda moment: accept.pause_job(moment, job, problem=None))
    with unchanged(bench.world.engine), pytest.raises(RotationError, match="--resume` first"):
        bench.shop.decide(lambda moment: accept.end_grace(moment, 1))
    bench.resume()
    bench.shop.decide(lambda moment: accept.end_grace(moment, 1))
    bench.run()
    assert bench.job(name).state is JobState.FINISHED


# Two at once


@pytest.mark.parametrize("workers", [1, 3, 64])
def test_lanes_are_walked_in_any_order_and_cover_everything(bench: Bench, workers: int) -> None:
    name = bench.begin(JobParameters(rate=1000, workers=workers, grace_seconds=3600))
    lanes = conduct(bench.shop)
    assert [lane.lane for lane in lanes] == list(range(workers))
    for lane in reversed(lanes):
        bench.walk(lane)
    conduct(bench.shop)
    assert versions(bench) == [[1, 2]] * 3
    assert bench.job(name).phase is Phase.GRACE


def test_a_walk_of_a_phase_that_is_over_does_nothing(bench: Bench) -> None:
    bench.begin(GRACE)
    tasks = conduct(bench.shop)
    for task in tasks:
        bench.walk(task)
    bench.run()
    with unchanged(bench.world.engine):
        for task in tasks:
            bench.walk(task)


def test_a_paused_job_stands_still_and_goes_on_where_it_was(bench: Bench) -> None:
    name = bench.begin()
    tasks = conduct(bench.shop)
    bench.walk(tasks[0])
    bench.shop.decide(lambda moment: accept.pause_job(moment, bench.job(name), problem=None))
    with unchanged(bench.world.engine):
        for task in tasks:
            bench.walk(task)
        assert conduct(bench.shop) == []
    bench.resume()
    bench.run()
    assert bench.job(name).state is JobState.FINISHED


def test_there_is_nothing_to_go_on_with_where_no_job_began(bench: Bench) -> None:
    with unchanged(bench.world.engine), pytest.raises(RotationError, match="start one without --resume"):
        bench.resume()


def test_an_empty_database_rotates_too(world: object, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue("world")
    with Bench.at(made) as bench:
        name = bench.begin()
        bench.run()
        assert bench.job(name).state is JobState.FINISHED
        assert bench.states() == {1: "deactivated", 2: "active"}
        assert count_rows(made.engine, "lock_seals") == 0
        assert JobId(name.raw) == name
