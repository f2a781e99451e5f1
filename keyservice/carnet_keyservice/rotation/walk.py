"""Walking through a lane, batch after batch, at the job's pace, until it is done or the job moved on.

A walk may be cut off at any point and begun again by anyone; two in one lane do each other no harm: one is ahead, and
the other finds that out and ends. A job has as many lanes as workers, so that nobody waits between two shards, and no
more walk at a time than the rate was shared out among.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from sqlalchemy import Connection

from carnet_keyservice.errors import MovedOnError
from carnet_keyservice.rotation import lock_destruction, locks, master
from carnet_keyservice.rotation.conductor import Task, stop_job
from carnet_keyservice.rotation.job import Job, JobKind, JobState, Shard
from carnet_keyservice.rotation.queries import find_job, find_shard_left
from carnet_keyservice.rotation.workshop import Workshop

MAX_BATCH: Final = 1000
BATCHES_PER_SECOND: Final = 5
"""A walk works in so many short steps a second, so that others come between and it is stopped soon."""
SEAL_BATCHES_PER_SECOND: Final = 60
"""Of seals: a statement on very many keeps a processor of the database for milliseconds, and releases wait for it."""


class TakeBatch(Protocol):
    """Does the next `limit` items of a shard, for one kind of job."""

    def __call__(self, shop: Workshop, job: Job, shard: Shard, *, limit: int) -> int:
        """How many things were looked at, which the pace counts.

        Raises a `KeyServiceError`, or a refusal of the database.
        """


_TAKE_BATCH: Final[dict[JobKind, TakeBatch]] = {
    JobKind.MASTER: master.take_batch,
    JobKind.LOCKS: locks.take_batch,
    JobKind.SUITE: locks.take_batch,
    JobKind.DESTRUCTION: lock_destruction.take_batch,
}


def walk(
    shop: Workshop,
    task: Task,
    *,
    should_stop: Callable[[], bool],
    pause: Callable[[float], object] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Walk through the lane of `task`. What fails pauses the job, with what to mend."""
    try:
        while not should_stop():
            started = monotonic()
            found = shop.read(lambda connection: _look(connection, task))
            if found is None:
                return
            job, shard = found
            limit = batch_size(job)
            looked_at = _TAKE_BATCH[job.kind](shop, job, shard, limit=limit)
            pause(max(0.0, looked_at * job.parameters.workers / job.parameters.rate - (monotonic() - started)))
    except MovedOnError:
        return
    except Exception as error:  # noqa: BLE001  a fault of ours stops the job too, and is seen in its status
        stop_job(shop, task.job, error)


def batch_size(job: Job) -> int:
    """How many items a step of one of the workers takes."""
    of_one = job.parameters.rate // job.parameters.workers
    steps = SEAL_BATCHES_PER_SECOND if job.kind is JobKind.MASTER else BATCHES_PER_SECOND
    return max(1, min(MAX_BATCH, of_one // steps))


def _look(connection: Connection, task: Task) -> tuple[Job, Shard] | None:
    """The job and the shard that is next in the lane, as long as `task` is what the job wants."""
    job = find_job(connection, task.job)
    if job is None or job.phase is not task.phase or job.state not in {JobState.RUNNING, JobState.ABORTING}:
        return None
    shard = find_shard_left(connection, job, lane=task.lane)
    return None if shard is None else (job, shard)
