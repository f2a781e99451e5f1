"""Lock keys of erased records, and destroyed ones, leave the memory of every process, whichever of them did it.

No release needs this: it is decided by rows in its own transaction. But a process that opened a key before, or just as
another one erased its record or destroyed it, would keep the key until others push it out.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, select

from carnet_keyservice.locks.keys import LockKeys
from carnet_keyservice.tables import record_locks
from carnet_server.database import reader
from carnet_server.errors import RefusalError
from carnet_server.tables import erasures

FORGET_SECONDS: Final = 60
"""How long a process keeps a key that another one destroyed."""


def forget_erased(engine: Engine, keys: LockKeys) -> None:
    """Forget the keys in memory whose record was erased, or has a lock that was destroyed."""
    held = keys.records()
    if held:
        destroyed = select(record_locks.c.record).where(
            record_locks.c.record.in_(held), record_locks.c.destroyed.is_not(None)
        )
        with reader(engine) as connection:
            gone = connection.execute(
                select(erasures.c.record).where(erasures.c.record.in_(held)).union(destroyed)
            ).scalars()
            for record in gone.all():
                keys.forget(record)


@contextlib.asynccontextmanager
async def forgetting(engine: Engine, keys: LockKeys) -> AsyncIterator[None]:
    """Forget erased records' keys every minute, while the block lasts."""
    task = asyncio.create_task(_forget_again_and_again(engine, keys))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _forget_again_and_again(engine: Engine, keys: LockKeys) -> None:
    while True:
        await asyncio.sleep(FORGET_SECONDS)
        # Where the database is away, nothing is released either; the next minute does it.
        with contextlib.suppress(RefusalError):
            await run_in_threadpool(forget_erased, engine, keys)
