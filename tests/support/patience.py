"""Waiting for what another process does: with a pause, and an end that says what was waited for.

wait_until(lambda: path.exists(), "a first file", process=process)
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_SECONDS: Final = 120
_PAUSE_SECONDS: Final = 0.01


def wait_until(is_so: Callable[[], bool], what: str, *, process: subprocess.Popen[Any] | None = None) -> None:
    """Return when `is_so`. Fails, naming `what`, when patience or the `process` that is to bring it about has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        has_ended = process is not None and process.poll() is not None
        is_late = time.monotonic() > deadline
        if is_so():
            return
        if process is not None and has_ended:
            raise AssertionError(f"waited for {what}, and the process ended with {process.returncode}")
        if is_late:
            raise AssertionError(f"waited for {what}, and it did not come within {PATIENCE_SECONDS} seconds")
        time.sleep(_PAUSE_SECONDS)
