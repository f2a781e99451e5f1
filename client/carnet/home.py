"""The folder where one identity lives on this machine: `--home`, else `CARNET_HOME`, else `~/.carnet`.

    card.jws        the pinned service card, readable by anyone who may read the folder
    keyring.json    the keyring, sealed (spec `keys.md`, "Keyring file")
    device-secret   32 bytes without which the passphrase opens nothing
    state/          what this client saw and what it still has to send, sealed under the account key
    lock            held while a command changes one of these

Folders are 0700, files 0600. A file is replaced whole (`carnet.whole_file`), so that a power cut leaves the old one or
the new one.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from carnet.errors import HomeBusyError, HomeError, NoHomeError
from carnet.keys import DeviceSecret
from carnet.whole_file import is_draft, replace_file, sync_folder
from carnet_protocol.limits import MIB

KEYRING_FILE: Final = "keyring.json"
ENVIRONMENT_VARIABLE: Final = "CARNET_HOME"
CUT_LINE_MARK: Final = b"!"
"""No base64: it stands in no line that is given to `Home.append`, but at the end of what a cut left of one."""
_MAX_FILE_BYTES: Final = 64 * MIB
_LOCK_PATIENCE_SECONDS: Final = 10.0
_LOCK_POLL_SECONDS: Final = 0.05


def find_home(home: Path | None, environment: Mapping[str, str]) -> Path:
    """The folder to use: `home`, else what `environment` says, else `.carnet` in the user's own folder."""
    if home is not None:
        return home
    named = environment.get(ENVIRONMENT_VARIABLE)
    return Path(named) if named else Path.home() / ".carnet"


class Home:
    """One identity's folder. Making the value touches nothing; `create` makes the folder."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        """The home at `path`."""
        self.path = path

    def __repr__(self) -> str:
        """The path."""
        return f"Home({str(self.path)!r})"

    def create(self) -> None:
        """Make the folder, for its owner alone. Raises `HomeError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise HomeError(f"the home folder {self.path} cannot be made: {error.strerror}") from error

    def has(self, name: str) -> bool:
        """Whether there is a file called `name`."""
        return self._file(name).is_file()

    def load(self, name: str) -> bytes:
        """The content of the file `name`. Raises `NoHomeError` if nobody lives here, else `HomeError`."""
        path = self._file(name)
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise self._explain_missing(name) from error
        except OSError as error:
            raise HomeError(f"{path} cannot be read: {error.strerror}") from error
        if len(data) > _MAX_FILE_BYTES:
            raise HomeError(f"{path} is larger than any file of Carnet's own: it was changed")
        return data

    def _explain_missing(self, name: str) -> HomeError:
        if self.has(KEYRING_FILE):
            return HomeError(f"there is no {name} in {self.path} any more: put it back, or restore from your words")
        return NoHomeError(f"nobody lives in {self.path}: begin with `carnet init`, or name a home")

    def store(self, name: str, data: bytes) -> None:
        """Put `data` where the file `name` is, or is not yet; durable on return. Raises `HomeError`."""
        path = self._file(name)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(f"{path} cannot be written: {error.strerror}") from error
        replace_file(path, data)

    def append(self, name: str, line: bytes) -> None:
        """Add `line` to the end of the file `name`; not synced, for what a power cut may cost. Raises `HomeError`.

        What a cut left half written before it becomes a line of its own that ends in `CUT_LINE_MARK`.
        """
        path = self._file(name)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                # One write: lines of two processes never mix.
                os.write(descriptor, _end_cut_line(descriptor) + line + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise HomeError(f"{path} cannot be written: {error.strerror}") from error

    def remove(self, name: str) -> None:
        """Remove the file `name` if there is one; durable on return. Raises `HomeError`."""
        path = self._file(name)
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)
        except OSError as error:
            raise HomeError(f"{path} cannot be removed: {error.strerror}") from error

    def names(self, folder: str) -> list[str]:
        """Names of the files in `folder`, as `load` takes them, in order; what a cut left half written is left out."""
        found = self._file(folder)
        if not found.is_dir():
            return []
        return sorted(f"{folder}/{path.name}" for path in found.iterdir() if path.is_file() and not is_draft(path))

    @contextmanager
    def lock(self, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Keep other commands from changing this home meanwhile. Raises `HomeBusyError` after ten seconds.

        The lock ends with the process, however that ends.
        """
        try:
            descriptor = os.open(self._file("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeError(f"the home folder {self.path} cannot be locked: {error.strerror}") from error
        try:
            _wait_for_lock(descriptor, self.path, sleep)
            yield
        finally:
            os.close(descriptor)

    def load_device_secret(self) -> DeviceSecret:
        """The device secret. Raises `HomeError` if it is not there or was cut."""
        data = self.load("device-secret")
        if len(data) != DeviceSecret.SIZE:
            raise HomeError(f"the device secret in {self.path} was changed: restore with the recovery words")
        return DeviceSecret(data)

    def _file(self, name: str) -> Path:
        parts = name.split("/")
        if any(part in {"", ".", ".."} for part in parts):
            raise AssertionError("internal: a file of the home folder has a plain name")
        return self.path.joinpath(*parts)


def _end_cut_line(descriptor: int) -> bytes:
    """What ends a line at the end of the file that was cut: nothing where none was."""
    size = os.fstat(descriptor).st_size
    is_whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
    return b"" if is_whole else CUT_LINE_MARK + b"\n"


def _wait_for_lock(descriptor: int, path: Path, sleep: Callable[[float], None]) -> None:
    waited = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if waited >= _LOCK_PATIENCE_SECONDS:
                raise HomeBusyError(f"another command is at work in {path}: wait for it, then try again") from error
            sleep(_LOCK_POLL_SECONDS)
            waited += _LOCK_POLL_SECONDS
        else:
            return
