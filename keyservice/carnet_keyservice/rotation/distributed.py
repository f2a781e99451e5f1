"""Jobs on any number of workers beside the key service, on PostgreSQL: `carnet-keyservice work`.

procrastinate hands lanes out; its tables stand in a schema of their own. Each worker conducts as well, and who has the
baton (`baton.py`) sees that each lane that is not done is handed out once. A worker that dies loses its lane to whoever
comes next, who goes on from the rows.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Final

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job as QueuedLane
from procrastinate.jobs import Status
from pydantic import BaseModel
from sqlalchemy import Engine

from carnet_keyservice.rotation.baton import baton
from carnet_keyservice.rotation.conductor import Task, conduct
from carnet_keyservice.rotation.job import Phase
from carnet_keyservice.rotation.queries import find_unfinished
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.ids import JobId

SCHEMA: Final = "procrastinate"
"""The schema of the queue's tables."""
QUEUE: Final = "rotation"
BUSY_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 3.0
STALLED_SECONDS: Final = 10.0
_NICENESS: Final = 19


def work(shop: Workshop) -> None:
    """Conduct, and walk through lanes, until SIGTERM or SIGINT; the batch in hand is finished."""
    _give_way()
    asyncio.run(_Worker(shop).run())


class _Worker:
    """One worker of a process."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._stop = threading.Event()
        self._queue = make_queue(shop.engine)
        self._walk = self._queue.task(name="carnet.walk", queue=QUEUE)(self._walk_lane)

    async def run(self) -> None:
        """Until a signal."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self._stop.set()
            ended.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        async with self._queue.open_async():
            walking = asyncio.create_task(
                self._queue.run_worker_async(
                    queues=[QUEUE],
                    concurrency=1,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=IDLE_SECONDS,
                    delete_jobs="always",
                    update_heartbeat_interval=HEARTBEAT_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                )
            )
            try:
                while not ended.is_set() and not walking.done():
                    is_busy = await self._conduct()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), BUSY_SECONDS if is_busy else IDLE_SECONDS)
            finally:
                self._stop.set()
                walking.cancel()  # it lets the lane in hand come to its end, which is the end of its batch
                with contextlib.suppress(asyncio.CancelledError):
                    await walking

    def _walk_lane(self, job: str, phase: str, lane: int) -> None:
        task = Task(JobId.parse(job), Phase(phase), lane)
        with self._shop.living_on("rotation_failed"):
            walk(self._shop, task, should_stop=self._stop.is_set, pause=self._stop.wait)

    async def _conduct(self) -> bool:
        """Conduct once, if this worker has the baton; say whether a job is under way."""
        is_busy = False
        with self._shop.living_on("rotation_failed"):
            job = await asyncio.to_thread(self._shop.read, find_unfinished)
            if job is not None:
                async with _baton(self._shop.engine) as has_it:
                    if has_it:
                        await self._hand_out(await asyncio.to_thread(conduct, self._shop), job.parameters.workers)
                is_busy = True
        return is_busy

    async def _hand_out(self, tasks: list[Task], workers: int) -> None:
        """See that `tasks` are queued or walked through, none twice, and never more than `workers` with late ones."""
        manager = self._queue.job_manager
        for lost in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=STALLED_SECONDS):
            await manager.finish_job(lost, Status.FAILED, delete_job=True)
        taken = _tasks(await manager.list_jobs_async(queue=QUEUE, status="todo"))
        taken |= _tasks(await manager.list_jobs_async(queue=QUEUE, status="doing"))
        free = [task for task in tasks if task not in taken]
        for task in free[: max(0, workers - len(taken))]:
            name = f"{task.job}/{task.phase}/{task.lane}"
            with contextlib.suppress(AlreadyEnqueued):
                await self._walk.configure(queueing_lock=name).defer_async(
                    job=str(task.job), phase=task.phase.value, lane=task.lane
                )


def _give_way() -> None:
    """Where a worker shares processors with what serves, it takes what is left."""
    os.nice(_NICENESS)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may refuse it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def make_queue(engine: Engine) -> procrastinate.App:
    """The queue on the database of `engine`, which is PostgreSQL."""
    url = engine.url
    arguments = {name: value for name, value in engine.dialect.create_connect_args(url)[1].items() if value}
    arguments["options"] = f"-c search_path={SCHEMA}"
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo="", kwargs=arguments, min_size=1, max_size=4)
    )


def _tasks(queued: Iterable[QueuedLane]) -> set[Task]:
    return {Task(*_Words.model_validate(each.task_kwargs).values()) for each in queued}


class _Words(BaseModel):
    """What the queue keeps of a task."""

    job: str
    phase: Phase
    lane: int

    def values(self) -> tuple[JobId, Phase, int]:
        """The parts of the task."""
        return JobId.parse(self.job), self.phase, self.lane


@contextlib.asynccontextmanager
async def _baton(engine: Engine) -> AsyncIterator[bool]:
    held = baton(engine)
    has_it = await asyncio.to_thread(held.__enter__)
    try:
        yield has_it
    finally:
        await asyncio.to_thread(held.__exit__, None, None, None)
