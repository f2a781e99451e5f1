"""A server's process that is to die: by a system call, by a test, or not yet.

class MortalVault(Mortal, VaultProcess): ...

wait_for(process, lambda: job_has_ended(), or_death=True)
"""

import contextlib
import subprocess
import time
from collections.abc import Callable
from typing import Final

from carnet_server.errors import RefusalError
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.vault_process import VaultProcess

PATIENCE_SECONDS: Final = 60


class Mortal:
    """What is asked of either server's process beside what it does."""

    program: subprocess.Popen[str] | None

    def wait_for_death(self) -> None:
        """Wait for the end of a process that something else killed."""
        raise NotImplementedError

    def is_running(self) -> bool:
        """Whether the program lives."""
        return self.program is not None and self.program.poll() is None

    def end(self) -> None:
        """Kill the program, if it lives."""
        if self.program is not None:
            self.program.kill()
            self.wait_for_death()

    @property
    def pid(self) -> int:
        """The program."""
        assert self.program is not None
        return self.program.pid


class MortalVault(VaultProcess, Mortal):
    """The vault."""


class MortalKeyService(KeyServiceProcess, Mortal):
    """The key service."""


def wait_for(process: Mortal, is_reached: Callable[[], bool], *, or_death: bool = False) -> None:
    """Look on until `is_reached`, or `process` is dead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (or_death and not process.is_running()):
        with contextlib.suppress(RefusalError):
            if is_reached():
                return
        assert time.monotonic() < deadline, "nothing comes of it any more"
        time.sleep(0.02)
