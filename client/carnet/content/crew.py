"""Several threads at one job: as many as there are cores, all stopped by the first failure.

Each worker reads, ciphers, hashes and writes its own leaves; the libraries that do so hold no interpreter lock, and
workers that each carry a leaf from end to end were measured to be faster than a line of specialists. A crew of one is
a plain loop in the caller's thread.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

OnProgress = Callable[[int], None]
"""Is told how many bytes are done without a gap, always rising; from any worker's thread, one call at a time."""

_MOST_WORKERS: Final = 4  # beyond, they wait for each other at the cipher and at the file


def count_workers(leaf_count: int) -> int:
    """How many workers a job of `leaf_count` leaves is worth on the cores that this process may use."""
    return max(1, min(count_cores(), leaf_count, _MOST_WORKERS))


def count_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """A number of workers at one job."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._failure: BaseException | None = None
        # A worker waits at the gate of its leaf until the worker before puts a token there. At most `size` leaves are
        # under way at once, one after the other, so no two of them share a gate.
        self._gates = [SimpleQueue[None]() for _ in range(size)]
        self._gates[0].put(None)

    def run(self, work: Callable[[int], None]) -> None:
        """Calls `work` with the number of each worker, each in a thread of its own, the caller's among them.

        Returns when all returned. Raises what the first of them raised, after all have stopped.
        """
        threads = [threading.Thread(target=self._attempt, args=(work, worker)) for worker in range(1, self.size)]
        with self._stopping_at_failure():
            for thread in threads:
                thread.start()
            work(0)
            for thread in threads:
                thread.join()
        for thread in threads:  # again, if the failure, or an interrupt, came before all had returned
            if thread.ident is not None:
                thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def is_stopped(self) -> bool:
        """Whether one of the workers failed, so that the others should return."""
        return self._failure is not None

    def wait_for_turn(self, leaf: int) -> bool:
        """Waits until the turn of the leaf before has ended. False if the crew was stopped instead."""
        gate = self._gates[leaf % self.size]
        gate.get()
        if self.is_stopped:
            gate.put(None)  # for whoever else waits there
            return False
        return True

    def end_turn(self, leaf: int) -> None:
        """Lets whoever waits with the next leaf go on."""
        self._gates[(leaf + 1) % self.size].put(None)

    def _attempt(self, work: Callable[[int], None], worker: int) -> None:
        with self._stopping_at_failure():
            work(worker)

    @contextlib.contextmanager
    def _stopping_at_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as failure:  # noqa: BLE001  an interrupt too stops all, and is raised by `run`
            self._failure = self._failure or failure
            for gate in self._gates:
                gate.put(None)


class Watermark:
    """How far a job is done without a gap, while its leaves are done in any order.

    Tells `on_progress` the end of what is done, in bytes, always rising; from any worker's thread, one at a time.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._ends: dict[int, int] = {}
        self._next_leaf = 0

    def pass_leaf(self, leaf: int, *, end: int) -> None:
        """Notes that `leaf`, which ends at `end`, is done."""
        if self._on_progress is None:
            return
        with self._lock:
            self._ends[leaf] = end
            reached = None
            while self._next_leaf in self._ends:
                reached = self._ends.pop(self._next_leaf)
                self._next_leaf += 1
            if reached is not None:
                self._on_progress(reached)
