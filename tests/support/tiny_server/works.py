"""Works for the writer, and a way to make it find several at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, insert, select

from carnet_protocol.ids import IdentityHash, RandomId
from carnet_server.database import reader
from carnet_server.writer import Writer

from .tables import notes

SECONDS: Final = 30
AUTHOR: Final = IdentityHash(bytes(32))
T = TypeVar("T")


def note_id(number: int) -> RandomId:
    return RandomId(number.to_bytes(16, "big"))


def write(number: int) -> Callable[[Connection], int]:
    """A work that writes one note and returns its number."""

    def work(connection: Connection) -> int:
        row = {"note": note_id(number), "author": AUTHOR, "text": "", "written_at": number}
        connection.execute(insert(notes), row)
        return number

    return work


def written(engine: Engine) -> list[int]:
    with reader(engine) as connection:
        return list(connection.execute(select(notes.c.written_at).order_by(notes.c.written_at)).scalars())


def admit(connection: Connection) -> int:
    """Lets in whoever comes."""
    del connection
    return 0


def run(writer: Writer, work: Callable[[Connection], T]) -> T:
    return writer.run(admit, lambda connection, _: work(connection))


async def submit(writer: Writer, work: Callable[[Connection], T]) -> T:
    return await writer.submit(admit, lambda connection, _: work(connection))


class Gate:
    """A work that holds the writer until it is let go, so that a batch gathers behind it."""

    def __init__(self) -> None:
        self._has_begun = threading.Event()
        self._may_end = threading.Event()

    def __call__(self, connection: Connection) -> None:
        del connection
        self._has_begun.set()
        assert self._may_end.wait(30)

    def wait_until_begun(self) -> None:
        assert self._has_begun.wait(30)

    def open(self) -> None:
        self._may_end.set()


def run_as_one_batch(writer: Writer, works: list[Callable[[Connection], Any]]) -> list[Any]:
    """Outcomes of `works`, which the writer finds all together in its queue; exceptions as values."""
    gate = Gate()

    def attempt(work: Callable[[Connection], Any]) -> Any:
        try:
            return run(writer, work)
        except Exception as error:  # noqa: BLE001  the outcome is what the test looks at
            return error

    with ThreadPoolExecutor(len(works) + 1) as pool:
        first = pool.submit(attempt, gate)
        gate.wait_until_begun()
        futures = []
        for place, work in enumerate(works):
            futures.append(pool.submit(attempt, work))
            while writer.queued() <= place:
                pass
        gate.open()
        first.result()
        return [future.result() for future in futures]
