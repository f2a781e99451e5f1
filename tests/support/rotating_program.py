"""A program that runs jobs beside both servers of a world, one call at a time, and dies of any of them.

program = RotatingProgram(world)
program.begin(JobKind.LOCKS)
program.turn.arm("swaps", 2, is_after=True, act=kill)
program.tick()                                  # raises Killed out of its second swap, once the vault has answered
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar, cast

import httpx2
from sqlalchemy import Connection
from typing_extensions import override

from carnet.transport import ServerName
from carnet_keyservice.lock_rotation import LockRotator, LockStore
from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.destruction import begin_lock_destruction
from carnet_keyservice.rotation.job import Job, JobKind, JobParameters
from carnet_keyservice.rotation.queries import find_unfinished
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.vault import VaultClient
from carnet_protocol.ids import JobId
from carnet_server.deployment import Deployment
from carnet_server.errors import CommitError
from carnet_server.logs import make_log
from carnet_server.writer import Writer
from tests.support.client import ClientWorld
from tests.support.orders import enrol_and_order
from tests.support.rotation import NEVER

T = TypeVar("T")
ROUTES: Final = ("locks", "capsules", "swaps", "counts")
"""What the vault is asked, by the last word of the path."""
PLACES: Final = ("decide", "write", *ROUTES)
_RATE: Final = 1_000_000


class Killed(BaseException):
    """The program is dead: nothing in it catches this."""


def kill(_: str) -> NoReturn:
    """Die here."""
    raise Killed


def fail(name: str) -> NoReturn:
    """The database, or the vault, is away."""
    if name in ROUTES:
        raise httpx2.ReadError("cut")
    raise CommitError("database_failed")


@dataclass(slots=True)
class Turn:
    """Counts the calls of a program while it is armed; at one of them something happens, before it or after it."""

    place: str = "decide"
    left: int = 0
    is_after: bool = False
    act: Callable[[str], object] = kill
    happened: list[str] = field(default_factory=list)

    def arm(self, place: str, at: int, *, is_after: bool, act: Callable[[str], object]) -> None:
        """Have `act` happen at the call number `at` of those at `place`."""
        self.place, self.left, self.is_after, self.act, self.happened = place, at, is_after, act, []

    def call(self, name: str, run: Callable[[], T]) -> T:
        """A call at the place `name`, one of `PLACES`."""
        self.left -= name == self.place
        is_now = name == self.place and self.left == 0
        if is_now and not self.is_after:
            self._happen(name)
        value = run()
        if is_now and self.is_after:
            self._happen(name)
        return value

    def _happen(self, name: str) -> None:
        self.happened.append(name)
        self.act(name)


class _TurningWriter:
    """A writer whose calls are counted."""

    def __init__(self, writer: Writer, turn: Turn) -> None:
        self._writer, self._turn = writer, turn

    def run(self, *given: Any) -> Any:
        """As `Writer.run`."""
        return self._turn.call("decide", lambda: self._writer.run(*given))


class _TurningWorkshop(Workshop):
    """A workshop whose batches are counted."""

    __slots__ = ("turn",)
    turn: Turn

    @override
    def write(self, work: Callable[[Connection], T]) -> T:
        return self.turn.call("write", lambda: Workshop.write(self, work))


class _TurningWire(httpx2.BaseTransport):
    """The way to the vault, whose requests are counted."""

    def __init__(self, world: ClientWorld, turn: Turn) -> None:
        self._world, self._turn = world, turn

    @override
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._turn.call(request.url.path.rpartition("/")[2], lambda: self._world.vault.handle_request(request))


@dataclass(slots=True)
class RotatingProgram:
    """A key service's process, as far as it runs jobs; `crash` puts another in its place."""

    world: ClientWorld
    turn: Turn = field(default_factory=Turn)
    _stack: ExitStack = field(default_factory=ExitStack)
    shop: Workshop = field(init=False)

    def __post_init__(self) -> None:
        """Begin to run."""
        self._open()

    def close(self) -> None:
        """End."""
        self._stack.close()

    def crash(self, *names: ServerName) -> None:
        """Nothing that the servers `names` had in memory is there any more; with the key service, its jobs' process."""
        self.turn.left = 0
        if ServerName.KEYSERVICE in names:
            self._stack.close()
        self.world.restart(*names)
        if ServerName.KEYSERVICE in names:
            self._open()

    def begin(self, kind: JobKind, *, grace_seconds: int) -> JobId:
        """Begin a job."""
        name = JobId.make()
        parameters = JobParameters(rate=_RATE, workers=1, grace_seconds=grace_seconds)
        self.shop.decide(lambda moment: accept.begin_job(moment, name, kind, parameters, by=None))
        return name

    def begin_destruction(self, *, horizon_seconds: int) -> JobId:
        """Begin to destroy the locks that were retired a horizon ago, as two officers order it."""
        now = self.shop.clock()
        until = now - horizon_seconds
        orders = enrol_and_order(self.shop.decide, self.shop.deployment.fingerprint, now=now, retired_before=until)
        name = JobId.make()
        parameters = JobParameters(rate=_RATE, workers=1, grace_seconds=0, retired_before=until)
        self.shop.decide(
            lambda moment: begin_lock_destruction(moment, name, orders, parameters, horizon_seconds=horizon_seconds)
        )
        return name

    def tick(self) -> bool:
        """One look of the conductor, and one lane; whether there was anything to walk."""
        tasks = conduct(self.shop)
        if tasks:
            walk(self.shop, tasks[0], should_stop=NEVER.is_set, pause=lambda _: None)
        return bool(tasks)

    def run(self) -> None:
        """Conduct and walk until there is nothing to walk any more."""
        while self.tick():
            pass

    def unfinished(self) -> Job | None:
        """The job that has not ended."""
        return self.shop.read(find_unfinished)

    def _open(self) -> None:
        world, own = self.world, self.world.own
        engine = world.engines[ServerName.KEYSERVICE]
        writer = cast("Writer", _TurningWriter(self._stack.enter_context(Writer(engine)), self.turn))
        deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
        http = httpx2.Client(transport=_TurningWire(world, self.turn))
        self._stack.callback(http.close)
        vault = VaultClient(
            own.card.body.vault, server_key=own.keyservice.key, http=http, clock=world.clock, sleep=lambda _: None
        )
        keys = LockKeys(world.ring)
        store = LockStore(engine, writer, deployment, keys, own.keyservice.key, world.clock)
        log = make_log(world.logs[ServerName.KEYSERVICE], "debug")
        self.shop = _TurningWorkshop(
            engine, writer, deployment, own.keyservice.key, world.ring, log, world.clock, LockRotator(store, vault)
        )
        object.__setattr__(self.shop, "turn", self.turn)
