"""Both servers of a deployment, running: started together, watched, stopped together.

with running(deployment) as servers:
    servers.watch(until=stop.is_set)
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from carnet.deployment.folder import SERVERS
from carnet.deployment.prepare import Deployment
from carnet.deployment.process import ServerProcess

_POLL_SECONDS: Final = 0.2
_MOST_RESTARTS: Final = 5
_RESTART_WINDOW_SECONDS: Final = 60.0


class Servers:
    """The two processes."""

    def __init__(self, deployment: Deployment) -> None:
        """Not started yet."""
        self.processes = [ServerProcess(deployment.folder, name) for name in SERVERS]

    def start(self) -> None:
        """Start both and return when both answer. Raises `ServerFailedError`, and then neither runs."""
        try:
            for process in self.processes:
                process.begin_migration()
            for process in self.processes:
                process.start()
            for process in self.processes:
                process.wait_ready()
        except BaseException:
            self.stop()
            raise

    def watch(
        self,
        *,
        until: Callable[[], bool],
        on_restart: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Return when `until` says so. A server that ends by itself is started again, and `on_restart` told its name.

        Raises `ServerFailedError` when that happens more than five times in a minute.
        """
        restarts: deque[float] = deque(maxlen=_MOST_RESTARTS)
        while not until():
            for process in self.processes:
                if process.poll() is None:
                    continue
                if len(restarts) == _MOST_RESTARTS and monotonic() - restarts[0] < _RESTART_WINDOW_SECONDS:
                    raise process.failure()
                restarts.append(monotonic())
                on_restart(process.name)
                process.stop()
                process.start()
                process.wait_ready()
            sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask both to stop, then wait for both."""
        for process in self.processes:
            process.ask_to_stop()
        for process in self.processes:
            process.stop()


@contextmanager
def running(deployment: Deployment) -> Iterator[Servers]:
    """Both servers of `deployment`, for as long as the block lasts. Raises `HomeBusyError` if somebody runs them."""
    with deployment.folder.hold():
        servers = Servers(deployment)
        servers.start()
        try:
            yield servers
        finally:
            servers.stop()
