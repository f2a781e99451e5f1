"""One server as a process: started, waited for, stopped.

Its standard error goes to a file beside its log. It runs in a session of its own, so that Ctrl-C reaches whoever
watches it and not the server behind their back, and it ends when that one ends.
"""

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

from carnet.deployment.folder import Folder
from carnet.errors import CallerError

_READY_SECONDS: Final = 60.0
_GRACE_SECONDS: Final = 35.0
_MODULES: Final = {"vault": "carnet_vault", "keyservice": "carnet_keyservice"}
NAMES: Final = {"vault": "vault", "keyservice": "key service"}
"""How messages call the servers."""


class ServerFailedError(CallerError):
    """A server did not start, or ended by itself."""


class ServerProcess:
    """The process of the server called `name`, whose settings are in `folder`."""

    def __init__(self, folder: Folder, name: str) -> None:
        """Nothing is started yet."""
        self.name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._migration: subprocess.Popen[bytes] | None = None

    def begin_migration(self) -> None:
        """Begin to bring its database to the program's version; `start` waits for it."""
        with self._error_file.open("ab") as errors:
            self._migration = subprocess.Popen(  # noqa: S603  our own program, and no word of anybody else's
                self._tethered("migrate"),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it, once its database is ready. Called from the thread that outlives it. Raises `ServerFailedError`."""
        if self._migration is None:
            self.begin_migration()
        if self._migration is not None and self._migration.wait():
            raise ServerFailedError(f"the database of the {NAMES[self.name]} is not ready: {self._last_words()}")
        with self._error_file.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603  as above
                self._tethered("serve"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                bufsize=0,
            )

    def wait_ready(self) -> None:
        """Return once it answers. Raises `ServerFailedError`."""
        process = self._process
        if process is None or process.stdout is None:
            raise AssertionError("internal: waiting for a server that was not started")
        line = _read_line(process.stdout, _READY_SECONDS)
        if b" ready on " not in line:
            self.stop()
            raise ServerFailedError(f"the {NAMES[self.name]} did not start: {self._last_words()}")

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def poll(self) -> int | None:
        """Its exit code once it ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def ask_to_stop(self) -> None:
        """Let it answer what it was asked, then end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Stop it and return when it is gone; one that does not obey is killed."""
        if self._migration is not None and self._migration.poll() is None:
            self._migration.terminate()
            self._migration.wait()
        process = self._process
        if process is None:
            return
        self.ask_to_stop()
        try:
            process.wait(_GRACE_SECONDS)
        except BaseException as error:
            # Too slow, or whoever waits was interrupted once more.
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        if process.stdout is not None:
            process.stdout.close()

    def failure(self) -> ServerFailedError:
        """What to say of a server that ended by itself."""
        return ServerFailedError(f"the {NAMES[self.name]} ended by itself: {self._last_words()}")

    @property
    def _error_file(self) -> Path:
        return self._folder.log(self.name) / "stderr.txt"

    def _tethered(self, word: str) -> list[str]:
        python = [sys.executable, "-P", "-m"]
        settings = str(self._folder.settings(self.name))
        program = [*python, _MODULES[self.name], word, "--settings", settings]
        return [*python, "carnet.deployment.tether", str(os.getpid()), *program]

    def _last_words(self) -> str:
        try:
            lines = self._error_file.read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        words = " / ".join(line.strip() for line in lines if line.strip()) or "it said nothing"
        return f"{words[-300:]} (see {self._error_file.parent})"


def _read_line(stream: IO[bytes], patience_seconds: float) -> bytes:
    """The first line of `stream`, or what of it came in time."""
    deadline = time.monotonic() + patience_seconds
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(stream.fileno(), 1024)
            if not piece:
                break
            line += piece
    return line
