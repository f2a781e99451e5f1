"""What a server stands on while it runs: engine, writer, clock, authentication, log, metrics."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, Table
from structlog.typing import FilteringBoundLogger

from carnet_protocol.ids import Fingerprint
from carnet_protocol.signing import Signer
from carnet_server.authentication import Authenticator
from carnet_server.clock import Clock, ClockGuard, system_clock
from carnet_server.database import overwrite_deleted, reader
from carnet_server.metrics import Metrics
from carnet_server.migrations import check_migrated
from carnet_server.nonces import Nonces
from carnet_server.principals import KeyLookUp
from carnet_server.rates import Rate, TokenBuckets
from carnet_server.writer import Writer

DEFAULT_RATE_BY_KEY: Final = Rate(per_second=200, burst=1000)
DEFAULT_RATE_BY_ADDRESS: Final = Rate(per_second=50, burst=500)
DEFAULT_RATE_OF_STATEMENTS: Final = Rate(per_second=50, burst=500)
DEFAULT_MAX_CONCURRENT: Final = 256


@dataclass(frozen=True, slots=True)
class Rates:
    """What the settings say about load."""

    by_key: Rate = DEFAULT_RATE_BY_KEY
    by_address: Rate = DEFAULT_RATE_BY_ADDRESS
    of_statements: Rate = DEFAULT_RATE_OF_STATEMENTS
    max_concurrent: int = DEFAULT_MAX_CONCURRENT


@dataclass(frozen=True, slots=True)
class Chassis:
    """The parts. Making it starts nothing; `start` and `stop` belong to the program's lifespan."""

    name: str
    version: str
    engine: Engine
    writer: Writer
    authenticator: Authenticator
    revisions: Path
    rates: Rates
    log: FilteringBoundLogger
    metrics: Metrics
    needs: Sequence[Callable[[], None]]
    clock: Clock
    server_key: Signer | None
    """Signs what is answered to the other server."""

    def start(self) -> None:
        """Check that all is there, overwrite what was deleted, then take works. Raises what `check_ready` raises."""
        self.check_ready()
        overwrite_deleted(self.engine)
        self.writer.start()

    def stop(self) -> None:
        """Drain the writer and let go of the database."""
        self.writer.stop()
        self.engine.dispose()

    def check_ready(self) -> None:
        """Reach the database and find it migrated, and whatever else the server needs.

        Raises `MigrationError`, or a refusal of what cannot be reached.
        """
        with reader(self.engine) as connection:
            check_migrated(connection, self.revisions)
        for check in self.needs:
            check()


def make_chassis(
    *,
    name: str,
    version: str,
    origin: str,
    fingerprint: Fingerprint,
    engine: Engine,
    revisions: Path,
    nonces: Table,
    look_up: KeyLookUp,
    log: FilteringBoundLogger,
    newest: Sequence[Callable[[Connection], int | None]] = (),
    needs: Sequence[Callable[[], None]] = (),
    rates: Rates = Rates(),
    clock: Clock = system_clock,
    server_key: Signer | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Chassis:
    """Wire the parts of one server.

    `origin` and `fingerprint` are those of the service card; `nonces` is the table of `make_nonces_table`; `look_up`
    finds keys in force; `newest` give the times of what the server committed besides nonces; each of `needs` raises a
    refusal as long as something that the server needs besides its database is not there; a server that has routes for
    the other one signs its answers to it with `server_key`.
    """
    metrics = Metrics()
    writer = Writer(engine, observe=metrics.count_batch)
    metrics.watch_queue(writer.queued)
    nonce_rules = Nonces(nonces)
    return Chassis(
        name=name,
        version=version,
        engine=engine,
        writer=writer,
        authenticator=Authenticator(
            origin=origin,
            server=fingerprint,
            engine=engine,
            look_up=look_up,
            clock=clock,
            clock_guard=ClockGuard([nonce_rules.newest, *newest]),
            nonces=nonce_rules,
            rate_by_key=TokenBuckets(rates.by_key, monotonic),
            rate_by_address=TokenBuckets(rates.by_address, monotonic),
            rate_of_statements=TokenBuckets(rates.of_statements, monotonic),
        ),
        revisions=revisions,
        rates=rates,
        log=log,
        metrics=metrics,
        needs=needs,
        clock=clock,
        server_key=server_key,
    )
