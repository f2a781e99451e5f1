"""Programs that a test starts and interrupts."""

import contextlib
import signal
from collections.abc import Iterator


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
