"""Rotation in the process of a test: a workshop on the key service of a story, driven step by step, with no clock.

bench = Bench.of(story.world)
job = bench.begin()
bench.run()
assert bench.job(job).state is JobState.FINISHED
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

import pytest

from carnet_keyservice.errors import KeyServiceError
from carnet_keyservice.locks.keys import open_seal
from carnet_keyservice.locks.queries import SEALED, SEALED_ORDER, read_sealed
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.master_keys.queries import load_master_keys
from carnet_keyservice.rotation import accept, job, queries
from carnet_keyservice.rotation.conductor import Task, conduct
from carnet_keyservice.rotation.job import AS_BEGUN, Job, JobKind, JobParameters, JobState, Pace
from carnet_keyservice.rotation.queries import find_job
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.ids import JobId
from carnet_server.database import reader
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.logs import make_log
from carnet_server.writer import Writer
from tests.support.keyservice import KeyServiceWorld

NEVER = threading.Event()
QUICK = JobParameters(rate=1_000_000, workers=1, grace_seconds=0)


def few_shards(patch: pytest.MonkeyPatch) -> None:
    """Two instead of 64, in this process: so a rotation has few steps, and records still stand in both."""
    patch.setattr(job, "SHARDS", 2)
    patch.setattr(queries, "SHARDS", 2)


@dataclass
class Bench:
    """A workshop, and what a test does with it."""

    world: KeyServiceWorld
    shop: Workshop

    @classmethod
    @contextmanager
    def at(cls, world: KeyServiceWorld, ring: MasterKeys | None = None) -> Iterator[Self]:
        """A workshop beside the key service of `world`, with its ring or another process's."""
        own = world.own
        with Writer(world.engine) as writer:
            yield cls(
                world,
                Workshop(
                    engine=world.engine,
                    writer=writer,
                    deployment=ServerDeployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key),
                    server_key=own.keyservice.key,
                    ring=ring or world.master_keys,
                    log=make_log(world.log, "debug"),
                    clock=world.clock,
                ),
            )

    def begin(self, parameters: JobParameters = QUICK, *, kind: JobKind = JobKind.MASTER) -> JobId:
        """Begin a job."""
        name = JobId.make()
        self.shop.decide(lambda moment: accept.begin_job(moment, name, kind, parameters, by=None))
        return name

    def resume(self, kind: JobKind = JobKind.MASTER, pace: Pace = AS_BEGUN) -> None:
        """Have the job of `kind` go on."""
        self.shop.decide(lambda moment: accept.resume_job(moment, kind, pace, by=None))

    def abort(self) -> None:
        """Undo the job."""
        self.shop.decide(lambda moment: accept.abort_job(moment, by=None))

    def tick(self) -> list[Task]:
        """Conduct once, and walk through all that is to be walked."""
        tasks = conduct(self.shop)
        for task in tasks:
            self.walk(task)
        return tasks

    def walk(self, task: Task) -> None:
        """Walk through one lane, without a pause."""
        walk(self.shop, task, should_stop=NEVER.is_set, pause=lambda _: None)

    def run(self) -> None:
        """Conduct and walk until there is nothing to walk any more."""
        while self.tick():
            pass

    def job(self, name: JobId) -> Job:
        """What the rows say of a job."""
        found = self.shop.read(lambda connection: find_job(connection, name))
        assert found is not None
        return found

    def states(self) -> dict[int, str]:
        """The state of each master key."""
        with reader(self.shop.engine) as connection:
            return {row.version: row.state.value for row in load_master_keys(connection)}

    def seals(self) -> dict[tuple[bytes, int], dict[int, bool]]:
        """For each lock, under which master keys it is sealed, and whether that seal opens to the right key."""
        found: dict[tuple[bytes, int], dict[int, bool]] = {}
        with reader(self.shop.engine) as connection:
            for sealed in read_sealed(connection.execute(SEALED.order_by(*SEALED_ORDER))):
                lock = sealed.lock
                found[lock.record.raw, lock.version] = {
                    seal.master_key_version: self._opens(partial(open_seal, self.shop.ring, sealed.lock, seal))
                    for seal in sealed.seals
                }
        return found

    def require_openable(self) -> None:
        """Assert what P10 says, at any point of any job: each lock has a good seal under a key that is here."""
        seals = self.seals()
        assert seals
        for place, by_version in seals.items():
            assert any(by_version.values()), place

    @staticmethod
    def _opens(open_it: Callable[[], object]) -> bool:
        try:
            open_it()
        except KeyServiceError:
            return False
        return True


def is_over(job: Job) -> bool:
    """Whether `job` has ended."""
    return job.state in {JobState.FINISHED, JobState.ABORTED}
