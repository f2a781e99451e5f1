"""The master keys that this process holds in memory, by version: what seals and opens record locks at rest.

Which versions there are, and who keeps them, the database says; each provider gives its keys once. A provider that goes
away later takes nothing from what is here. A version that is asked for and not here is asked for once more, for another
process may have brought it into use since.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.master_keys.provider import MasterKeyProvider
from carnet_keyservice.master_keys.queries import MasterKeyRow
from carnet_keyservice.master_keys.state import OPENING
from carnet_keyservice.sealing import Secret, open_at_rest, seal_at_rest
from carnet_protocol import labels
from carnet_protocol.encoding import pack

_KNOWN: Final = Secret(b"carnet master key check".ljust(32, b"\0"))
LoadRow = Callable[[int], MasterKeyRow | None]
"""Gives the row of a version, from the database."""


class MasterKeys:
    """The ring. One per process; threads share it."""

    def __init__(self, providers: Iterable[MasterKeyProvider]) -> None:
        self._providers: Mapping[str, MasterKeyProvider] = {provider.name: provider for provider in providers}
        self._mutex = threading.Lock()
        self._keys: dict[int, Secret] = {}
        self._find: LoadRow | None = None

    def __repr__(self) -> str:
        return f"MasterKeys({sorted(self._keys)})"

    def find_in(self, find: LoadRow) -> None:
        """Ask `find` from now on for the row of a version that is not in memory."""
        self._find = find

    def provider(self, name: str) -> MasterKeyProvider:
        """The provider called `name`. Raises `MasterKeyError` where the settings name none."""
        found = self._providers.get(name)
        if found is None:
            raise MasterKeyError(f"the settings name no provider {name!r} of master keys")
        return found

    def versions(self) -> frozenset[int]:
        """The versions in memory."""
        with self._mutex:
            return frozenset(self._keys)

    def hold(self, version: int, key: Secret) -> None:
        """Keep `key` in memory. Raises `MasterKeyError` if that version is another key."""
        with self._mutex:
            known = self._keys.setdefault(version, key)
        if not known.is_same_as(key):
            raise MasterKeyError(f"master key {version} is not the one that is in use; put the right one back")

    def load(self, row: MasterKeyRow) -> None:
        """Have the provider give the key of `row`, unless it is here. Raises `MasterKeyError` for a wrong one."""
        if row.version in self.versions():
            return
        key = self.provider(row.provider).load(row.version, row.token)
        if not is_right(key, row):
            raise MasterKeyError(f"master key {row.version} is not the one that is in use; put the right one back")
        self.hold(row.version, key)

    def forget(self, version: int) -> None:
        """Hold the key of `version` no longer."""
        with self._mutex:
            self._keys.pop(version, None)

    def seal(self, secret: Secret, *, aad: bytes, version: int) -> bytes:
        """XChaCha20-Poly1305 of `secret` under master key `version`, bound to `aad`. Raises `MasterKeyError`."""
        return seal_at_rest(self._key(version), secret, aad=aad)

    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        """What `seal` sealed. Raises `MasterKeyError` or `SealedError`."""
        return open_at_rest(self._key(version), sealed, aad=aad)

    def _key(self, version: int) -> Secret:
        with self._mutex:
            key = self._keys.get(version)
        if key is not None:
            return key
        row = None if self._find is None else self._find(version)
        if row is None or row.state not in OPENING:
            raise MasterKeyError(f"master key {version} is not here")
        self.load(row)
        with self._mutex:
            return self._keys[version]


def make_check_value(key: Secret, version: int) -> bytes:
    """A known value sealed under `key`: with it, a wrong key is told before it seals anything."""
    return seal_at_rest(key, _KNOWN, aad=_check_aad(version))


def is_right(key: Secret, row: MasterKeyRow) -> bool:
    """Whether `key` is the one under which the check value of `row` was made."""
    try:
        return open_at_rest(key, row.check_value, aad=_check_aad(row.version)).is_same_as(_KNOWN)
    except SealedError:
        return False


def _check_aad(version: int) -> bytes:
    return pack(labels.MASTER_KEY_CHECK, version)
