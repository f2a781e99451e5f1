"""From the words on the command line to an exit code."""

import difflib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

from carnet.cli.catalogue import format_help, names
from carnet.cli.exits import Exit

# Options of every command that may also stand before its name, and whether a value follows.
_SHARED: Final = {"--json": False, "--home": True, "--passphrase-file": True}
_GOES_ON: Final = "stopped; run again, it goes on where it was"
_STOPPED: Final = {"demo": "stopped; the next demo begins anew"}
_HELP_WORDS: Final = {"--help", "-h", "help"}


class Stopped(BaseException):
    """SIGTERM or SIGHUP came. Not an Exception, so that it passes through what handles those."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`, or in the process's own, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    is_json = "--json" in words
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return _run(words)
    except KeyboardInterrupt:
        _say(_STOPPED.get(split_words(words)[1] or "", _GOES_ON), is_json=is_json, code="interrupted")
        return Exit.INTERRUPTED
    except Stopped:
        return Exit.STOPPED
    except BrokenPipeError:
        # Whatever is still in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.READER_GONE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(words: list[str]) -> int:
    leading, name, rest = split_words(words)
    if name is None and words and _SHARED.get(words[-1]):
        _say(f"{words[-1]} wants a value, and a command after it", is_json="--json" in words, code="usage")
        return Exit.USAGE
    if name is None or (name in _HELP_WORDS and not rest):
        sys.stdout.write(format_help())
        return Exit.DONE
    if name == "--version":
        name = "version"
    if name in _HELP_WORDS:
        name, rest = rest[0], [*rest[1:], "--help"]
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        _say(
            f"there is no command {name!r}.{meant} `carnet --help` lists them all",
            is_json="--json" in words,
            code="usage",
        )
        return Exit.USAGE
    # What only a real command needs: typer, rich and the SDK.
    from carnet.cli.running import run_command  # noqa: PLC0415  the help does without them

    return run_command(name, leading, rest)


def split_words(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The shared options before the command's name, the name, and what follows it."""
    leading: list[str] = []
    position = 0
    while position < len(words) and (option := words[position].partition("=")[0]) in _SHARED:
        has_value = _SHARED[option] and "=" not in words[position]
        leading += words[position : position + 1 + has_value]
        position += 1 + has_value
    if position >= len(words):
        return leading, None, []
    return leading, words[position], list(words[position + 1 :])


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Stopped


def _say(message: str, *, is_json: bool, code: str) -> None:
    from carnet.cli.terminal import Terminal  # noqa: PLC0415  rich is not needed to print the help

    Terminal(is_json=is_json).fail(code, message)
