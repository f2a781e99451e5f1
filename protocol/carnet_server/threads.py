"""Threads for short work: few of them.

Threads that run Python beside each other hand the interpreter lock to and fro at every statement of the database:
single releases over 32 connections took 3.2 ms of processor time each with the usual forty threads, and 2.5 with one or
two (medians of six rounds in turn, two cores, 2026-11-22). What waits for a disk or the writer has no place here.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_SHORT_WORK: Final = ThreadPoolExecutor(2, "carnet-short")

T = TypeVar("T")


async def run_short(work: Callable[[], T]) -> T:
    """Run `work` in one of the threads for short work; return what it returns, raise what it raises."""
    return await asyncio.get_running_loop().run_in_executor(_SHORT_WORK, work)
