"""Group commit: one thread, one transaction for many works, one fsync, then all callers are answered.

    with Writer(engine) as writer:
        receipt = writer.run(admit, lambda connection, now: grants.store(connection, grant, now))

The contract of `run` and `submit`:

* When they return, the work is durably committed, together with the others of its batch. When they raise what the work
  raised, nothing of this work is in the database; its batch is committed all the same. When they raise `CommitError`,
  it is unknown whether the work was committed: the caller sends the same bytes again, and finds its own row.
* What `admit` wrote stays, even where the work is refused: a nonce is spent by its request, whatever becomes of it.
* Works run one after another, each in a savepoint of its own, in one serialisable transaction. None sees another
  half-done, and between processes on one PostgreSQL database only one batch runs at a time.
* A work may be run again from the start when the batch was lost to another transaction (PostgreSQL) or its connection
  broke before the commit. So it changes nothing but the database, and reads its clock itself.
* A work never commits, and lets errors of its statements through.

On PostgreSQL the batch first locks the table of the migrations. An advisory lock would be taken by a statement, and the
first statement of a serialisable transaction fixes its snapshot, before the wait: whoever waited would then read what
was true before. `LOCK TABLE` waits first. It also keeps a migration and a running server apart.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from carnet_server.database import explain, is_retriable
from carnet_server.errors import BusyError, CommitError, RefusalError, UnavailableError
from carnet_server.prepared import Prepared

MAX_QUEUED: Final = 512
MAX_BATCH: Final = (
    48  # PostgreSQL keeps 64 subtransactions of a session in memory; beyond, everyone's snapshots slow down
)
MAX_ATTEMPTS: Final = 5

# Nested, each in the one before: a rollback goes to the newest, the commit ends them all.
_BEGIN_WORK: Final = Prepared(text("SAVEPOINT work"))
_UNDO_WORK: Final = Prepared(text("ROLLBACK TO SAVEPOINT work"))

T = TypeVar("T")
Admission = Callable[[Connection], int]
"""Lets a request in, in the transaction that it authorises, and gives the time at which that transaction decides."""
Work = Callable[[Connection, int], T]
"""Decides and writes: takes the connection and what its admission gave."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a work gave or raised."""

    value: Any = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Ticket:
    """A queued work and who waits for it: a thread, or a task of an event loop."""

    admit: Admission
    work: Work[Any]
    future: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None = None

    def settle(self, outcome: _Outcome) -> None:
        """Answer the caller, unless it gave up."""
        if self.future.done():
            return
        if outcome.error is None:
            self.future.set_result(outcome.value)
        else:
            self.future.set_exception(outcome.error)


@dataclass(slots=True)
class BatchCount:
    """What one commit took, for the metrics; `lost` says how often it was begun anew."""

    works: int
    seconds: float
    lost: int = 0


class Writer:
    """The one way to write. Start it once per program, by `start` or as a context manager; `stop` drains it."""

    def __init__(self, engine: Engine, *, observe: Callable[[BatchCount], None] | None = None) -> None:
        self._engine = engine
        self._observe = observe
        self._queue: queue.Queue[_Ticket | None] = queue.Queue(MAX_QUEUED)
        self._closed = threading.Lock()
        self._is_open = False
        # Kept from batch to batch, so that no number of readers makes the writer wait for the pool.
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._serve, name="carnet-writer", daemon=True)

    def start(self) -> None:
        """Begin to take works."""
        self._is_open = True
        self._thread.start()

    def stop(self) -> None:
        """Take no further works, finish those that are queued, and return when the last caller is answered."""
        with self._closed:
            if not self._is_open:
                return
            self._is_open = False
        self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def is_alive(self) -> bool:
        """Whether works are taken and done."""
        return self._is_open and self._thread.is_alive()

    def queued(self) -> int:
        """How many works wait."""
        return self._queue.qsize()

    def run(self, admit: Admission, work: Work[T]) -> T:
        """Run `work` and return its value once it is committed. Blocks: never on an event loop, never in a work.

        Raises the refusal of `admit`, what `work` raises, `BusyError`, `CommitError`, `NoSpaceError` or
        `UnavailableError`.
        """
        if threading.current_thread() is self._thread:
            raise AssertionError("internal: a work waits for another work, which waits for it")
        future: Future[T] = Future()
        self._enqueue(_Ticket(admit, work, future))
        return future.result()

    async def submit(self, admit: Admission, work: Work[T]) -> T:
        """As `run`, for a task of an event loop. A work whose task is cancelled before its turn is left out."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(_Ticket(admit, work, future, loop))
        return await future

    def _enqueue(self, ticket: _Ticket) -> None:
        with self._closed:
            if not self._is_open:
                raise UnavailableError("writer_stopped")
            try:
                self._queue.put_nowait(ticket)
            except queue.Full:
                raise BusyError("writer_queue_full") from None

    def _serve(self) -> None:
        while batch := self._take():
            started = time.monotonic()
            outcomes, lost = self._commit(batch)
            _answer(batch, outcomes)
            if self._observe is not None:
                self._observe(BatchCount(len(batch), time.monotonic() - started, lost))
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> list[_Ticket]:
        """Wait for a work, then take along whatever else waits; empty once stopped and drained."""
        batch: list[_Ticket] = []
        while not batch:
            ticket = self._queue.get()
            if ticket is None:
                return []
            if not ticket.future.cancelled():
                batch.append(ticket)
        while len(batch) < MAX_BATCH:
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                break
            if ticket is None:
                self._queue.put(None)  # for the next turn: nothing is queued behind it any more
                break
            if not ticket.future.cancelled():
                batch.append(ticket)
        return batch

    def _commit(self, batch: Sequence[_Ticket]) -> tuple[Sequence[_Outcome], int]:
        """Outcomes of a committed batch, or the same failure for all if none was committed; and how often it lost."""
        for lost in range(MAX_ATTEMPTS):
            try:
                return self._attempt(batch), lost
            except _LostError:
                continue
            except Exception as error:  # noqa: BLE001  whatever it is, every caller gets an answer and the thread lives on
                return [_Outcome(error=_failure(error)) for _ in batch], lost
        return [_Outcome(error=BusyError("database_contended")) for _ in batch], MAX_ATTEMPTS

    def _attempt(self, batch: Sequence[_Ticket]) -> Sequence[_Outcome]:
        """Run the batch in one transaction. Raises `_LostError` if it may be run again as a whole."""
        is_committing = False
        connection = self._connection = self._connection or self._engine.connect()
        try:
            transaction = connection.begin()
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE alembic_version IN EXCLUSIVE MODE")
            outcomes = [_perform(connection, ticket) for ticket in batch]
            is_committing = True
            transaction.commit()
        except Exception as error:
            # Whatever state it is in, nobody gets this connection again; closing it rolls back.
            self._connection = None
            connection.invalidate()
            connection.close()
            # A commit that lost against another transaction did not happen; one whose connection broke may have.
            is_unknown = is_committing and getattr(error, "connection_invalidated", False)
            if is_retriable(error) and not is_unknown:
                raise _LostError from error
            raise
        return outcomes


class _LostError(Exception):
    """The batch was rolled back as a whole, through no fault of its works."""


def _perform(connection: Connection, ticket: _Ticket) -> _Outcome:
    """Let one work in, then run it in a savepoint. Raises only what ends the whole batch."""
    transaction = connection.get_transaction()
    try:
        now = ticket.admit(connection)
    except RefusalError as refusal:
        return _Outcome(error=refusal)
    _BEGIN_WORK.run(connection)
    try:
        value = ticket.work(connection, now)
    except Exception as error:
        if is_retriable(error):
            raise
        try:
            _UNDO_WORK.run(connection)
        except SQLAlchemyError:
            # The database has ended the transaction by itself, as SQLite does when the disk is full: so has the batch.
            raise error from None
        outcome = _Outcome(error=explain(error) or error)
    else:
        outcome = _Outcome(value=value)
    if connection.get_transaction() is not transaction:
        raise AssertionError("internal: a work has ended the transaction of its batch")
    return outcome


def _failure(error: Exception) -> RefusalError:
    refusal = explain(error) or CommitError("batch_failed")
    refusal.__cause__ = error
    return refusal


def _answer(batch: Sequence[_Ticket], outcomes: Sequence[_Outcome]) -> None:
    """Tell every caller, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Ticket, _Outcome]]] = {}
    for ticket, outcome in zip(batch, outcomes, strict=True):
        if ticket.loop is None:
            ticket.settle(outcome)
        else:
            by_loop.setdefault(ticket.loop, []).append((ticket, outcome))
    for loop, settled in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[_Ticket, _Outcome]]) -> None:
    for ticket, outcome in settled:
        ticket.settle(outcome)
