"""Where a passphrase comes from: a file that was named, or a person who types it unseen.

Never an argument, which every user of the machine can read in the list of processes, and never an environment
variable, which ends up in logs; only the name of a file may stand in one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from carnet.cli.terminal import Terminal
from carnet.errors import HomeError, UsageError
from carnet.slots import LONGEST_PASSPHRASE_BYTES, check_passphrase

ENVIRONMENT_VARIABLE: Final = "CARNET_PASSPHRASE_FILE"
_NOBODY: Final = (
    "nobody can type a passphrase here: write it into a file, and name that with --passphrase-file or "
    f"{ENVIRONMENT_VARIABLE}"
)


def find_file(named: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file that holds the passphrase: `named`, else what `environment` says, else none."""
    if named is not None:
        return named
    text = environment.get(ENVIRONMENT_VARIABLE)
    return Path(text) if text else None


def read_passphrase(terminal: Terminal, file: Path | None) -> str:
    """The passphrase that opens a keyring. Raises `HomeError` or `UsageError`."""
    return load_passphrase(file) if file else terminal.ask_secret("Passphrase:", otherwise=_NOBODY)


def choose_passphrase(terminal: Terminal, file: Path | None) -> str:
    """A passphrase for a new lock, typed twice if it is typed. Raises `HomeError` or `UsageError`."""
    if file:
        passphrase = load_passphrase(file)
        check_passphrase(passphrase)
        return passphrase
    passphrase = terminal.ask_secret("New passphrase:", otherwise=_NOBODY)
    check_passphrase(passphrase)
    if terminal.ask_secret("Once more:", otherwise=_NOBODY) != passphrase:
        raise UsageError("the two are not the same: start again")
    return passphrase


def load_passphrase(file: Path) -> str:
    """The first line of `file`, which may be a pipe. Raises `HomeError`."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(LONGEST_PASSPHRASE_BYTES + 2)
    except OSError as error:
        raise HomeError(f"the passphrase file {file} cannot be read: {error.strerror}") from error
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise HomeError(f"the passphrase file {file} is not text: write the passphrase on its first line") from error
