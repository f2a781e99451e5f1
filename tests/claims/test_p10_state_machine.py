"""P10: whatever is done in whatever order, master keys are where a model of a page says, and each lock opens.

Random walks over a key service: locks, grants, revocations, releases; a rotation that begins, takes single steps, is
paused, goes on, comes to the end of its grace, is aborted; a crash, after which another process goes on; a backup, and
its restore with the keys that there are now. After each step: `fsck` finds nothing, each lock opens, whoever may
release does and whoever may not is refused, and the states of master keys are the model's.

A failure prints its steps, and the blob that repeats it. With CARNET_EVERY_KILL=1 it walks fifty times as far.
"""

import os
import sqlite3
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans

from carnet_keyservice.app import REVISIONS
from carnet_keyservice.errors import RotationError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.rotation import accept, queries
from carnet_keyservice.rotation.conductor import conduct
from carnet_protocol.statements import Grant, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.migrations import migrate
from tests.support.databases import SqliteTemplate
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld, code
from tests.support.keyservice import accept as accepted
from tests.support.master_keys import KeptKeys
from tests.support.people import Dice
from tests.support.records import update_of
from tests.support.rotation import QUICK, Bench, few_shards
from tests.support.walks import run_walks

FAR: Final = bool(os.environ.get("CARNET_EVERY_KILL"))
GRACE_SECONDS: Final = 60
MONTH: Final = 30 * 86_400


@dataclass
class Model:
    """What there is to know: the state of each master key, how far the job is, whose grants hold and whose ended."""

    keys: dict[int, str] = field(default_factory=lambda: {1: "active"})
    job: str = "none"
    is_paused: bool = False
    is_certain: bool = True
    locks: int = 1
    held: list[Signed[Grant]] = field(default_factory=list)
    ended: list[Signed[Grant]] = field(default_factory=list)

    @property
    def active(self) -> int:
        return next(version for version, state in self.keys.items() if state == "active")

    def copy(self) -> "Model":
        """Another one, which says the same."""
        return replace(self, keys=dict(self.keys), held=list(self.held), ended=list(self.ended))

    def new(self) -> int:
        """The version that a rotation goes to: one that never came into use, or the next."""
        return next((version for version, state in self.keys.items() if state == "pre-activation"), len(self.keys) + 1)


class Rotations(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        few_shards(self.patch)
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.engine = SqliteTemplate.make(self.folder, lambda made: migrate(made, REVISIONS)).copy(self.folder)
        self.stack.callback(self.engine.dispose)
        self.model = Model()
        self.kept_model: Model | None = None

    @initialize()
    def begin_story(self) -> None:
        world = KeyServiceWorld.make(self.engine, self.folder, Dice("machine"))
        self.kept = KeptKeys(dict(world.master_keys._keys))
        self.process = self.stack.enter_context(ExitStack())
        self.process.enter_context(world.client)  # type: ignore[arg-type]  a test client
        self.story = KeyServiceStory.begin(world)
        self._open(world)

    def _open(self, world: KeyServiceWorld) -> None:
        """Have a workshop beside the key service of `world`, which shares its ring, and asks for what is not in it."""
        world.master_keys._providers = {self.kept.name: self.kept}
        self.story.world = world
        self.bench = self.process.enter_context(Bench.at(world))

    @rule()
    def crash(self) -> None:
        """Nothing that was in memory is there any more."""
        now, own = self.story.world.clock.now, self.story.world.own
        self.process.close()
        world = KeyServiceWorld.make(self.engine, self.folder, Dice("machine"), own=own)
        world.clock.now = now
        world.master_keys = MasterKeys([self.kept])
        remade = KeyServiceWorld.make(self.engine, self.folder, Dice("machine"), own=own)
        remade.clock.now = now
        remade.master_keys._providers = {self.kept.name: self.kept}
        remade.master_keys._keys.clear()
        self.process = self.stack.enter_context(ExitStack())
        self.process.enter_context(remade.client)  # type: ignore[arg-type]  a test client
        self._open(remade)

    @rule()
    def make_lock(self) -> None:
        accepted(self.story.world.post(f"{self.story.path}/locks", self.story.alice))
        self.model.locks += 1

    @rule()
    def grant(self) -> None:
        now = self.story.world.clock()
        given = self.story.own.grant(
            self.story.bob,
            self.story.attestations["bob"],
            compartments=[self.story.general],
            not_before=now - 60,
            expires=now + MONTH,
            at=now,
        )
        accepted(self.story.world.post_statements(self.story.own, update_of(given)))
        self.model.held.append(given)

    @precondition(lambda self: self.model.held)
    @rule()
    def revoke(self) -> None:
        given = self.model.held.pop()
        at = self.story.world.clock()
        accepted(self.story.world.post_statements(self.story.own, update_of(self.story.own.revoke(given, at=at))))
        self.model.ended.append(given)

    @rule()
    def begin(self) -> None:
        parameters = QUICK.model_copy(update={"grace_seconds": GRACE_SECONDS})
        if self.model.job != "none":
            with pytest.raises(RotationError, match="has not ended"):
                self.bench.begin(parameters)
            return
        self.bench.begin(parameters)
        self.model.job = "begun"

    @precondition(lambda self: self.model.job != "none")
    @rule(is_walked=booleans())
    def step(self, *, is_walked: bool) -> None:
        """One look of the conductor, and one shard or none."""
        tasks = conduct(self.bench.shop)
        if is_walked and tasks:
            self.bench.walk(tasks[0])
        self.model.is_certain = self.model.is_paused and self.model.is_certain
        if self._has_ended():  # an abort with nothing to undo, or a grace that was over while the job was paused
            self.model.job, self.model.keys, self.model.is_certain = "none", self.bench.states(), True

    def _has_ended(self) -> bool:
        return self.bench.shop.read(queries.find_unfinished) is None

    @rule(is_grace_over=booleans())
    def run(self, *, is_grace_over: bool) -> None:
        """As far as it goes without anybody."""
        self.bench.run()
        if is_grace_over:
            self.story.world.clock.now += GRACE_SECONDS
            self.bench.run()
        if self.model.job == "aborting":
            self.model.job, self.model.is_certain = "none", False
        elif self.model.job != "none" and not self.model.is_paused:
            self._rotate(is_grace_over=is_grace_over or self._has_ended())
        if self.model.job == "none" and not self.model.is_certain:
            self.model.keys, self.model.is_certain = self.bench.states(), True

    def _rotate(self, *, is_grace_over: bool) -> None:
        if self.model.job == "begun":
            active, new = self.model.active, self.model.new()
            self.model.keys |= {active: "suspended", new: "active"}
            self.model.job = "grace"
        if is_grace_over:
            self.model.keys = {
                version: "deactivated" if state == "suspended" else state for version, state in self.model.keys.items()
            }
            self.model.job = "none"
        self.model.is_certain = self.bench.states() == self.model.keys
        assert self.model.is_certain, (self.bench.states(), self.model.keys)

    @precondition(lambda self: self.model.job in {"begun", "grace"} and not self.model.is_paused)
    @rule()
    def pause(self) -> None:
        job = self.bench.shop.read(queries.find_unfinished)
        if job is not None:
            self.bench.shop.decide(lambda moment: accept.pause_job(moment, job, problem=None))
            self.model.is_paused = True

    @precondition(lambda self: self.model.is_paused)
    @rule()
    def resume(self) -> None:
        self.bench.resume()
        self.model.is_paused = False

    @precondition(lambda self: self.model.job in {"begun", "grace"} and self.model.is_certain)
    @rule()
    def abort(self) -> None:
        self.bench.abort()
        self.model.job, self.model.is_paused, self.model.is_certain = "aborting", False, False

    @rule()
    def back_up(self) -> None:
        (self.folder / "backup").unlink(missing_ok=True)
        self._copy(self.folder / "server.sqlite", self.folder / "backup")
        self.kept_model = self.model.copy()

    @precondition(lambda self: self.kept_model is not None)
    @rule()
    def restore(self) -> None:
        """With the master keys that there are now: none was destroyed since, for the backup is within the horizon."""
        self._copy(self.folder / "backup", self.folder / "server.sqlite")
        assert self.kept_model is not None
        self.model = self.kept_model.copy()
        self.crash()

    def _copy(self, source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as given, closing(sqlite3.connect(target)) as taken:
            given.backup(taken)

    @invariant()
    def nothing_is_wrong(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.require_openable()
        assert len(self.bench.seals()) == self.model.locks
        with self.engine.connect() as connection:
            assert list(check_all(connection, self.bench.shop.deployment, self.bench.shop.ring)) == []
        states = self.bench.states()
        assert list(states.values()).count("active") == 1
        if self.model.is_certain and self.model.job in {"none", "grace"}:
            assert states == self.model.keys

    @invariant()
    def who_may_release_does_and_nobody_else(self) -> None:
        if not hasattr(self, "bench"):
            return
        item = self.story.item(KeyRole.CONTENT, lock=self.story.lock)
        for given in self.model.held[-2:]:
            assert None not in self.story.inner(self.story.release(self.story.bob, given, [item]))
        for given in self.model.ended[-2:]:
            assert code(self.story.release(self.story.bob, given, [item])) == (404, "refused")

    def teardown(self) -> None:
        self.stack.close()


def test_whatever_is_done_in_whatever_order_keys_are_where_the_model_says() -> None:
    run_walks(Rotations, most=100 if FAR else 4, steps=60 if FAR else 20)
