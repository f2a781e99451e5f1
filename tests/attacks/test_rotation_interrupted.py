"""Attacks 28 and 29: rotations that meet one another, a full disk, a lost provider, and people who go on working.

The programs are real, on SQLite. Elsewhere:

* record locks rotate while patients deposit, move, revoke and remove: `unit/lock_rotation/test_meanwhile.py`
* locks made in each phase of a master key's rotation, two walks in one shard: `unit/keyservice/rotation/test_master.py`
* several workers on PostgreSQL, of which one dies: `system/keyservice/test_rotation.py`
* each system call fails once: `system/keyservice/test_rotation_kills.py`; of record locks, at either server:
  `system/keyservice/test_lock_rotation_kills.py`
* each call inside fails once: `unit/keyservice/rotation/test_every_call.py`
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from carnet_keyservice.rotation.job import JobState, Phase
from carnet_protocol.tuples import KeyRole
from tests.support.children import ending
from tests.support.keyservice import accept, code
from tests.support.ports import held_port
from tests.support.records import update_of
from tests.support.rotation_stage import Stage, has_ended
from tests.support.syscalls import ENOSPC, Point


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A key service with three locks."""
    with Stage.lay_out(tmp_path) as made:
        yield made
        made.process.end()


def require_rotated_once(stage: Stage) -> None:
    """Assert that one rotation came to its end, with one new key."""
    stage.wait(lambda: has_ended(stage.job()))
    assert stage.job().state == "finished"
    assert stage.keys() == {1: ("deactivated", 0), 2: ("active", 3)}
    assert stage.events("master_key.made", "job.begun", "job.finished") == [
        "job.begun",
        "master_key.made",
        "job.finished",
    ]
    assert stage.releases()
    stage.require_clean()


def test_of_two_who_begin_at_once_one_is_refused_and_nothing_is_done_twice(stage: Stage) -> None:
    stage.process.start()
    words = stage.process.command("rotate", "master", "--grace", "600")
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                ending(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            )
            for _ in range(2)
        ]
        stage.wait(lambda: any(each.poll() is not None for each in both))
        (refused,) = [each for each in both if each.poll() is not None]
        (other,) = [each for each in both if each is not refused]
        _, said = refused.communicate()
        assert refused.returncode == 1
        assert "(master) has not ended" in said
        stage.wait(lambda: stage.job().phase is Phase.GRACE)
        assert stage.process.run("keys", "retire", "1").returncode == 0
        other.communicate(timeout=60)
        assert other.returncode == 0
    require_rotated_once(stage)


def test_two_programs_on_one_database_do_one_job_once(stage: Stage) -> None:
    """One has the baton; the key that it makes, the other loads before it comes into use."""
    stage.process.start()
    with held_port() as port:
        environment = {**os.environ, "CARNET_KEYSERVICE_LISTEN_PORT": str(port)}
        other = subprocess.Popen(stage.process.command("serve"), stdout=subprocess.PIPE, text=True, env=environment)
        assert other.stdout is not None
        assert "ready" in other.stdout.readline()
        try:
            stage.begin()
            require_rotated_once(stage)
            assert other.poll() is None
        finally:
            other.kill()
            other.communicate()


def test_on_a_full_disk_nothing_is_lost_and_the_job_goes_on_by_itself_when_there_is_room(stage: Stage) -> None:
    """What cannot be logged is not released. Nobody has to start or resume anything."""
    stage.process.start()
    with Point("pwrite64", 1, ENOSPC, is_lasting=True).set(stage.process.pid):
        stage.begin()
        item = stage.story.item(KeyRole.CONTENT)
        refused = stage.story.release(stage.story.bob, stage.story.grant, [item])
        assert code(refused)[0] in {503, 507}
        assert stage.job().state is JobState.RUNNING
        assert stage.keys() == {1: ("active", 3)}
        stage.require_clean()
    require_rotated_once(stage)


def test_a_folder_of_keys_that_is_lost_half_way_stops_the_job_and_nothing_else(stage: Stage) -> None:
    stage.process.start()
    keys, away = stage.root / "keys", stage.root / "away"
    keys.rename(away)
    stage.begin()
    stage.wait(lambda: stage.job().state is JobState.PAUSED)
    job = stage.job()
    assert job.phase is Phase.PREPARE
    assert "master-2.key" in str(job.problem)
    assert stage.releases()
    assert stage.keys() == {1: ("active", 3)}
    away.rename(keys)
    exit_code, done = stage.process.run_json("rotate", "master", "--resume")
    assert (exit_code, done["state"]) == (0, "finished")
    require_rotated_once(stage)


def test_grants_and_revocations_in_any_phase_are_as_without_a_rotation(stage: Stage) -> None:
    """A new reader opens at once, one who is revoked never again, and the locks that are made meanwhile are safe."""
    stage.process.start()
    story = stage.story
    now = story.world.clock()
    stage.begin(grace=3600)
    for _ in range(5):
        given = story.own.grant(
            story.bob,
            story.attestations["bob"],
            compartments=[story.general],
            not_before=now - 60,
            expires=now + 3600,
            at=now,
        )
        accept(story.world.post_statements(story.own, update_of(given)))
        item = story.item(KeyRole.CONTENT)
        assert None not in story.inner(story.release(story.bob, given, [item]))
        accept(story.world.post(f"{story.path}/locks", story.alice))
        accept(story.world.post_statements(story.own, update_of(story.own.revoke(given, at=now))))
        assert code(story.release(story.bob, given, [item])) == (404, "refused")
    stage.wait(lambda: stage.job().phase is Phase.GRACE)
    assert {seals for _, seals in stage.keys().values()} == {8}
    assert stage.process.run("keys", "retire", "1").returncode == 0
    stage.wait(lambda: has_ended(stage.job()))
    assert stage.keys() == {1: ("deactivated", 0), 2: ("active", 8)}
    assert stage.releases()
    stage.require_clean()
