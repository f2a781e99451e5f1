"""Long work of several steps, shown as it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from carnet.cli.terminal import Terminal
from carnet.progress import OnStep, Progress


@contextmanager
def showing_steps(terminal: Terminal) -> Iterator[OnStep]:
    """What to tell of each step while the block lasts."""
    with terminal.tally("working") as tally:

        def show(progress: Progress) -> None:
            tally(progress.step.value, progress.done, progress.total)

        yield show
