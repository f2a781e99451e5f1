"""The n-th call of a job fails: before it did anything, or after it did all, so that its answer alone is lost.

faults = Faults()
with failing(faults, bench.shop, patch) as shop:
    faults.arm(7, is_after=True)
    run_as_the_program_does(shop)
    assert faults.disarm()                    # whether the job made so many calls
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import pytest
from sqlalchemy import Connection, Engine
from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.rotation import workshop
from carnet_keyservice.rotation.embedded import run_once
from carnet_keyservice.rotation.job import ENDED, JobState
from carnet_keyservice.rotation.queries import find_newest_job
from carnet_keyservice.rotation.workshop import Workshop
from carnet_server.database import reader
from carnet_server.errors import BusyError, CommitError, NoSpaceError, RefusalError
from carnet_server.writer import Writer
from tests.support.master_keys import KeptKeys

MAX_ROUNDS: Final = 200
DATABASE: Final = (
    lambda: CommitError("database_failed"),
    lambda: NoSpaceError("database_full"),
    lambda: BusyError("database_locked"),
)
T = TypeVar("T")


@dataclass(slots=True)
class Faults:
    """Counts calls while it is armed, and has one of them fail."""

    at: int = 0
    is_after: bool = False
    count: int = 0
    is_armed: bool = False
    failed: list[str] = field(default_factory=list)

    def arm(self, at: int, *, is_after: bool) -> None:
        """Have the call number `at` fail."""
        self.at, self.is_after, self.count, self.is_armed = at, is_after, 0, True

    def disarm(self) -> bool:
        """Let everything through; say whether the call was made."""
        self.is_armed = False
        return self.count >= self.at

    def call(self, name: str, error: Callable[[], Exception], run: Callable[[], T]) -> T:
        """A call, which fails with `error` if it is its turn."""
        is_now = self._count()
        if is_now:
            self.failed.append(name)
            if not self.is_after:
                raise error()
        value = run()
        if is_now:
            raise error()
        return value

    def database(self, name: str, run: Callable[[], T]) -> T:
        """A call of the database, which fails in one of three ways, in turn."""
        return self.call(name, self._refusal, run)

    @contextlib.contextmanager
    def reader(self, engine: Engine) -> Iterator[Connection]:
        """A snapshot of the database."""
        is_now = self._count()
        if is_now:
            self.failed.append("read")
        if is_now and not self.is_after:
            raise self._refusal()
        with reader(engine) as connection:
            yield connection
        if is_now:
            raise self._refusal()

    def _refusal(self) -> RefusalError:
        return DATABASE[self.at % len(DATABASE)]()

    def _count(self) -> bool:
        self.count += self.is_armed
        return self.is_armed and self.count == self.at


class FailingWriter:
    """A writer whose calls are counted."""

    def __init__(self, writer: Writer, faults: Faults) -> None:
        self._writer, self._faults = writer, faults

    def run(self, *given: Any) -> Any:
        """As `Writer.run`."""
        return self._faults.database("decide", lambda: self._writer.run(*given))


class FailingWorkshop(Workshop):
    """A workshop whose batches are counted."""

    __slots__ = ("faults",)
    faults: Faults

    def write(self, work: Callable[[Connection], T]) -> T:
        """As `Workshop.write`."""
        return self.faults.database("write", lambda: Workshop.write(self, work))


def failing_workshop(faults: Faults, shop: Workshop, patch: pytest.MonkeyPatch) -> Workshop:
    """`shop` with its reads, batches, decisions and provider of master keys counted by `faults`."""
    patch.setattr(workshop, "reader", faults.reader)
    for name in ("make", "load"):
        ask = getattr(KeptKeys, name)

        def asked(self: KeptKeys, *given: Any, ask: Any = ask, name: str = name) -> Any:
            return faults.call(name, lambda: MasterKeyError("the provider is away"), lambda: ask(self, *given))

        patch.setattr(KeptKeys, name, asked)
    made = FailingWorkshop(
        shop.engine,
        cast("Writer", FailingWriter(shop.writer, faults)),
        shop.deployment,
        shop.server_key,
        shop.ring,
        shop.log,
        shop.clock,
        shop.rotator,
    )
    object.__setattr__(made, "faults", faults)
    return made


class _Hasty(threading.Event):
    """Is never set, and waits for nothing."""

    @override
    def wait(self, timeout: float | None = None) -> bool:
        return False


def run_as_the_program_does(shop: Workshop) -> None:
    """Until the job ends or stands still: as the thread of `EmbeddedRunner`, which knows refusals and nothing else."""
    stop = _Hasty()
    for _ in range(MAX_ROUNDS):
        with contextlib.suppress(RefusalError):
            run_once(shop, stop)
        with reader(shop.engine) as connection:
            job = find_newest_job(connection)
        if job is not None and job.state in {*ENDED, JobState.PAUSED}:
            return
    raise AssertionError("the job goes round for ever")
