"""Record locks rotate and move to a new suite between the two real programs, on either database.

Nothing is left that `fsck` would name.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from carnet.transport import ServerName
from carnet_keyservice.lock_rotation import RecordState
from carnet_keyservice.tables import record_locks
from carnet_keyservice.vault import open_vault_http
from tests.support.keyservice_process import working
from tests.support.live import Keeping, LiveWorld
from tests.support.lock_rotation import rotating
from tests.support.postgres import PostgresCluster
from tests.unit.client.conftest import quick_passphrases
from tests.unit.lock_rotation.conftest import Story

__all__ = ["quick_passphrases"]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveWorld]:
    """Both servers as programs."""
    if request.param == "sqlite":
        with LiveWorld.running(tmp_path) as live:
            yield live
            close(live)
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    with cluster.fresh_database() as vault, cluster.fresh_database() as keyservice:
        with LiveWorld.running(tmp_path, keeping=Keeping(vault, keyservice)) as live:
            yield live
            close(live)


def close(world: LiveWorld) -> None:
    """Let go of connections to the servers and their databases."""
    for session in world.sessions:
        session.close()
    for wire in world.wires.values():
        wire.client.close()
    for engine in world.engines.values():
        engine.dispose()


def test_locks_rotate_between_programs_while_they_serve(world: LiveWorld, tmp_path: Path) -> None:
    with rotating(world, http=open_vault_http(None), page=3) as rotation:
        story = Story.begin(world, tmp_path, rotation)
        order = rotation.order()
        (rotated,) = rotation.rotate([story.record], order)
        assert (rotated.state, rotated.version, rotated.swapped) == (RecordState.ROTATED, 2, 8)
        story.require_all_open()
        assert rotation.rotator.retire([rotated], order, grace_seconds=0) == []
        story.require_all_open()
        assert rotation.used(story.record) == {2: 8}
        rotation.rotator.vault.close()
    for program in (world.vault_program, world.keyservice_program):
        assert program is not None
        checked = program.run("fsck")
        assert (checked.stdout.strip().endswith("clean"), checked.returncode) == (True, 0), checked.stdout


def test_a_vault_that_dies_in_the_midst_is_gone_on_with(world: LiveWorld, tmp_path: Path) -> None:
    """The vault is killed when it has answered the first swaps; started again, the same job finishes."""
    with rotating(world, http=open_vault_http(None), page=3) as rotation:
        story = Story.begin(world, tmp_path, rotation)
        order, vault = rotation.order(), world.vault_program
        assert vault is not None
        ask = rotation.rotator.vault.swap
        with pytest.MonkeyPatch.context() as patch:

            def swap_and_die(records: object) -> object:
                answer = ask(records)  # type: ignore[arg-type]  # whatever it is given
                vault.kill()
                return answer

            patch.setattr(type(rotation.rotator.vault), "swap", lambda _, records: swap_and_die(records))
            with pytest.raises(Exception, match="cannot be reached"):
                rotation.rotate([story.record], order)
        vault.start()
        assert rotation.used(story.record) == {1: 5, 2: 3}
        story.require_all_open()
        (rotated,) = rotation.rotate([story.record], order)
        assert (rotated.state, rotated.version) == (RecordState.ROTATED, 2)
        assert rotation.used(story.record) == {2: 8}
        story.require_all_open()
        rotation.rotator.vault.close()


def test_an_operator_rotates_locks_by_the_command_and_may_abort(world: LiveWorld, tmp_path: Path) -> None:
    """The programs that run do it; the command writes down what is wanted, and looks on."""
    program = world.keyservice_program
    assert program is not None
    workers = 0 if program.database_url.startswith("sqlite") else 2
    with rotating(world, http=open_vault_http(None), page=3) as rotation, working(program, workers):
        story = Story.begin(world, tmp_path, rotation)
        rotation.rotator.vault.close()
        assert program.run_json("rotate", "suite", "--grace", "0")[1]["total"] == 0
        assert rotation.used(story.record) == {1: 8}
        code, plan = program.run_json("rotate", "locks", "--dry-run")
        assert (code, plan["can_begin"], plan["total"]) == (0, True, 1)
        code, done = program.run_json("rotate", "locks", "--grace", "0")
        assert (code, done["state"], done["skipped_now"]) == (0, "finished", 0), done
        assert rotation.used(story.record) == {2: 8}
        story.require_all_open()
        assert program.run_json("keys", "list")[1]["record_locks"] == {
            "newest": 1,
            "superseded": 0,
            "retired": 1,
            "destroyed": 0,
        }
        vault = world.vault_program
        assert vault is not None
        vault.kill()
        done = program.run_json("rotate", "locks", "--grace", "0")[1]
        assert done["state"] == "paused"
        assert "cannot be reached" in done["problem"]
        vault.start()
        assert program.run_json("rotate", "abort")[1]["state"] == "aborted"
        story.require_all_open()
    for each in (vault, program):
        assert each.run("fsck").returncode == 0


def test_locks_move_to_the_next_suite_between_programs(world: LiveWorld, tmp_path: Path) -> None:
    """Under suite 1 everything was made; when the card says suite 2 is written, nothing is left on 1 in the end."""
    program = world.keyservice_program
    assert program is not None
    workers = 0 if program.database_url.startswith("sqlite") else 2
    with rotating(world, http=open_vault_http(None), page=3) as rotation:
        story = Story.begin(world, tmp_path, rotation)
        rotation.rotator.vault.close()
    world.change_suites(floor=1, write=2)
    with working(program, workers):
        code, plan = program.run_json("rotate", "suite", "--dry-run")
        assert (code, plan["can_begin"], plan["total"]) == (0, True, 1)
        assert lock_suites(world) == {1: 1}
        story.require_all_open()
        code, done = program.run_json("rotate", "suite", "--grace", "0")
        assert (code, done["state"], done["skipped_now"]) == (0, "finished", 0), done
        assert program.run_json("rotate", "suite", "--dry-run")[1]["total"] == 0
    assert lock_suites(world) == {1: 1, 2: 2}
    assert rotation.used(story.record) == {2: 8}
    story = replace(
        story,
        alice=world.take_card(story.alice, "alice"),
        bob=world.take_card(story.bob, "bob"),
        carol=world.take_card(story.carol, "carol"),
    )
    story.require_all_open()
    story.put("three")
    story.require_all_open("three")
    for each in (world.vault_program, program):
        assert each is not None
        assert each.run("fsck").returncode == 0


def lock_suites(world: LiveWorld) -> dict[int, int]:
    """The suite of each version of the story's lock."""
    with world.engines[ServerName.KEYSERVICE].connect() as connection:
        rows = connection.execute(select(record_locks.c.version, record_locks.c.suite))
        return {row.version: row.suite for row in rows}
