"""Where a command speaks: results on standard output, everything else on standard error.

With `--json`, standard output carries one JSON object and standard error, if the command fails, one more; nothing is
drawn. Without it, text and tables are for a person. Nothing is asked where nobody can answer.
"""

import json
import os
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getpass
from typing import Final, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from carnet.cli.plain import plain
from carnet.errors import UsageError

_WIDTH_OF_NO_TERMINAL: Final = 1000
"""What reads a pipe wants whole lines."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A progress bar: `move` says how many bytes are done, `name` what is being worked on."""

    move: Callable[[int], None]
    name: Callable[[str], None]


Tally = Callable[[str, int, int | None], None]
"""Is told what is being worked on, how many are done, and of how many; None while nobody knows."""


class Terminal:
    """Standard output and standard error of one command."""

    def __init__(self, *, is_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        """Speaks to `out` and `err`, the process's own unless others are given."""
        self.is_json = is_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self.console = _console(self._out)
        self.notices = _console(self._err)

    def answer(self, members: Mapping[str, object], shown: Sequence[RenderableType]) -> None:
        """Print the result: `members` as one JSON object, or `shown` for a person."""
        if self.is_json:
            self._out.write(format_json(members) + "\n")
        else:
            self.show(*shown)
        self._out.flush()

    def show(self, *shown: RenderableType) -> None:
        """Show a person what comes before the result; nothing with `--json`."""
        if self.is_json:
            return
        for renderable in shown:
            if self.console.is_terminal:
                self.console.print(renderable)
                continue
            with self.console.capture() as captured:
                self.console.print(renderable)
            # A table fills its lines up with spaces, which in a file are only in the way.
            self._out.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())

    def say(self, text: str, *, style: str = "") -> None:
        """Tell a person something that is not part of the result; nothing with `--json`."""
        if not self.is_json:
            self.notices.print(Text(text, style=style))

    def fail(self, code: str, message: str) -> None:
        """Say on standard error why the command failed."""
        if self.is_json:
            self._err.write(format_json({"error": {"code": code, "message": message}}) + "\n")
        else:
            self.notices.print(Text.assemble(("carnet: ", "bold red"), plain(message)), soft_wrap=True)
        self._err.flush()

    def warn(self, code: str, message: str) -> None:
        """Say on standard error what must not be missed, whatever becomes of the command."""
        if self.is_json:
            self._err.write(format_json({"warning": {"code": code, "message": message}}) + "\n")
        else:
            self.notices.print(Text.assemble(("carnet: ", "bold yellow"), plain(message)), soft_wrap=True)
        self._err.flush()

    @property
    def can_ask(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin is not None and sys.stdin.isatty() and self._err.isatty()

    def ask(self, question: str, *, otherwise: str) -> str:
        """What a person types after `question`. Raises `UsageError`, saying `otherwise`, where nobody is there."""
        if not self.can_ask:
            raise UsageError(otherwise)
        self.notices.print(Text(question + " ", style="bold"), end="")
        with self._leaving_the_line():
            line = sys.stdin.readline()
            if not line:
                raise KeyboardInterrupt
        return line.strip()

    def agrees(self, question: str, *, is_said: bool) -> bool:
        """Whether a person says yes to `question`, or has said so with `--yes`; anything else is no.

        Raises `UsageError` where nobody said so and nobody can be asked.
        """
        if is_said:
            return True
        answer = self.ask(f"{question} [y/N]", otherwise="nobody can be asked here: add --yes")
        return answer.lower() in {"y", "yes"}

    def ask_secret(self, question: str, *, otherwise: str) -> str:
        """What a person types unseen. Raises `UsageError`, saying `otherwise`, where nobody is there."""
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError as error:
            raise UsageError(otherwise) from error
        with self._leaving_the_line():
            try:
                return getpass(question + " ")
            except (EOFError, termios.error) as error:
                raise KeyboardInterrupt from error

    @contextmanager
    def _leaving_the_line(self) -> Iterator[None]:
        """Whoever interrupts a question reads what comes after it on a line of its own."""
        try:
            yield
        except KeyboardInterrupt:
            self._err.write("\n")
            raise

    @contextmanager
    def tally(self, title: str) -> Iterator[Tally]:
        """A bar for work on things that are counted, with how many go in a second; else as `progress`."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(compact=True),
        )
        with self._bars(columns) as drawn:
            task = drawn.add_task(plain(title), total=None)

            def move(name: str, done: int, total: int | None) -> None:
                drawn.update(task, description=plain(name), completed=done, total=total)

            yield move

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Bar]:
        """A bar for work on `total` bytes, drawn only on a terminal, gone when the work is done."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(compact=True),
        )
        with self._bars(columns) as drawn:
            task = drawn.add_task(plain(title), total=max(total, 1))

            def move(done: int) -> None:
                drawn.update(task, completed=done)

            def name(text: str) -> None:
                drawn.update(task, description=plain(text))

            yield Bar(move, name)

    def _bars(self, columns: Sequence[ProgressColumn]) -> Progress:
        is_drawn = self._err.isatty() and not self.is_json
        return Progress(*columns, console=self.notices, transient=True, disable=not is_drawn, expand=True)


def format_json(members: Mapping[str, object]) -> str:
    """One line of JSON in ASCII: safe on any terminal, whatever its strings hold."""
    return json.dumps(members, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def table(*headings: str, right: Sequence[str] = ()) -> Table:
    """A table without lines; the columns named in `right` are aligned to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return made


def facts(*pairs: tuple[str, RenderableType]) -> Table:
    """A list of names and values, names dim."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value)
    return made


def count(number: int, noun: str, *, plural: str | None = None) -> str:
    """So many of something: `1 version`, `2 versions`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def format_size(size: int) -> str:
    """A number of bytes for a person: `812 B`, `22 KiB`, `52 MiB`."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:  # noqa: PLR2004  the step between units
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


class _RateColumn(ProgressColumn):
    """How many things are done in a second."""

    @override
    def render(self, task: Task) -> Text:
        """The rate, once there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f}/s", style="dim")


class _Console(Console):
    """rich's, which leaves it to the command to say how it ends when whoever reads went away."""

    @override
    def on_broken_pipe(self) -> None:
        """Let the error pass."""
        raise BrokenPipeError


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else _WIDTH_OF_NO_TERMINAL
    return _Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
