"""Private halves of record locks: made and sealed at rest, opened when a release needs them, kept for the next one.

Everything here happens outside of transactions, for a provider of master keys may be slow.
"""

import threading
from collections import OrderedDict
from typing import Final

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.locks.queries import SealedLock
from carnet_keyservice.master_keys.provider import MasterKeyProvider
from carnet_keyservice.sealing import LockKey, make_lock_seed, open_lock_key
from carnet_protocol import labels
from carnet_protocol.encoding import pack
from carnet_protocol.ids import RecordId
from carnet_protocol.suites import WRITE_SUITE
from carnet_server.errors import UnavailableError

MAX_OPEN_KEYS: Final = 4096
LockName = tuple[RecordId, int]
"""Record and version."""


class LockKeys:
    """Makes and opens the private halves. One per program; keeps the ones that were used last."""

    def __init__(self, provider: MasterKeyProvider, capacity: int = MAX_OPEN_KEYS) -> None:
        self._provider = provider
        self._capacity = capacity
        self._mutex = threading.Lock()
        self._open: OrderedDict[LockName, LockKey] = OrderedDict()

    def make(self, record: RecordId, version: int) -> SealedLock:
        """A fresh lock, read back and opened before it is handed out. Raises `UnavailableError`."""
        seed = make_lock_seed()
        key = open_lock_key(seed, WRITE_SUITE)
        master_key_version = self._provider.current_version()
        aad = derive_aad(record, version, master_key_version)
        try:
            sealed_seed = self._provider.seal(seed, aad=aad, version=master_key_version)
            lock = SealedLock(record, version, WRITE_SUITE, key.public_key, sealed_seed, master_key_version)
            open_sealed_lock(self._provider, lock)
        except (MasterKeyError, SealedError) as error:
            raise UnavailableError("master_key") from error
        return lock

    def find(self, name: LockName) -> LockKey | None:
        """The private half called `name`, if it is in memory."""
        with self._mutex:
            key = self._open.get(name)
            if key is not None:
                self._open.move_to_end(name)
            return key

    def open(self, lock: SealedLock) -> LockKey:
        """The private half of `lock`, and keep it in memory. Raises `UnavailableError`."""
        try:
            key = open_sealed_lock(self._provider, lock)
        except (MasterKeyError, SealedError) as error:
            raise UnavailableError("record_lock") from error
        with self._mutex:
            self._open[(lock.record, lock.version)] = key
            if len(self._open) > self._capacity:
                self._open.popitem(last=False)
        return key

    def forget(self, record: RecordId) -> None:
        """Keep no private half of `record` in memory any more."""
        with self._mutex:
            for name in [name for name in self._open if name[0] == record]:
                del self._open[name]


def open_sealed_lock(provider: MasterKeyProvider, lock: SealedLock) -> LockKey:
    """The private half of `lock`, checked against its public half. Raises `MasterKeyError` or `SealedError`."""
    aad = derive_aad(lock.record, lock.version, lock.master_key_version)
    seed = provider.open(lock.sealed_seed, aad=aad, version=lock.master_key_version)
    key = open_lock_key(seed, lock.suite)
    if key.public_key != lock.lock_key:
        raise SealedError
    return key


def derive_aad(record: RecordId, version: int, master_key_version: int) -> bytes:
    """What a sealed record lock is bound to."""
    return pack(labels.RECORD_LOCK_AT_REST, record.raw, version, master_key_version)
