"""What every command shares: the options `--json`, `--home` and `--passphrase-file`, and how its result is shown.

    @command
    def whoami(desk: Desk) -> Answer:
        with desk.open_session() as session: ...

A command returns an `Answer`, or an `Exit` if it has said all, or raises a `CarnetError`; printing and exit codes are
decided here and in `carnet.cli.running`.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Concatenate, Final, ParamSpec

from rich.console import RenderableType
from typer import Option

from carnet.cli.exits import Exit, error_name
from carnet.cli.hyphens import unmark
from carnet.cli.passphrases import find_file, read_passphrase
from carnet.cli.servers import describe_unsent
from carnet.cli.terminal import Terminal
from carnet.erasure import find_erasure
from carnet.errors import NoHomeError, RecordErasedError
from carnet.home import Home, find_home
from carnet.keyring import KEYRING_FILE
from carnet.session import Session, open_session

P = ParamSpec("P")

JsonOption = Annotated[bool, Option("--json", help="Print one JSON object.")]
HomeOption = Annotated[
    Path | None,
    Option("--home", metavar="FOLDER", help="Whose identity to use; CARNET_HOME, else ~/.carnet, if not given."),
]
PassphraseOption = Annotated[
    Path | None,
    Option("--passphrase-file", metavar="FILE", help="Read the passphrase from FILE instead of asking for it."),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: `members` of the JSON object, what is `shown` to a person, and how it ends."""

    members: dict[str, object]
    shown: Sequence[RenderableType] = ()
    exit: Exit = Exit.DONE


@dataclass(frozen=True, slots=True)
class Desk:
    """Where somebody sits at a command: a terminal, a home, and perhaps a file with the passphrase."""

    terminal: Terminal
    home: Home
    passphrase_file: Path | None = field(default=None, repr=False)

    def check_home(self) -> None:
        """Check that somebody lives in the home. Raises `NoHomeError`."""
        if not self.home.has(KEYRING_FILE):
            raise NoHomeError(f"nobody lives in {self.home.path}: begin with `carnet init`, or name a home")

    def open_session(self) -> Session:
        """As `open_any_session`, of somebody who has not erased their record. Raises `RecordErasedError` otherwise."""
        session = self.open_any_session()
        try:
            _require_record(session)
        except BaseException:
            session.close()
            raise
        return session

    def open_any_session(self) -> Session:
        """The session of whoever lives in the home. Raises as `carnet.session.open_session`."""
        # A home that is not there is told before anybody types a passphrase for it.
        self.check_home()
        session = open_session(self.home, passphrase=read_passphrase(self.terminal, self.passphrase_file))
        for unsent in session.unsent:
            for message in describe_unsent(unsent):
                self.terminal.warn(error_name(unsent.error), message)
        return session


def _require_record(session: Session) -> None:
    """Check that this home did not erase its record. Raises `RecordErasedError`."""
    if find_erasure(session.state) is not None:
        waiting = "" if session.outbox.is_empty() else "; a server does not know it yet: run `carnet erase` again"
        raise RecordErasedError(f"the record of {session.home.path} was erased with `carnet erase`{waiting}")


def command(function: Callable[Concatenate[Desk, P], Answer | Exit]) -> Callable[..., int]:
    """`function` as a command with the shared options, which returns its exit code."""
    # What typer parsed is what `function` declared.
    act: Callable[..., Answer | Exit] = function

    def run(*, json: bool, home: Path | None, passphrase_file: Path | None, **parsed: object) -> int:
        desk = Desk(
            Terminal(is_json=json),
            Home(find_home(unmark(home), os.environ)),
            find_file(unmark(passphrase_file), os.environ),
        )
        return finish(desk.terminal, act(desk, **unmark(parsed)))

    return _with_options(run, function, _ALL)


def command_without_home(function: Callable[Concatenate[Terminal, P], Answer | Exit]) -> Callable[..., int]:
    """`function` as a command that needs nobody's identity; of the shared options it has `--json` alone."""
    act: Callable[..., Answer | Exit] = function

    def run(*, json: bool, **parsed: object) -> int:
        terminal = Terminal(is_json=json)
        return finish(terminal, act(terminal, **unmark(parsed)))

    return _with_options(run, function, _JSON)


def finish(terminal: Terminal, answer: Answer | Exit) -> int:
    """Print `answer`, unless the command has said all itself, and return the exit code."""
    if isinstance(answer, Exit):
        return int(answer)
    terminal.answer(answer.members, answer.shown)
    return int(answer.exit)


_JSON: Final = (inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),)
_ALL: Final = (
    *_JSON,
    inspect.Parameter("home", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=HomeOption),
    inspect.Parameter("passphrase_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PassphraseOption),
)


def _with_options(
    run: Callable[..., int], function: Callable[..., Answer | Exit], shared: tuple[inspect.Parameter, ...]
) -> Callable[..., int]:
    """`run` with name, help and options of `function`, its first parameter left out, and the `shared` options."""
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    ]
    run.__name__ = function.__name__
    # A raw docstring spells the mark of a paragraph that is not to be filled with two characters.
    run.__doc__ = (function.__doc__ or "").replace("\\b", "\b")
    run.__module__ = function.__module__
    signature = inspect.Signature([*own, *shared], return_annotation=int)
    # What typer reads the options from.
    run.__signature__ = signature  # type: ignore[attr-defined]  # functions have it, the stub does not
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    return run
