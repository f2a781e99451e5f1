"""A signing key sealed under a passphrase in a home: that of a registrar, or of an officer.

The key's seed lies in a slot as an account key does, bound to the fingerprint of the public key, and opens with the
passphrase on the machine that holds the device secret. Which file holds slot and public key is up to the caller.
"""

import secrets

from carnet.errors import UnlockError, VerificationError
from carnet.home import Home
from carnet.keyring import DEVICE_SECRET_FILE
from carnet.keys import AccountKey, DeviceSecret
from carnet.sealing import PassphraseCost, Random
from carnet.slots import Slot, derive_passphrase_slot_key, make_passphrase_slot, open_slot
from carnet_protocol.ids import Ed25519PublicKey, IdentityHash
from carnet_protocol.signing import Signer


def make_sealed_signer(
    home: Home,
    *,
    passphrase: str,
    now: int,
    cost: PassphraseCost | None = None,
    random: Random = secrets.token_bytes,
) -> tuple[Signer, Slot]:
    """A new key, and the slot to keep it in. The caller holds the lock of `home`. Raises `UsageError`, `HomeError`."""
    seed = AccountKey.make(random)
    signer = Signer(seed.reveal())
    slot, _ = make_passphrase_slot(
        seed,
        passphrase,
        _load_or_make_device_secret(home, random),
        identity=_name(signer.public_key),
        now=now,
        cost=cost,
        random=random,
    )
    return signer, slot


def open_sealed_signer(home: Home, slot: Slot, public_key: Ed25519PublicKey, *, passphrase: str) -> Signer:
    """The key in `slot`, whose public half is `public_key`.

    Raises `HomeError`, `UnlockError`, `DecryptionError` or `VerificationError`.
    """
    try:
        key = derive_passphrase_slot_key(slot, passphrase, home.load_device_secret())
    except UnlockError as error:
        raise UnlockError("the passphrase does not open this key: try again") from error
    signer = Signer(open_slot(slot, key, identity=_name(public_key)).reveal())
    if signer.public_key != public_key:
        raise VerificationError("the file of this key was changed: take it from a backup")
    return signer


def _load_or_make_device_secret(home: Home, random: Random) -> DeviceSecret:
    if home.has(DEVICE_SECRET_FILE):
        # Of a command that was cut, or of somebody who lives there as well: without it their passphrase opens nothing.
        return home.load_device_secret()
    device_secret = DeviceSecret.make(random)
    home.store(DEVICE_SECRET_FILE, device_secret.reveal())
    return device_secret


def _name(public_key: Ed25519PublicKey) -> IdentityHash:
    """What the slot is bound to: the key's fingerprint stands where a person's identity hash does."""
    return IdentityHash(public_key.fingerprint().raw)
