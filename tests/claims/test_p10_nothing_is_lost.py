"""P10: no crash at any point of a rotation loses a key; every job goes on; nothing that is needed is destroyed.

The process of a rotation dies at each of its steps in turn: before a transaction, and after its commit with the answer
lost, for every transaction that it makes, until it runs to its end. What it had in memory is gone; another process,
which loads its keys anew, finds every lock openable, and brings the job to its end. The same for a job that is aborted.
And every backup, taken at any step, is restored at any later one.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from carnet_keyservice.app import REVISIONS
from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.rotation import queries
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.destruction import confirm_destruction, destroy_master_key
from carnet_keyservice.rotation.job import JobState, Phase
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.startup import require_master_keys
from carnet_protocol.ids import JobId
from carnet_protocol.statements import Destruction, Signed
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.databases import SqliteTemplate
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld, accept
from tests.support.master_keys import KeptKeys
from tests.support.orders import enrol_and_order
from tests.support.people import NOW, Dice
from tests.support.rotation import QUICK, Bench, few_shards

GRACE = QUICK.model_copy(update={"grace_seconds": 60})


class DiedError(BaseException):
    """Ends a process of the test as a signal would: nothing of ours catches it."""


class DyingWorkshop(Workshop):
    """A workshop whose process dies at the `at`-th transaction: before it, or after it was committed."""

    __slots__ = ("at", "is_after", "made")

    @classmethod
    def beside(cls, shop: Workshop, at: int, *, is_after: bool) -> "DyingWorkshop":
        """One with the parts of `shop`."""
        made = cls(shop.engine, shop.writer, shop.deployment, shop.server_key, shop.ring, shop.log, shop.clock)
        for name, value in (("at", at), ("is_after", is_after), ("made", [0])):
            object.__setattr__(made, name, value)
        return made

    def decide(self, work: Callable[..., Any]) -> Any:
        return self._count(lambda: Workshop.decide(self, work))

    def write(self, work: Callable[..., Any]) -> Any:
        return self._count(lambda: Workshop.write(self, work))

    def _count(self, run: Callable[[], Any]) -> Any:
        self.made[0] += 1
        is_now = self.made[0] == self.at
        if is_now and not self.is_after:
            raise DiedError
        done = run()
        if is_now:
            raise DiedError
        return done


class World:
    """A key service with three locks, of which the database and the keeper of master keys outlive every process."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        self.world = KeyServiceWorld.make(engine, folder, Dice("deployment"))
        self.kept = KeptKeys(dict(self.world.master_keys._keys))

    @contextmanager
    def process(self) -> Iterator[Bench]:
        """Another process on the database as it is: it loads what it needs, or says what is missing."""
        with Bench.at(self.world, MasterKeys([self.kept])) as bench:
            require_master_keys(self.engine, bench.shop.writer, bench.shop.ring)
            yield bench

    def require_good(self, bench: Bench) -> None:
        """Assert that each lock opens and that nothing is wrong with what is kept."""
        bench.require_openable()
        with self.engine.connect() as connection:
            assert list(check_all(connection, bench.shop.deployment, bench.shop.ring)) == []


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two parts instead of 64, so that a run has few steps; records of the story stand in both."""
    few_shards(monkeypatch)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three locks of two records."""
    folder = tmp_path_factory.mktemp("begun")
    engine = SqliteTemplate.make(folder, lambda made: migrate(made, REVISIONS)).copy(folder)
    world = KeyServiceWorld.make(engine, folder, Dice("deployment"))
    with world.client:
        story = KeyServiceStory.begin(world)
        accept(world.post(f"{story.path}/locks", story.alice))
        KeyServiceStory.begin(world, "another")
    engine.dispose()
    return folder / "server.sqlite"


@contextmanager
def fresh(begun: Path, folder: Path) -> Iterator[World]:
    """A world that is as it was at the beginning."""
    folder.mkdir(exist_ok=True)
    target = folder / "server.sqlite"
    for old in folder.glob("server.sqlite*"):
        old.unlink()
    shutil.copyfile(begun, target)
    engine = make_engine(f"sqlite:///{target}")
    try:
        yield World(folder, engine)
    finally:
        engine.dispose()


def rotate(bench: Bench) -> None:
    """From the beginning to the end, as far as this process lives."""
    if find_begun(bench) is None:
        bench.begin()
    bench.run()


def rotate_and_abort(bench: Bench) -> None:
    """To the grace, and back again."""
    if find_begun(bench) is None:
        bench.begin(GRACE)
    bench.run()
    bench.abort()
    bench.run()


def find_begun(bench: Bench) -> JobId | None:
    found = bench.shop.read(queries.find_unfinished)
    return None if found is None else found.id


def end(bench: Bench) -> JobState:
    """Bring to its end what an earlier process began, and say how it ended."""
    job = bench.shop.read(queries.find_newest_job)
    if job is None:
        return JobState.ABORTED
    if job.state is JobState.PAUSED:
        bench.resume()
    bench.run()
    bench.world.clock.now += 3600
    bench.run()
    return bench.job(job.id).state


@pytest.mark.parametrize("is_after", [False, True], ids=["before a transaction", "after its commit"])
@pytest.mark.parametrize(("work", "outcomes"), [(rotate, {"finished"}), (rotate_and_abort, {"aborted", "finished"})])
def test_a_process_that_dies_at_any_step_loses_nothing(
    begun: Path, tmp_path: Path, work: Callable[[Bench], None], outcomes: set[str], is_after: bool
) -> None:
    died = 0
    for at in range(1, 1000):
        with fresh(begun, tmp_path / "world") as world:
            with world.process() as bench:
                dying = replace(bench, shop=DyingWorkshop.beside(bench.shop, at, is_after=is_after))
                try:
                    work(dying)
                except DiedError:
                    died += 1
                else:
                    break
            with world.process() as bench:
                world.require_good(bench)
                has_begun = bench.shop.read(queries.find_newest_job) is not None
                outcome = end(bench)
                assert not has_begun or outcome.value in outcomes
                world.require_good(bench)
                states = sorted(bench.states().values())
                assert states.count("active") == 1
                assert "suspended" not in states
    assert died >= 15, f"only {died} steps"


def steps(bench: Bench) -> Iterator[str]:
    """A rotation, step by step: what was just done."""
    name = bench.begin()
    yield "begun"
    seen: set[str] = set()
    while True:
        tasks = conduct(bench.shop)
        phase = bench.job(name).phase.value
        if phase not in seen:
            seen.add(phase)
            yield f"conducted to {phase}"
        if not tasks:
            break
        for number, task in enumerate(tasks):
            bench.walk(task)
            if number == 0:
                yield f"walked in {phase}"
    assert bench.job(name).phase is Phase.DONE


def backed_up(world: World) -> bytes:
    """The database as a backup has it."""
    target = world.folder / "backup.sqlite"
    target.unlink(missing_ok=True)
    source = world.engine.url.database
    assert source is not None
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    return target.read_bytes()


def restored(world: World, backup: bytes, folder: Path) -> World:
    """A key service on a restored backup, with the master keys that there are now."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("server.sqlite*"):
        old.unlink()
    (folder / "server.sqlite").write_bytes(backup)
    made = World(folder, make_engine(f"sqlite:///{folder / 'server.sqlite'}"))
    made.kept = replace(world.kept, keys=dict(world.kept.keys))
    return made


def test_a_backup_of_any_step_opens_when_it_is_restored_at_any_later_one(begun: Path, tmp_path: Path) -> None:
    """Attack 27; and what was under way in the backup goes on to its end."""
    backups: list[tuple[str, bytes]] = []
    with fresh(begun, tmp_path / "world") as world, world.process() as bench:
        backups.append(("before", backed_up(world)))
        for now in steps(bench):
            backups.append((now, backed_up(world)))
            for _, backup in backups:
                again = restored(world, backup, tmp_path / "restored")
                with again.process() as process:
                    again.require_good(process)
                    end(process)
                    again.require_good(process)
                again.engine.dispose()
    assert len(backups) >= 7


def orders(bench: Bench, version: int) -> list[Signed[Destruction]]:
    """Orders of two officers, who are enrolled here."""
    return enrol_and_order(bench.shop.decide, bench.shop.deployment.fingerprint, now=NOW, version=version)


def test_a_restore_that_needs_a_destroyed_key_says_so_before_anything_is_served(begun: Path, tmp_path: Path) -> None:
    with fresh(begun, tmp_path / "world") as world, world.process() as bench:
        backup = backed_up(world)
        rotate(bench)
        given = orders(bench, 1)
        bench.shop.decide(lambda moment: destroy_master_key(moment, 1, given, horizon_seconds=0))
        world.kept.destroy(1, b"")
        bench.shop.decide(lambda moment: confirm_destruction(moment, 1))
        world.require_good(bench)
        again = restored(world, backup, tmp_path / "restored")
        with pytest.raises(MasterKeyError, match="master key 1 is not here"), again.process():
            pass
        again.engine.dispose()
