"""Exit codes: what a script may rely on. One table, from the class of an error to a code and a word for it.

0    done
1    refused, or not what it claims to be; for `verify`, something did not verify
2    the command, an option or a name is wrong
3    it could not be finished, mostly because a server cannot be reached: the same command can be run again
4    something on this machine is in the way: a passphrase, a file, a home, a kit that was not printed
70   a mistake of this program
130  interrupted
141  whoever read the output went away
143  told to stop
"""

from enum import IntEnum, unique
from typing import Final

from carnet.errors import (
    CallerError,
    CarnetError,
    DataError,
    GrantEndedError,
    NoSpaceError,
    NotFoundError,
    PartialError,
    RateLimitedError,
    RefusalError,
    TransportError,
    UnavailableError,
    UnfinishedError,
    UnreachableError,
    UsageError,
)


@unique
class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    IN_THE_WAY = 4
    MISTAKE = 70
    INTERRUPTED = 130
    READER_GONE = 141
    STOPPED = 143


TABLE: Final[dict[type[CarnetError], Exit]] = {
    UsageError: Exit.USAGE,
    NotFoundError: Exit.USAGE,
    GrantEndedError: Exit.REFUSED,
    CallerError: Exit.IN_THE_WAY,
    DataError: Exit.REFUSED,
    UnreachableError: Exit.UNREACHABLE,
    PartialError: Exit.UNREACHABLE,
    UnfinishedError: Exit.UNREACHABLE,
    UnavailableError: Exit.UNREACHABLE,
    RateLimitedError: Exit.UNREACHABLE,
    NoSpaceError: Exit.UNREACHABLE,
    RefusalError: Exit.REFUSED,
    TransportError: Exit.REFUSED,
}
"""The class of an error, or the nearest one above it, and the code it ends with."""


def exit_code(error: CarnetError) -> Exit:
    """The code with which `error` ends a command."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    raise AssertionError("internal: an error outside the tree")


def error_name(error: CarnetError) -> str:
    """How `--json` names `error`: a refusal by the server's code, the others by their class, as in `unlock`."""
    if isinstance(error, RefusalError):
        return error.code.value
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
