"""Which master keys are in use, and whether the provider holds the right ones.

For each version in use the database keeps a known value sealed under its key. At start each is opened: a wrong key is
told at once, before anything is sealed under it.
"""

from typing import Final

from sqlalchemy import Connection, insert, select

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.master_keys.provider import MasterKeyProvider
from carnet_keyservice.sealing import Secret
from carnet_keyservice.tables import master_keys
from carnet_protocol import labels
from carnet_protocol.encoding import pack

_KNOWN: Final = Secret(b"carnet master key check".ljust(32, b"\0"))


def is_unregistered(connection: Connection, provider: MasterKeyProvider) -> bool:
    """Whether the current version was never in use. Raises `MasterKeyError` for a version that is missing or wrong."""
    used = {row.version: row.check_value for row in connection.execute(select(master_keys))}
    for version, check_value in sorted(used.items()):
        if version not in provider.versions():
            raise MasterKeyError(f"master key {version} is in use and not here; put it back")
        if not is_right(provider, version, check_value):
            raise MasterKeyError(f"master key {version} is not the one that is in use; put the right one back")
    return provider.current_version() not in used


def is_right(provider: MasterKeyProvider, version: int, check_value: bytes) -> bool:
    """Whether `provider` holds the key under which `check_value` was made."""
    try:
        return provider.open(check_value, aad=_check_aad(version), version=version).is_same_as(_KNOWN)
    except SealedError:
        return False


def register_current(connection: Connection, provider: MasterKeyProvider) -> None:
    """Note that the current version is in use from now on."""
    version = provider.current_version()
    check_value = provider.seal(_KNOWN, aad=_check_aad(version), version=version)
    connection.execute(insert(master_keys), {"version": version, "check_value": check_value})


def _check_aad(version: int) -> bytes:
    return pack(labels.MASTER_KEY_CHECK, version)
