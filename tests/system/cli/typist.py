"""Somebody at a terminal: a program that runs on a pseudo terminal, what it shows, and what is typed."""

import contextlib
import os
import pty
import select
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.support.patience import wait_until


@dataclass(slots=True)
class Typist:
    """A program on a terminal of its own; `shown` is everything that it wrote there."""

    pid: int
    terminal: int
    shown: str = ""
    _read_to: int = field(default=0)

    @classmethod
    def start(cls, command: Sequence[str], environment: dict[str, str]) -> Self:
        """Start `command`."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(command[0], list(command), environment)  # noqa: S606  no shell is wanted
        return cls(pid, terminal)

    def wait_for(self, text: str) -> None:
        """Return once `text` is shown, after whatever was waited for before."""
        self._wait(lambda: text in self.shown[self._read_to :] or not self._read(), f"{text!r} on the terminal")
        if text not in self.shown[self._read_to :]:
            raise AssertionError(f"it ended without showing {text!r}: {self.shown}")
        self._read_to = self.shown.index(text, self._read_to) + len(text)

    def type(self, line: str) -> None:
        """Type `line` and the return key."""
        os.write(self.terminal, line.encode() + b"\n")

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        self._wait(lambda: not self._read(), "the end of the program on the terminal")
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        try:
            wait_until(is_so, what)
        except AssertionError:
            os.kill(self.pid, signal.SIGKILL)
            raise

    def _read(self) -> bool:
        """Take in what was written since; return whether more may come."""
        if not select.select([self.terminal], [], [], 0)[0]:
            return True
        with contextlib.suppress(OSError):  # Linux says so when the other end is gone
            piece = os.read(self.terminal, 4096)
            self.shown += piece.decode(errors="replace")
            return bool(piece)
        return False
