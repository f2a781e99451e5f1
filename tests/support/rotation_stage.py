"""A key service as a program, put back to where it was before each run, so that every run can come to grief elsewhere.

with Stage.lay_out(tmp_path) as stage:
    begun = stage.keep("begun")
    stage.process.start()
    with point.set(stage.process.pid):
        ...
    stage.put_back(begun)

The program is the real one but for a few numbers: two shards instead of 64, twenty looks a second instead of one, and
whoever was not seen for a second is dead.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Engine, text
from typing_extensions import override

from carnet_keyservice.fsck import check_all
from carnet_keyservice.locks.queries import count_by_master_key
from carnet_keyservice.master_keys import FileProvider, MasterKeys
from carnet_keyservice.master_keys.queries import MasterKeyRow, load_master_keys
from carnet_keyservice.rotation import accept as jobs
from carnet_keyservice.rotation.job import AS_BEGUN, ENDED, Job, JobKind, JobParameters, JobState
from carnet_keyservice.rotation.queries import find_newest_job
from carnet_protocol.ids import JobId
from carnet_protocol.statements import Destruction, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.clock import system_clock
from carnet_server.database import make_engine, reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.writer import Writer
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.mortal import MortalKeyService, wait_for
from tests.support.orders import enrol_and_order
from tests.support.people import Dice

_PROGRAM: Final = """\
from carnet_keyservice.rotation import embedded, job, processes, queries, watch
job.SHARDS = queries.SHARDS = 2
embedded.IDLE_SECONDS = watch.LOOK_SECONDS = 0.05
processes.SEEN_SECONDS, processes.IDLE_SEEN_SECONDS = 0, 0
processes.LOST_SECONDS, processes.IDLE_LOST_SECONDS = 1, 1
from carnet_keyservice.cli import main
main()
"""
T = TypeVar("T")


class QuickKeyService(MortalKeyService):
    """The key service with two shards, which looks for work twenty times a second."""

    @override
    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", _PROGRAM, *words, "--settings", str(self.root / "settings.toml")]


@dataclass(slots=True)
class Stage:
    """A key service with three locks of two records, of which one is released again and again."""

    process: QuickKeyService
    story: KeyServiceStory

    @classmethod
    @contextlib.contextmanager
    def lay_out(cls, root: Path) -> Iterator[Self]:
        """Everything laid out, told and stopped."""
        folder = root / "keyservice"
        folder.mkdir()
        with QuickKeyService.lay_out(folder, Dice("stage"), settings="backup_horizon_days = 0") as process:
            process.start()
            story = KeyServiceStory.begin(process.world())
            accept(story.world.post(f"{story.path}/locks", story.alice))
            KeyServiceStory.begin(story.world, "another")
            process.stop()
            yield cls(process, story)

    @property
    def root(self) -> Path:
        """The key service's folder."""
        return self.process.root

    def paths(self) -> list[Path]:
        """What must outlive a crash: the database, what is ahead of it, the folder of keys and every master key."""
        names = ("database.sqlite", "database.sqlite-wal", "database.sqlite-rotation")
        keys = self.root / "keys"
        return [*(self.root / name for name in names), keys, keys / "master-1.key", keys / "master-2.key"]

    def keep(self, name: str) -> Path:
        """Keep what the stopped key service has, to be put back."""
        kept = self.root.parent / name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        for path in self.root.glob("database.sqlite*"):
            shutil.copyfile(path, kept / path.name)
        shutil.copytree(self.root / "keys", kept / "keys")
        return kept

    def put_back(self, kept: Path) -> None:
        """Have everything as it was when it was kept; the program is dead."""
        self.story.world.engine.dispose()
        for path in self.root.glob("database.sqlite*"):
            path.unlink()
        shutil.rmtree(self.root / "keys")
        for path in kept.glob("database.sqlite*"):
            shutil.copyfile(path, self.root / path.name)
        shutil.copytree(kept / "keys", self.root / "keys")

    def begin(self, *, kind: JobKind = JobKind.MASTER, grace: int = 0) -> None:
        """Begin a job, as the command does."""
        parameters = JobParameters(rate=1_000_000, workers=1, grace_seconds=grace)
        self.decide(lambda moment: jobs.begin_job(moment, JobId.make(), kind, parameters, by=None))

    def decide(self, work: Callable[[Moment], T]) -> T:
        """Decide something beside the program, as a command does."""
        return decide(self.process, work)

    def read(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds."""
        with opened(self.process) as engine, reader(engine) as connection:
            return look(connection)

    def job(self) -> Job:
        """The newest job."""
        found = self.read(find_newest_job)
        assert found is not None
        return found

    def order_destruction(self, version: int) -> list[Signed[Destruction]]:
        """Orders of two officers, who are enrolled, to destroy the master key `version`."""
        return order_destruction(self.process, version=version)

    def wait(self, is_reached: Callable[[], bool], *, or_death: bool = False) -> None:
        """Look on until `is_reached`, or the program is dead."""
        wait_for(self.process, is_reached, or_death=or_death)

    def start_again(self) -> None:
        """What an operator does after a crash: start the program, and resume the job if it stands still."""
        job = self.job()
        if job.state is JobState.PAUSED:
            self.decide(lambda moment: jobs.resume_job(moment, job.kind, AS_BEGUN, by=None))
        self.process.start()

    def require_clean(self) -> None:
        """Assert that `fsck` finds nothing, and each lock opens."""
        require_clean(self.process)

    def keys(self) -> dict[int, tuple[str, int]]:
        """The state of each master key, and how many seals are under it."""

        def look(connection: Connection) -> dict[int, tuple[str, int]]:
            seals = count_by_master_key(connection)
            rows = load_master_keys(connection)
            return {row.version: (row.state.value, seals.get(row.version, 0)) for row in rows}

        return self.read(look)

    def master_key(self, version: int) -> MasterKeyRow:
        """The row of one."""
        return next(row for row in self.read(load_master_keys) if row.version == version)

    def events(self, *patterns: str) -> list[str]:
        """The kinds of all events like one of `patterns`, in order."""
        some = " OR ".join(f"kind LIKE '{pattern}'" for pattern in patterns)
        query = text(f"SELECT kind FROM events WHERE {some} ORDER BY position")  # noqa: S608  patterns of tests
        return self.read(lambda connection: list(connection.execute(query).scalars()))

    def releases(self) -> bool:
        """Whether a release is answered with the key that was asked for."""
        answer = self.story.release(self.story.bob, self.story.grant, [self.story.item(KeyRole.CONTENT)])
        return answer.status_code == 200 and None not in self.story.inner(answer)


@contextlib.contextmanager
def opened(process: KeyServiceProcess) -> Iterator[Engine]:
    """The database of `process`, for one look."""
    engine = make_engine(process.database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def deployment_of(process: KeyServiceProcess) -> Deployment:
    """Where `process` stands."""
    return Deployment.of(process.own.card, process.own.card.body.keyservice, process.own.keyservice.log_key)


def decide(process: KeyServiceProcess, work: Callable[[Moment], T]) -> T:
    """Decide something beside `process`, as a command does."""
    deployment = deployment_of(process)
    with opened(process) as engine, Writer(engine) as writer:
        return writer.run(lambda _: system_clock(), lambda connection, now: work(Moment(connection, now, deployment)))


def require_clean(process: KeyServiceProcess) -> None:
    """Assert that `fsck` finds nothing at `process`, and each lock opens."""
    ring = MasterKeys([FileProvider(process.root / "keys")])
    with opened(process) as engine, reader(engine) as connection:
        assert list(check_all(connection, deployment_of(process), ring)) == []


def order_destruction(
    process: KeyServiceProcess, *, version: int | None = None, retired_before: int | None = None
) -> list[Signed[Destruction]]:
    """Orders of two officers, who are enrolled at `process`, for a master key, or retired record locks."""
    keyservice, now = process.own.keyservice.fingerprint, system_clock()
    return enrol_and_order(
        partial(decide, process), keyservice, now=now, version=version, retired_before=retired_before
    )


def has_ended(job: Job) -> bool:
    """Whether `job` is over."""
    return job.state in ENDED


def stands(job: Job) -> bool:
    """Whether `job` is over, or waits for somebody."""
    return has_ended(job) or job.state is JobState.PAUSED
