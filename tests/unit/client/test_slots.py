"""A passphrase slot with the real Argon2id, against its specification."""

import hashlib
import hmac

import argon2.low_level
import pytest
from nacl.secret import Aead

from carnet import sealing, slots
from carnet.errors import UnlockError
from carnet.keys import AccountKey, DeviceSecret, RecoverySecret
from carnet_protocol.encoding import pack
from carnet_protocol.ids import IdentityHash
from tests.support.people import NOW

ACCOUNT, DEVICE, IDENTITY = AccountKey(b"a" * 32), DeviceSecret(b"d" * 32), IdentityHash(b"i" * 32)


def expand(secret: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without salt, 64 bytes, written out (RFC 5869)."""
    extracted = hmac.digest(bytes(32), secret, hashlib.sha256)
    first = hmac.digest(extracted, info + b"\x01", hashlib.sha256)
    return first + hmac.digest(extracted, first + info + b"\x02", hashlib.sha256)


def test_passphrase_slot_is_what_the_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "stretch_passphrase", sealing.stretch_passphrase)
    slot, _ = slots.make_passphrase_slot(ACCOUNT, "caf\u00e9 au lait", DEVICE, identity=IDENTITY, now=NOW)
    parameters = slot.parameters
    assert isinstance(parameters, slots.PassphraseParameters)
    stretched = argon2.low_level.hash_secret_raw(
        "caf\u00e9 au lait".encode(), parameters.salt, 3, 65536, 4, 32, argon2.low_level.Type.ID
    )
    derived = expand(stretched + DEVICE.reveal(), pack(b"carnet/v1/keyring/passphrase-slot-key", slot.id.raw))
    assert derived[32:] == slot.commitment.raw
    context = pack(b"carnet/v1/keyring/slot", IDENTITY.raw, slot.id.raw, b"passphrase")
    assert Aead(derived[:32]).decrypt(slot.sealed, context) == ACCOUNT.reveal()
    key = slots.derive_passphrase_slot_key(slot, "cafe\u0301 au lait", DEVICE)
    assert slots.open_slot(slot, key, identity=IDENTITY).reveal() == ACCOUNT.reveal()
    with pytest.raises(UnlockError):
        slots.derive_passphrase_slot_key(slot, "cafe au lait", DEVICE)


@pytest.mark.parametrize("kind", ["recovery", "prf"])
def test_other_slots_differ_in_their_label_alone(kind: str) -> None:
    if kind == "recovery":
        words = RecoverySecret(b"r" * 32)
        slot, key = slots.make_recovery_slot(ACCOUNT, words, identity=IDENTITY, now=NOW)
        secret = words.derive_slot_key()
    else:
        parameters = slots.PrfParameters(credential_id=b"c", rp_id="carnet.example", salt=bytes(32))
        slot, key = slots.make_prf_slot(ACCOUNT, b"p" * 32, parameters, identity=IDENTITY, now=NOW)
        secret = b"p" * 32
    derived = expand(secret, pack(f"carnet/v1/keyring/{kind}-slot-key".encode(), slot.id.raw))
    assert (key.raw, slot.commitment.raw) == (derived[:32], derived[32:])
    assert slots.open_slot(slot, key, identity=IDENTITY).reveal() == ACCOUNT.reveal()


def test_a_passkey_that_returns_something_else_is_refused() -> None:
    parameters = slots.PrfParameters(credential_id=b"c", rp_id="carnet.example", salt=bytes(32))
    slot, _ = slots.make_prf_slot(ACCOUNT, b"p" * 32, parameters, identity=IDENTITY, now=NOW)
    assert slots.derive_prf_slot_key(slot, b"p" * 32)
    with pytest.raises(UnlockError, match="passkey"):
        slots.derive_prf_slot_key(slot, b"q" * 32)
