"""Programs that a test starts, interrupts, and does not leave behind."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from typing import TypeVar

Text = TypeVar("Text", str, bytes)


@contextlib.contextmanager
def hearing_interrupts() -> Iterator[None]:
    """Programs that start while the block lasts hear SIGINT and SIGHUP, even where this run was started to ignore them.

    A shell starts what is to run in the background so, as does nohup, and every program inherits it from its parent.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])


@contextlib.contextmanager
def ending(process: subprocess.Popen[Text]) -> Iterator[subprocess.Popen[Text]]:
    """`process`, killed at the end of the block if it still runs, as where a test failed."""
    with process:
        try:
            yield process
        finally:
            process.kill()
