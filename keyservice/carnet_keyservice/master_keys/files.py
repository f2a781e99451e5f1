"""Master keys in files: `master-1.key`, `master-2.key`, … of 32 bytes each, readable by their owner alone."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.provider import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import MASTER_KEY_SIZE, Secret
from carnet_server.errors import SettingsError
from carnet_server.key_files import load_secret_file, make_secret_file

FILES: Final = "file"


class FileProvider(MasterKeyProvider):
    """Keeps each key in a file of `folder`. Its token is empty: the version names the file."""

    name = FILES
    afterwards = (
        "its file was overwritten and removed; copies of it in backups, or in snapshots of the disk, still hold it"
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def make(self, version: int) -> MadeKey:
        """A fresh file, or the one that is there."""
        if not self._path(version).exists():
            with contextlib.suppress(SettingsError):  # another process made it first, or `load` says what is wrong
                make_master_key_file(self._folder, version=version)
        made = MadeKey(self.load(version, b""), b"")
        self._sync(version)  # whoever made it may have died, or met a failing disk, before it was durable
        return made

    @override
    def load(self, version: int, token: bytes) -> Secret:
        """What is in the file."""
        if token:
            raise MasterKeyError(f"master key {version} is in no file; name its provider in the settings")
        path = self._path(version)
        if not path.exists():
            raise MasterKeyError(f"master key {version} is not here; put its file {path.name} back")
        try:
            raw = load_secret_file(path, size_bytes=MASTER_KEY_SIZE)
        except SettingsError as error:
            raise MasterKeyError(str(error)) from error
        if not any(raw):  # what a destruction that was cut off leaves is no key, to no database
            raise MasterKeyError(
                f"{path.name} was overwritten to destroy it; put the file of a backup back, or remove it"
            )
        return Secret(raw)

    @override
    def destroy(self, version: int, token: bytes) -> None:
        """Overwrite the file, then remove it.

        A disk may keep what was overwritten, and copies of the file are not ours to find: see the threat model.
        """
        path = self._path(version)
        if not self._folder.is_dir():
            raise MasterKeyError(f"the folder of {path.name} is not here; put it back")
        try:
            for file in (path, *self._folder.glob(f".{path.name}.*")):  # drafts that a crash left hold it too
                _overwrite_and_remove(file)
            _sync(self._folder)
        except OSError as error:
            raise MasterKeyError(f"{path.name} cannot be destroyed; remove it by hand") from error

    def _sync(self, version: int) -> None:
        path = self._path(version)
        try:
            _sync(path)
            _sync(self._folder)
        except OSError as error:
            raise MasterKeyError(f"{path.name} is not safe on its disk: see what is wrong with that first") from error

    def _path(self, version: int) -> Path:
        return self._folder / f"master-{version}.key"


def make_master_key_file(
    folder: Path, *, version: int = 1, random: Callable[[int], bytes] = secrets.token_bytes
) -> None:
    """Make a fresh master key file in `folder`. Raises `SettingsError` rather than overwrite one."""
    make_secret_file(folder / f"master-{version}.key", size_bytes=MASTER_KEY_SIZE, random=random)


def _overwrite_and_remove(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(bytes(MASTER_KEY_SIZE))
        os.fsync(file.fileno())
    path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
