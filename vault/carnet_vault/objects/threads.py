"""Work on an open file in a thread, which nobody who is cut leaves alone with it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool

P = ParamSpec("P")
T = TypeVar("T")


async def run_to_the_end(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run `work` in a thread; return what it returns, raise what it raises.

    Whoever is cancelled meanwhile learns it once the thread is done: it cannot be stopped, and the descriptor that it
    uses, closed beneath it, may be another file's a moment later.
    """
    running = asyncio.ensure_future(run_in_threadpool(work, *arguments, **named))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # of no use to anybody any more
        raise
