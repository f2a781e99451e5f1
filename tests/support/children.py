"""Programs that a test starts, interrupts, and does not leave behind."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from typing import TypeVar

Text = TypeVar("Text", str, bytes)


@contextlib.contextmanager
def hearing_interrupts() -> Iterator[None]:
    """Programs that are started while the block lasts hear SIGINT, even if this run was started to ignore it.

    A shell starts what is to run in the background so, and every program inherits it from the one that starts it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def ending(process: subprocess.Popen[Text]) -> Iterator[subprocess.Popen[Text]]:
    """`process`, killed at the end of the block if it still runs, as where a test failed."""
    with process:
        try:
            yield process
        finally:
            process.kill()
