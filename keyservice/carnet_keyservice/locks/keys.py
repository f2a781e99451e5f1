"""Private halves of record locks: made and sealed at rest, opened when a release needs them, kept for the next one.

Everything here happens outside of transactions, for a provider of master keys may be slow.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.locks.queries import RecordLock, Seal, SealedLock
from carnet_keyservice.master_keys.ring import MasterKeys
from carnet_keyservice.sealing import LockKey, Secret, make_lock_seed, open_lock_key
from carnet_protocol import labels
from carnet_protocol.encoding import pack
from carnet_protocol.ids import RecordId
from carnet_protocol.suites import Suite
from carnet_server.errors import UnavailableError

MAX_OPEN_KEYS: Final = 4096
LockName = tuple[RecordId, int]
"""Record and version."""


class LockKeys:
    """Makes and opens the private halves. One per program; keeps the ones that were used last."""

    def __init__(self, ring: MasterKeys, capacity: int = MAX_OPEN_KEYS) -> None:
        self._ring = ring
        self._capacity = capacity
        self._mutex = threading.Lock()
        self._open: OrderedDict[LockName, LockKey] = OrderedDict()

    def make(
        self, record: RecordId, version: int, *, suite: Suite, under: Collection[int], coming: Collection[int] = ()
    ) -> SealedLock:
        """A fresh lock of `suite`, sealed `under` each of these master keys, read back and opened before it goes out.

        Of those that are `coming` it is sealed under the ones in memory: if one came into use before the lock is kept,
        nobody has to ask again. Raises `UnavailableError`.
        """
        seed = make_lock_seed()
        key = open_lock_key(seed, suite)
        lock = RecordLock(record, version, suite, key.public_key)
        wanted = {*under, *(self._ring.versions() & set(coming))}
        try:
            seals = tuple(seal_lock_seed(self._ring, seed, lock, master_key) for master_key in sorted(wanted))
            for seal in seals:
                open_seal(self._ring, lock, seal)
        except (MasterKeyError, SealedError) as error:
            raise UnavailableError("master_key") from error
        return SealedLock(lock, seals)

    def find(self, name: LockName) -> LockKey | None:
        """The private half called `name`, if it is in memory."""
        with self._mutex:
            key = self._open.get(name)
            if key is not None:
                self._open.move_to_end(name)
            return key

    def open(self, sealed: SealedLock) -> LockKey:
        """The private half of `sealed`, and keep it in memory. Raises `UnavailableError`."""
        try:
            key = open_sealed_lock(self._ring, sealed)
        except (MasterKeyError, SealedError) as error:
            raise UnavailableError("record_lock") from error
        with self._mutex:
            self._open[(sealed.lock.record, sealed.lock.version)] = key
            if len(self._open) > self._capacity:
                self._open.popitem(last=False)
        return key

    def records(self) -> list[RecordId]:
        """The records of which a private half is in memory."""
        with self._mutex:
            return list({record for record, _ in self._open})

    def forget(self, record: RecordId) -> None:
        """Keep no private half of `record` in memory any more."""
        with self._mutex:
            for name in [name for name in self._open if name[0] == record]:
                del self._open[name]


def open_sealed_lock(ring: MasterKeys, sealed: SealedLock) -> LockKey:
    """The private half of `sealed`, from the first of its seals that opens.

    Raises `SealedError`, or `MasterKeyError` where a master key is missing.
    """
    failure: MasterKeyError | SealedError = SealedError()
    for seal in sealed.seals:
        try:
            return open_seal(ring, sealed.lock, seal)
        except (MasterKeyError, SealedError) as error:
            failure = error
    raise failure


def open_seal(ring: MasterKeys, lock: RecordLock, seal: Seal) -> LockKey:
    """The private half of `lock` in `seal`, checked against the public half. Raises as `open_sealed_lock` does."""
    key = open_lock_key(open_lock_seed(ring, lock, seal), lock.suite)
    if key.public_key != lock.lock_key:
        raise SealedError
    return key


def seal_lock_seed(ring: MasterKeys, seed: Secret, lock: RecordLock, master_key_version: int) -> Seal:
    """The seed of `lock`, sealed under one master key. Raises `MasterKeyError`."""
    aad = derive_aad(lock.record, lock.version, master_key_version)
    return Seal(master_key_version, ring.seal(seed, aad=aad, version=master_key_version))


def open_lock_seed(ring: MasterKeys, lock: RecordLock, seal: Seal) -> Secret:
    """The seed of `lock` in `seal`, not compared with the public half. Raises `MasterKeyError` or `SealedError`."""
    aad = derive_aad(lock.record, lock.version, seal.master_key_version)
    return ring.open(seal.sealed_seed, aad=aad, version=seal.master_key_version)


def derive_aad(record: RecordId, version: int, master_key_version: int) -> bytes:
    """What a sealed record lock is bound to."""
    return pack(labels.RECORD_LOCK_AT_REST, record.raw, version, master_key_version)
