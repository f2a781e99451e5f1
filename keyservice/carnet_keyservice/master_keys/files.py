"""Master keys in files: `master-1.key`, `master-2.key`, … of 32 bytes each, readable by their owner alone."""

import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self

from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.provider import MasterKeyProvider
from carnet_keyservice.sealing import MASTER_KEY_SIZE, Secret, open_at_rest, seal_at_rest
from carnet_server.errors import SettingsError
from carnet_server.key_files import load_secret_file, make_secret_file

_NAME: Final = re.compile(r"master-([1-9][0-9]{0,8})\.key")


class FileMasterKeys(MasterKeyProvider):
    """Holds the master keys in memory for as long as the program runs."""

    def __init__(self, keys: Mapping[int, Secret]) -> None:
        if not keys:
            raise MasterKeyError("there is no master key; put a file master-1.key of 32 random bytes in place")
        self._keys = dict(keys)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The keys of every master key file in `folder`. Raises `MasterKeyError`."""
        try:
            matches = [match for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))]
            keys = {int(match[1]): load_secret_file(folder / match[0], size_bytes=MASTER_KEY_SIZE) for match in matches}
        except OSError as error:
            raise MasterKeyError("the folder of the master keys cannot be read") from error
        except SettingsError as error:
            raise MasterKeyError(str(error)) from error
        return cls({version: Secret(key) for version, key in keys.items()})

    @override
    def current_version(self) -> int:
        """The highest version."""
        return max(self._keys)

    @override
    def versions(self) -> frozenset[int]:
        """Every version whose file was there."""
        return frozenset(self._keys)

    @override
    def seal(self, secret: Secret, *, aad: bytes, version: int) -> bytes:
        """XChaCha20-Poly1305 with a random nonce before it."""
        return seal_at_rest(self._key(version), secret, aad=aad)

    @override
    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        """What `seal` sealed."""
        return open_at_rest(self._key(version), sealed, aad=aad)

    def _key(self, version: int) -> Secret:
        key = self._keys.get(version)
        if key is None:
            raise MasterKeyError(f"master key {version} is not here; put its file master-{version}.key back")
        return key


def make_master_key_file(
    folder: Path, *, version: int = 1, random: Callable[[int], bytes] = secrets.token_bytes
) -> None:
    """Make a fresh master key file in `folder`. Raises `SettingsError` rather than overwrite one."""
    make_secret_file(folder / f"master-{version}.key", size_bytes=MASTER_KEY_SIZE, random=random)
