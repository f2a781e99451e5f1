"""Jobs in the one process of an embedded deployment: one thread conducts and walks, shard after shard.

On PostgreSQL the same functions run on any number of workers (`distributed.py`), and here only where there are none.
"""

import threading
from collections.abc import Callable
from typing import Final

from carnet_keyservice.rotation.baton import baton
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.queries import find_unfinished
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop

IDLE_SECONDS: Final = 1.0


class EmbeddedRunner:
    """Runs jobs until it is stopped, while `is_needed` says so."""

    def __init__(self, shop: Workshop, is_needed: Callable[[], bool] = lambda: True) -> None:
        self._shop = shop
        self._is_needed = is_needed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="carnet-rotation", daemon=True)

    def start(self) -> None:
        """Begin to look for jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch, and end; the job goes on at the next start."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            has_worked = False
            with self._shop.living_on("rotation_failed"):
                has_worked = self._is_needed() and run_once(self._shop, self._stop)
            if not has_worked:
                self._stop.wait(IDLE_SECONDS)


def run_once(shop: Workshop, stop: threading.Event) -> bool:
    """Conduct, then walk through what is to be walked; say whether there was anything."""
    if shop.read(find_unfinished) is None:
        return False
    with baton(shop.engine) as has_it:
        if not has_it:
            return False
        tasks = conduct(shop)
        for task in tasks:
            walk(shop, task, should_stop=stop.is_set, pause=stop.wait)
        return bool(tasks)
