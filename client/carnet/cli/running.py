"""Runs one command and turns its failure into words and a code."""

import errno
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from typer import Abort, Typer
from typer.exceptions import TyperException
from typer.main import get_command

from carnet.cli.catalogue import load_command
from carnet.cli.exits import Exit, error_name, exit_code
from carnet.cli.hyphens import MARK, mark
from carnet.cli.terminal import Terminal
from carnet.errors import CarnetError

CommandOrGroup = Callable[..., int] | Typer
_TRACE_VARIABLE: Final = "CARNET_TRACE"
_OF_THE_MACHINE: Final = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "name a place that takes large files",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: "make it yours, or name another place",
    errno.EPERM: "make it yours, or name another place",
    errno.EIO: "look after the disk",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs",
}
"""What mends a failure of a file that no command told in words of its own."""


def run_command(name: str, leading: Sequence[str], rest: Sequence[str]) -> int:
    """Run the command or group called `name` with the words after it; `leading` stood before it."""
    terminal = Terminal(is_json="--json" in (*leading, *rest))
    try:
        outcome = _run(load_command(name), name, leading, rest)
    except CarnetError as error:
        terminal.fail(error_name(error), str(error))
        return exit_code(error)
    except TyperException as error:
        return _fail_usage(terminal, error, f"carnet {name}")
    except Abort:
        raise KeyboardInterrupt from None
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except OSError as error:
        return _fail_machine(terminal, error)
    except Exception as error:  # noqa: BLE001  whatever else comes is a mistake of ours, told without its values
        return _fail_mistake(terminal, error)
    if outcome == Exit.INTERRUPTED:  # typer returns it where it swallowed the interrupt
        raise KeyboardInterrupt
    return int(outcome) if isinstance(outcome, int) else Exit.DONE


def _run(loaded: CommandOrGroup, name: str, leading: Sequence[str], rest: Sequence[str]) -> object:
    """What the command returns: its exit code, or that of `--help`."""
    is_group = isinstance(loaded, Typer)
    words = [*rest[:1], *leading, *rest[1:]] if is_group else [*leading, *rest]
    program = get_command(loaded if isinstance(loaded, Typer) else _wrap(loaded))
    for command in (program, *getattr(program, "commands", {}).values()):
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                # The name of an argument says what it is; `<list[Path]>` beside it is for programmers.
                parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  typer gives it
    try:
        return program.main([mark(word) for word in words], prog_name=f"carnet {name}", standalone_mode=False)
    except SystemExit as error:
        # The one thing that typer ends the process for, and with a code of its own.
        raise BrokenPipeError from error


def _wrap(function: Callable[..., int]) -> Typer:
    """`function` as the only command of an application, which then goes without a word of its own."""
    app = _make_app()
    app.command(help=inspect.getdoc(function))(function)
    return app


def make_group(words: str) -> Typer:
    """A group of commands with `words` as its help. It stays one even with a single command."""
    group = _make_app(no_args_is_help=True)
    group.callback(help=words)(lambda: None)
    return group


def _make_app(*, no_args_is_help: bool = False) -> Typer:
    """An application in the manner of this command: plain help, no completion, no traces with values."""
    return Typer(
        no_args_is_help=no_args_is_help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _fail_usage(terminal: Terminal, error: TyperException, program: str) -> int:
    # pydantic's words for a value that it refused, and typer's for the command that it was in.
    message = error.format_message().replace(MARK, "").replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    program = program if context is None else context.command_path
    if terminal.is_json or not message.startswith("Usage:"):
        message = message.splitlines()[0] if message.startswith("Usage:") else message
        terminal.fail("usage", f"{message.rstrip('.')}. See `{program} --help`.")
    else:  # a group without a command: typer's message is its help
        sys.stderr.write(message + "\n")
    return Exit.USAGE


def _fail_machine(terminal: Terminal, error: OSError) -> int:
    """Say what is in the way on this machine, and what mends it; if it is nothing of that kind, it is our mistake."""
    mend = _OF_THE_MACHINE.get(error.errno or 0)
    if mend is None:
        return _fail_mistake(terminal, error)
    terminal.fail("home", f"a file could not be read or written: {error.strerror}: {mend}, then run this again")
    return Exit.IN_THE_WAY


def _fail_mistake(terminal: Terminal, error: Exception) -> int:
    """Say that the program is wrong. The trace may hold values, so it is printed only where somebody asked for it."""
    if os.environ.get(_TRACE_VARIABLE):
        traceback.print_exception(error)
    places = traceback.extract_tb(error.__traceback__)
    where = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "?"
    terminal.fail(
        "internal",
        f"this is a mistake of the program ({type(error).__name__} at {where}): please tell its makers; "
        f"{_TRACE_VARIABLE}=1 before the command shows more",
    )
    return Exit.MISTAKE
