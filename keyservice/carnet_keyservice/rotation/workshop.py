"""What jobs work with, and how they read and write.

Steps that are events go through the writer, like everything that the key service decides. Batches of seals do not: they
are many, and would make requests wait. Each is a transaction of its own, on PostgreSQL READ COMMITTED: a thousand rows
are more than its serialisable transactions follow one by one, so that any two of them would conflict. What a batch
depends on it locks, row by row (`seals.py`).
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from carnet_keyservice.lock_rotation import LockRotator
from carnet_keyservice.master_keys import MasterKeys
from carnet_protocol.signing import Signer
from carnet_server.clock import Clock
from carnet_server.database import explaining, is_retriable, reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import BusyError, RefusalError
from carnet_server.writer import Writer

MAX_ATTEMPTS: Final = 10
_SURVEYING: Final = (
    "SELECT set_config('statement_timeout', '0', true), set_config('max_parallel_workers_per_gather', '0', true)"
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workshop:
    """The parts of a key service that jobs use. One per process; threads share it.

    Without a `rotator` it has no way to the vault.
    """

    engine: Engine
    writer: Writer
    deployment: Deployment
    server_key: Signer
    ring: MasterKeys
    log: FilteringBoundLogger
    clock: Clock
    rotator: LockRotator | None = None

    def read(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds, on one snapshot."""
        with reader(self.engine) as connection:
            return look(connection)

    def survey(self, look: Callable[[Connection], T]) -> T:
        """As `read`, for what looks at every lock there is: it may take as long as it takes, on one processor."""
        with reader(self.engine) as connection:
            if self.engine.dialect.name == "postgresql":
                connection.exec_driver_sql(_SURVEYING)
            return look(connection)

    def decide(self, work: Callable[[Moment], T]) -> T:
        """What `work` decides and logs, in the writer's transaction. Raises what the writer raises."""
        return self.writer.run(
            lambda _: self.clock(), lambda connection, now: work(Moment(connection, now, self.deployment))
        )

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` does in a transaction of its own, run again from the start where it was lost.

        Raises `RefusalError` where the database cannot take it.
        """
        with explaining():
            for _ in range(MAX_ATTEMPTS):
                try:
                    with self._begin() as connection:
                        return work(connection)
                except (SQLAlchemyError, sqlite3.Error) as error:
                    if not is_retriable(error):
                        raise
        raise BusyError("database_contended")

    @contextlib.contextmanager
    def living_on(self, event: str) -> Iterator[None]:
        """Log what fails inside as `event`, and go on: a database that is away comes back, and a fault is told."""
        try:
            yield
        except RefusalError as error:
            self.log.warning(event, reason=error.reason)
        except Exception as error:  # noqa: BLE001  a fault of ours: what depends on this thread needs it
            self.log.error(event, reason=f"internal: {type(error).__name__}")  # noqa: TRY400  no trace: it may hold what is sealed

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="READ COMMITTED")  # noqa: PLW2901  the same
            with connection.begin():
                yield connection
