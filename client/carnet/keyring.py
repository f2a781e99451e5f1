"""The keyring: one file that holds a person's keys on this machine (spec `keys.md`, "Keyring file").

Slots seal the account key, one for each way to unlock; the body is sealed under the account key. The body holds the
device's signing seed, the account keys of all identity statements, oldest first, the person's own statements, and,
until the recovery kit was printed, the recovery secret.

    keyring = open_keyring(home, passphrase="correct horse battery")  # doctest: +SKIP
"""

from collections.abc import Callable, Mapping
from typing import Final

from carnet.errors import CallerError, HomeBusyError, UsageError
from carnet.home import KEYRING_FILE, Home
from carnet.keyring_file import (
    MAX_SLOTS,
    HeldAccountKey,
    KeyringBody,
    load_keyring_file,
    open_body,
    store_keyring_file,
)
from carnet.keys import DeviceSecret, RecoverySecret
from carnet.sealing import KemPrivateKey, PassphraseCost
from carnet.slots import (
    Slot,
    SlotId,
    SlotKey,
    SlotKind,
    derive_passphrase_slot_key,
    derive_recovery_slot_key,
    make_passphrase_slot,
    make_recovery_slot,
    open_slot,
    reseal_slot,
)
from carnet_protocol.ids import IdentityHash, StatementHash

DEVICE_SECRET_FILE: Final = "device-secret"  # noqa: S105  the name of a file

__all__ = [
    "DEVICE_SECRET_FILE",
    "KEYRING_FILE",
    "MAX_SLOTS",
    "HeldAccountKey",
    "Keyring",
    "KeyringBody",
    "create_keyring",
    "load_keyring_identity",
    "open_keyring",
    "open_keyring_with_words",
]


class Keyring:
    """An open keyring. Every change is on disk before the method returns."""

    __slots__ = ("_home", "_kem_keys", "_slot_keys", "_version", "body", "identity", "slots")

    def __init__(
        self,
        home: Home,
        *,
        identity: IdentityHash,
        version: int,
        slots: tuple[Slot, ...],
        body: KeyringBody,
        slot_keys: Mapping[SlotId, SlotKey],
    ) -> None:
        """Use `create_keyring` or `open_keyring`."""
        self._home = home
        self._version = version
        self._slot_keys = dict(slot_keys)
        self._kem_keys: dict[StatementHash, KemPrivateKey] = {}
        self.identity = identity
        self.slots = slots
        self.body = body

    def __repr__(self) -> str:
        """No secret."""
        return f"Keyring({self.identity}, ****)"

    def account_kem_key(self, statement: StatementHash) -> KemPrivateKey | None:
        """The account KEM key of the identity statement `statement`; None if this keyring does not hold it."""
        if statement not in self._kem_keys:
            for held in self.body.account_keys:
                if held.statement == statement:
                    self._kem_keys[statement] = held.account_key.derive_kem_key(held.suite)
        return self._kem_keys.get(statement)

    def account_kem_keys(self) -> list[KemPrivateKey]:
        """The account KEM keys of all identity statements, newest first."""
        keys = [self.account_kem_key(held.statement) for held in reversed(self.body.account_keys)]
        return [key for key in keys if key is not None]

    def kem_keys_by_statement(self) -> dict[StatementHash, KemPrivateKey]:
        """The account KEM keys, each by the identity statement that it belongs to."""
        keys = {held.statement: self.account_kem_key(held.statement) for held in self.body.account_keys}
        return {statement: key for statement, key in keys.items() if key is not None}

    def replace_body(self, body: KeyringBody) -> tuple[Slot, ...]:
        """Put `body` in place of the one held. Returns the slots that fell away.

        A new account key goes into every slot that was opened in this session; the others seal the old one and are
        dropped, to be added anew.
        """
        kept = self.slots
        if body.account_key is not self.body.account_key:
            kept = tuple(
                reseal_slot(slot, self._slot_keys[slot.id], body.account_key, identity=self.identity)
                for slot in self.slots
                if slot.id in self._slot_keys
            )
        dropped = tuple(slot for slot in self.slots if slot.id not in {other.id for other in kept})
        self._store(body, kept)
        return dropped

    def add_recovery_slot(self, recovery_secret: RecoverySecret, *, now: int) -> Slot:
        """Let the recovery words open this keyring; one such slot is enough, an older one is replaced."""
        slot, key = make_recovery_slot(self.body.account_key, recovery_secret, identity=self.identity, now=now)
        others = tuple(other for other in self.slots if other.kind is not SlotKind.RECOVERY)
        self._add(others, slot, key)
        return slot

    def add_passphrase(self, passphrase: str, *, now: int, cost: PassphraseCost | None = None) -> Slot:
        """Let `passphrase` open this keyring too. Raises `UsageError`."""
        slot, key = self._make_passphrase_slot(passphrase, now=now, cost=cost)
        self._add(self.slots, slot, key)
        return slot

    def change_passphrase(self, passphrase: str, *, now: int, cost: PassphraseCost | None = None) -> Slot:
        """Let `passphrase` alone open this keyring in place of every passphrase before. Raises `UsageError`."""
        slot, key = self._make_passphrase_slot(passphrase, now=now, cost=cost)
        others = tuple(other for other in self.slots if other.kind is not SlotKind.PASSPHRASE)
        self._add(others, slot, key)
        return slot

    def add_slot(self, slot: Slot, key: SlotKey) -> None:
        """Add a slot that was made elsewhere, as for a passkey. Raises `UsageError`."""
        self._add(self.slots, slot, key)

    def remove_slot(self, slot: SlotId) -> None:
        """Remove `slot`. Raises `UsageError` for an unknown one, and for the last that this machine can open.

        A passkey is never the only slot: what the platform loses would be lost here.
        """
        kept = tuple(other for other in self.slots if other.id != slot)
        if len(kept) == len(self.slots):
            raise UsageError("there is no such way to unlock: list them with `carnet whoami`")
        if all(other.kind is SlotKind.PRF for other in kept):
            raise UsageError("the last way to unlock that is not a passkey stays: add another one first")
        self._store(self.body, kept)

    def _make_passphrase_slot(self, passphrase: str, *, now: int, cost: PassphraseCost | None) -> tuple[Slot, SlotKey]:
        device_secret = self._home.load_device_secret()
        return make_passphrase_slot(
            self.body.account_key, passphrase, device_secret, identity=self.identity, now=now, cost=cost
        )

    def _add(self, others: tuple[Slot, ...], slot: Slot, key: SlotKey) -> None:
        if len(others) >= MAX_SLOTS:
            raise UsageError(f"a keyring has at most {MAX_SLOTS} ways to unlock: remove one first")
        self._store(self.body, (*others, slot))
        self._slot_keys[key.id] = key

    def _store(self, body: KeyringBody, slots: tuple[Slot, ...]) -> None:
        if not slots:
            raise AssertionError("internal: a keyring without a slot")
        with self._home.lock():
            if load_keyring_file(self._home).version != self._version:
                raise HomeBusyError("another command changed the keyring meanwhile: run this one again")
            store_keyring_file(self._home, self.identity, body, slots, version=self._version + 1)
        self._version += 1
        self.body = body
        self.slots = slots


def create_keyring(
    home: Home,
    body: KeyringBody,
    *,
    identity: IdentityHash,
    passphrase: str,
    now: int,
    cost: PassphraseCost | None = None,
) -> Keyring:
    """The first keyring of `home`, with one slot. The caller checked that nobody lives there, and holds its lock."""
    if home.has(DEVICE_SECRET_FILE):
        device_secret = home.load_device_secret()  # a command before this one was cut between the two files
    else:
        device_secret = DeviceSecret.make()
        home.store(DEVICE_SECRET_FILE, device_secret.reveal())
    slot, key = make_passphrase_slot(body.account_key, passphrase, device_secret, identity=identity, now=now, cost=cost)
    store_keyring_file(home, identity, body, (slot,), version=1)
    return Keyring(home, identity=identity, version=1, slots=(slot,), body=body, slot_keys={key.id: key})


def open_keyring(home: Home, *, passphrase: str) -> Keyring:
    """The keyring of `home`, opened with `passphrase`.

    1. The file is canonical, its slots and their costs are within their bounds.
    2. A passphrase slot's commitment matches what passphrase and device secret give.
    3. That slot opens, then the body, bound to identity and version.
    4. The body is canonical and holds the keys that it names.

    Raises `HomeError`, `UnlockError`, `VerificationError` or `DecryptionError`.
    """
    device_secret = home.load_device_secret()
    return _open(home, SlotKind.PASSPHRASE, lambda slot: derive_passphrase_slot_key(slot, passphrase, device_secret))


def open_keyring_with_words(home: Home, recovery_secret: RecoverySecret) -> Keyring:
    """The keyring of `home`, opened with the recovery words, if it has such a slot. Raises as `open_keyring`."""
    return _open(home, SlotKind.RECOVERY, lambda slot: derive_recovery_slot_key(slot, recovery_secret))


def load_keyring_identity(home: Home) -> IdentityHash:
    """Whose keyring lies in `home`, as the file says, without opening it. Raises `HomeError` or `DataError`."""
    return load_keyring_file(home).identity


def _open(home: Home, kind: SlotKind, derive: Callable[[Slot], SlotKey]) -> Keyring:
    # 1
    file = load_keyring_file(home)
    # 2
    failure: CallerError = UsageError("this keyring has no such way to unlock: take another one")
    for slot in file.slots:
        if slot.kind is not kind:
            continue
        try:
            key = derive(slot)
        except CallerError as error:
            failure = error
            continue
        # 3
        account_key = open_slot(slot, key, identity=file.identity)
        # 3, 4
        body = open_body(file, account_key)
        return Keyring(
            home,
            identity=file.identity,
            version=file.version,
            slots=file.slots,
            body=body,
            slot_keys={key.id: key},
        )
    raise failure
