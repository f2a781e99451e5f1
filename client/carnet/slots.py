"""Unlock slots of a keyring: each seals the account key once more (spec `keys.md`, "Keyring file").

A slot's key and its commitment come from one secret: a passphrase with the device secret, the recovery words, or what
a passkey returns. The commitment is compared before anything is opened, so that a wrong secret is told apart from a
changed file, and no ciphertext opens under two keys.
"""

import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from carnet.errors import UnlockError, UsageError
from carnet.keys import AccountKey, DeviceSecret, RecoverySecret
from carnet.sealing import (
    KEY_SIZE,
    NONCE_SIZE,
    SALT_SIZE,
    TAG_SIZE,
    PassphraseCost,
    Random,
    derive_key,
    open_secret,
    seal_secret,
    stretch_passphrase,
)
from carnet_protocol import labels
from carnet_protocol.encoding import pack
from carnet_protocol.ids import Commitment, IdentityHash, RandomId
from carnet_protocol.wire import Base64Bytes, ShortText, UtcSeconds, WireModel

SHORTEST_PASSPHRASE: Final = 8
LONGEST_PASSPHRASE_BYTES: Final = 1024
_SEALED_SIZE: Final = NONCE_SIZE + KEY_SIZE + TAG_SIZE


@unique
class SlotKind(StrEnum):
    """What opens a slot."""

    PASSPHRASE = "passphrase"  # noqa: S105  a word, not a secret
    RECOVERY = "recovery"
    PRF = "prf"


class SlotId(RandomId):
    """Random name of a slot."""

    __slots__ = ()


class PassphraseParameters(WireModel):
    """Argon2id over a passphrase; the bounds of the costs are those of `PassphraseCost`."""

    memory_kib: int
    parallelism: int
    salt: Annotated[Base64Bytes, Field(min_length=SALT_SIZE, max_length=SALT_SIZE)]
    time_cost: int

    def cost(self) -> PassphraseCost:
        """The work factor. Raises `UsageError` outside floor and ceiling."""
        return PassphraseCost(memory_kib=self.memory_kib, time_cost=self.time_cost, parallelism=self.parallelism)


class PrfParameters(WireModel):
    """A passkey (WebAuthn PRF): which one, of which site, asked with which salt."""

    credential_id: Annotated[Base64Bytes, Field(min_length=1, max_length=1024)]
    rp_id: ShortText
    salt: Annotated[Base64Bytes, Field(min_length=KEY_SIZE, max_length=KEY_SIZE)]


class RecoveryParameters(WireModel):
    """The recovery words need none."""


class Slot(WireModel):
    """One slot as it stands in the keyring file."""

    commitment: Commitment
    created_at: UtcSeconds
    id: SlotId
    kind: Annotated[SlotKind, Field(strict=False)]
    parameters: PassphraseParameters | PrfParameters | RecoveryParameters
    sealed: Annotated[Base64Bytes, Field(min_length=_SEALED_SIZE, max_length=_SEALED_SIZE)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not isinstance(self.parameters, _PARAMETERS[self.kind]):
            raise ValueError("a slot has the parameters of its kind")  # noqa: TRY004  pydantic wants it so
        return self


_PARAMETERS: Final[dict[SlotKind, type[WireModel]]] = {
    SlotKind.PASSPHRASE: PassphraseParameters,
    SlotKind.RECOVERY: RecoveryParameters,
    SlotKind.PRF: PrfParameters,
}
_LABELS: Final[dict[SlotKind, bytes]] = {
    SlotKind.PASSPHRASE: labels.PASSPHRASE_SLOT_KEY,
    SlotKind.RECOVERY: labels.RECOVERY_WORDS_SLOT_KEY,
    SlotKind.PRF: labels.PRF_SLOT_KEY,
}


@dataclass(frozen=True, slots=True, repr=False)
class SlotKey:
    """Key and commitment of one slot, kept while a keyring is open, so that a new account key goes into the slot."""

    id: SlotId
    raw: bytes
    commitment: Commitment

    def __repr__(self) -> str:
        """No secret."""
        return f"SlotKey({self.id}, ****)"


def check_passphrase(passphrase: str) -> None:
    """Check that `passphrase` may lock a new slot. Raises `UsageError`."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise UsageError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters: take a longer one")
    try:
        size = len(passphrase.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UsageError("a passphrase holds half a character: type it again") from error
    if size > LONGEST_PASSPHRASE_BYTES:
        raise UsageError(f"a passphrase has at most {LONGEST_PASSPHRASE_BYTES} bytes: take a shorter one")


def make_passphrase_slot(
    account_key: AccountKey,
    passphrase: str,
    device_secret: DeviceSecret,
    *,
    identity: IdentityHash,
    now: int,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> tuple[Slot, SlotKey]:
    """A slot that `passphrase` opens on the machine that holds `device_secret`."""
    check_passphrase(passphrase)
    cost = cost or PassphraseCost()
    parameters = PassphraseParameters(
        memory_kib=cost.memory_kib, parallelism=cost.parallelism, salt=random(SALT_SIZE), time_cost=cost.time_cost
    )
    secret = _stretch(passphrase, parameters, device_secret)
    return _make_slot(account_key, secret, SlotKind.PASSPHRASE, parameters, identity=identity, now=now, random=random)


def make_recovery_slot(
    account_key: AccountKey,
    recovery_secret: RecoverySecret,
    *,
    identity: IdentityHash,
    now: int,
    random: Random = secrets.token_bytes,
) -> tuple[Slot, SlotKey]:
    """A slot that the recovery words open, for who forgot the passphrase but holds the device."""
    secret = recovery_secret.derive_slot_key()
    parameters = RecoveryParameters()
    return _make_slot(account_key, secret, SlotKind.RECOVERY, parameters, identity=identity, now=now, random=random)


def make_prf_slot(
    account_key: AccountKey,
    prf_output: bytes,
    parameters: PrfParameters,
    *,
    identity: IdentityHash,
    now: int,
    random: Random = secrets.token_bytes,
) -> tuple[Slot, SlotKey]:
    """A slot that a passkey opens: `prf_output` is what it returned for the salt of `parameters`."""
    return _make_slot(account_key, prf_output, SlotKind.PRF, parameters, identity=identity, now=now, random=random)


def derive_passphrase_slot_key(slot: Slot, passphrase: str, device_secret: DeviceSecret) -> SlotKey:
    """The slot's key, if `passphrase` is the right one. Raises `UnlockError`, or `UsageError` for changed costs."""
    if not isinstance(slot.parameters, PassphraseParameters):
        raise AssertionError("internal: a passphrase for another kind of slot")  # noqa: TRY004  ours, not the caller's
    if len(passphrase) > LONGEST_PASSPHRASE_BYTES:
        raise UnlockError("the passphrase does not open this keyring: try again, or restore with the recovery words")
    return _check_slot_key(slot, _stretch(passphrase, slot.parameters, device_secret))


def derive_recovery_slot_key(slot: Slot, recovery_secret: RecoverySecret) -> SlotKey:
    """The slot's key, if these are the right words. Raises `UnlockError`."""
    return _check_slot_key(slot, recovery_secret.derive_slot_key())


def derive_prf_slot_key(slot: Slot, prf_output: bytes) -> SlotKey:
    """The slot's key, if `prf_output` is what the right passkey returned. Raises `UnlockError`."""
    return _check_slot_key(slot, prf_output)


def open_slot(slot: Slot, key: SlotKey, *, identity: IdentityHash) -> AccountKey:
    """The account key in `slot`. Raises `DecryptionError`: the key is right, so the file was changed."""
    return AccountKey(open_secret(key.raw, slot.sealed, context=_context(identity, slot.id, slot.kind)))


def reseal_slot(
    slot: Slot,
    key: SlotKey,
    account_key: AccountKey,
    *,
    identity: IdentityHash,
    random: Random = secrets.token_bytes,
) -> Slot:
    """The same slot around another account key."""
    context = _context(identity, slot.id, slot.kind)
    sealed = seal_secret(key.raw, account_key.reveal(), context=context, random=random)
    return slot.model_copy(update={"sealed": sealed})


def _make_slot(
    account_key: AccountKey,
    secret: bytes,
    kind: SlotKind,
    parameters: PassphraseParameters | PrfParameters | RecoveryParameters,
    *,
    identity: IdentityHash,
    now: int,
    random: Random,
) -> tuple[Slot, SlotKey]:
    key = _derive(secret, kind, SlotId.make(random))
    context = _context(identity, key.id, kind)
    sealed = seal_secret(key.raw, account_key.reveal(), context=context, random=random)
    slot = Slot(commitment=key.commitment, created_at=now, id=key.id, kind=kind, parameters=parameters, sealed=sealed)
    return slot, key


def _stretch(passphrase: str, parameters: PassphraseParameters, device_secret: DeviceSecret) -> bytes:
    try:
        stretched = stretch_passphrase(passphrase, salt=parameters.salt, cost=parameters.cost())
    except UnicodeEncodeError as error:
        raise UnlockError("a passphrase holds half a character: type it again") from error
    return stretched + device_secret.reveal()


def _derive(secret: bytes, kind: SlotKind, slot: SlotId) -> SlotKey:
    derived = derive_key(secret, pack(_LABELS[kind], slot.raw), size=2 * KEY_SIZE)
    return SlotKey(slot, derived[:KEY_SIZE], Commitment(derived[KEY_SIZE:]))


def _check_slot_key(slot: Slot, secret: bytes) -> SlotKey:
    key = _derive(secret, slot.kind, slot.id)
    if not hmac.compare_digest(key.commitment.raw, slot.commitment.raw):
        raise UnlockError(_WRONG[slot.kind])
    return key


_WRONG: Final[dict[SlotKind, str]] = {
    SlotKind.PASSPHRASE: "the passphrase does not open this keyring: try again, or restore with the recovery words",
    SlotKind.RECOVERY: "these words are for another identity: take the page that was printed for this one",
    SlotKind.PRF: "this passkey does not open this keyring: take another one, or the passphrase",
}


def _context(identity: IdentityHash, slot: SlotId, kind: SlotKind) -> bytes:
    return pack(labels.KEYRING_SLOT, identity.raw, slot.raw, kind.encode())
