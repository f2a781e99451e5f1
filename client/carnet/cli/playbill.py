"""How the story of the demo looks: chapters as they are played, then tables."""

import textwrap
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import RenderableType
from rich.status import Status
from rich.text import Text

from carnet.cli.plain import plain
from carnet.cli.terminal import Terminal, format_size, table
from carnet.demo.canaries import MOST_SPELLINGS, Search
from carnet.demo.holdings import Holding
from carnet.demo.step import Chapter, Outcome, Step

_WIDEST: Final = 96
_WIDTH_OF_NO_TERMINAL: Final = 80
"""For sentences; lines of tables stay whole there."""
_TITLES: Final = {"vault": "The vault holds", "keyservice": "The key service holds"}


class Playbill:
    """Tells the story while it is played: a title and a sentence for each chapter, the step that is on, its outcome."""

    def __init__(self, terminal: Terminal) -> None:
        """Tells it on `terminal`; on one that is not for a person, nothing."""
        self._terminal = terminal
        self._status: Status | None = None
        self._number = 0
        self._left = 0
        self._outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        """Begin with the title."""
        self._terminal.show(
            Text("A patient's record, end to end", style="bold"),
            Text("Two real servers, documents made on the spot, people who do not exist.", style="dim"),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the spinner away."""
        self._stop()

    def begin_chapter(self, chapter: Chapter) -> None:
        """A chapter begins."""
        self._number += 1
        self._left = len(chapter.steps)
        self._outcomes = []
        console = self._terminal.console
        width = (min(console.width, _WIDEST) if console.is_terminal else _WIDTH_OF_NO_TERMINAL) - 3
        self._terminal.show(
            Text(),
            Text(f"{self._number}  {chapter.title}", style="bold"),
            Text(textwrap.indent(textwrap.fill(chapter.story, width), "   ")),
        )

    def begin_step(self, step: Step) -> None:
        """A step begins."""
        if self._terminal.is_json or not self._terminal.console.is_terminal:
            return
        self._status = Status(
            Text(f"{step.who} {step.name}", style="dim"), console=self._terminal.console, spinner="dots"
        )
        self._status.start()

    def end_step(self, outcome: Outcome) -> None:
        """A step has ended; after the last one of a chapter, say how it went."""
        self._stop()
        self._outcomes.append(outcome)
        self._left -= 1
        if outcome.reason or not outcome.is_ok:
            self._terminal.show(
                Text(f"   ✗ {outcome.step.who} {outcome.step.name}: {outcome.seen}", style="bold red"),
                Text(f"     {plain(outcome.reason)}", style="red"),
            )
        if not self._left and all(one.is_ok for one in self._outcomes):
            seconds = sum(one.seconds for one in self._outcomes)
            count = len(self._outcomes)
            self._terminal.show(Text(f"   ✓ {count} steps, {seconds:.1f} s", style="green"))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def show_holdings(holdings: Mapping[str, Sequence[Holding]]) -> list[RenderableType]:
    """What each server holds: kinds, counts, sizes, first bytes; nothing that could be read."""
    shown: list[RenderableType] = []
    for server, kinds in holdings.items():
        lines = table("What", "Count", "Bytes each", "First bytes", right=("Count", "Bytes each"))
        for kind in kinds:
            size = str(kind.largest) if kind.smallest == kind.largest else f"{kind.smallest}-{kind.largest}"
            lines.add_row(kind.kind, str(kind.count), size, Text(kind.first.hex(" "), style="dim"))
        shown += [Text(), Text(_TITLES.get(server, server), style="bold"), lines]
    return shown


def show_search(searched: Search | None, needles: int) -> list[RenderableType]:
    """How much was searched for how many needles, and what was found."""
    if searched is None:
        return []
    shown: list[RenderableType] = [
        Text(),
        Text(
            f"Searched every byte of {searched.files} files, {format_size(searched.size)}, for {needles} secrets in up "
            f"to {MOST_SPELLINGS} spellings each: {len(searched.findings) or 'none'} found.",
            style="green" if not searched.findings else "bold red",
        ),
    ]
    shown += [
        Text(f"  {one.needle} ({one.spelling}) in {one.path.name} at byte {one.offset}", style="red")
        for one in searched.findings
    ]
    return shown


def show_outcomes(outcomes: Sequence[Outcome]) -> list[RenderableType]:
    """The table of all steps, and the sum."""
    lines = table("Step", "Who", "What", "Time", "Verdict", right=("Step", "Time"))
    for number, outcome in enumerate(outcomes, start=1):
        word, style = ("ok", "green") if outcome.is_ok else ("failed", "bold red")
        lines.add_row(
            Text(str(number), style="dim"),
            outcome.step.who,
            outcome.step.name,
            f"{outcome.seconds:.2f} s",
            Text.assemble((word, style), f", {outcome.seen}"),
        )
    failed = sum(not outcome.is_ok for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    words = f"{failed} of {len(outcomes)} steps failed" if failed else f"All {len(outcomes)} steps went as expected"
    return [Text(), lines, Text(), Text(f"{words}, in {seconds:.1f} s.", style="bold red" if failed else "bold green")]
