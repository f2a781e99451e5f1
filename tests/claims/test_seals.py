"""Each seal of the inventory on real bytes: the key that it names opens it, and no other key of the story does."""

import pytest

from tests.support.inventory import load_inventory
from tests.support.sealed import Sealed
from tests.support.story_keys import Keys

SEALS = load_inventory().seals
OPENS = {
    "content": "content key",
    "metadata": "metadata key",
    "inner-lock": "compartment key",
    "outer-lock": "record lock",
    "personal-inner-lock": "account KEM key",
    "personal-outer-lock": "record lock",
    "sealed-compartment-key": "account KEM key",
    "compartment-name": "compartment key",
    "readers-opening": "account KEM key",
    "grant-note": "account KEM key",
    "device-name": "device name key",
    "recovery-slot": "recovery slot key",
    "previous-account-key": "previous account key",
    "record-lock": "master key",
    "master-key-check": "master key",
    "keyring-slot": "slot key",
    "keyring-body": "keyring body key",
    "local-state": "local state key",
    "device-pairing": "pairing key",
}
"""Which kind of key opens which seal. Kinds are those of `tests/support/story_keys.py`."""


def test_every_seal_of_the_inventory_is_opened_here() -> None:
    assert set(OPENS) == set(SEALS)


@pytest.mark.parametrize("seal", SEALS)
def test_the_named_key_opens_it_and_every_other_key_fails(
    seal: str, sealed: dict[str, list[Sealed]], keys: Keys
) -> None:
    assert len({kind for kind, _ in keys.values()}) == 19, sorted({kind for kind, _ in keys.values()})
    assert sealed[seal], "the story left nothing under this seal"
    for one in sealed[seal]:
        openers = {kind for key, kind in keys.items() if one.open(key) is not None}
        assert len(openers) == 1, (seal, one.place, openers)
        assert {kind for kind, _ in openers} == {OPENS[seal]}, (seal, one.place, openers)


@pytest.mark.parametrize("seal", SEALS)
def test_a_flipped_bit_opens_with_no_key(seal: str, sealed: dict[str, list[Sealed]], keys: Keys) -> None:
    one = sealed[seal][0]
    for place in (len(one.raw) // 2, len(one.raw) - 1):
        changed = bytearray(one.raw)
        changed[place] ^= 1
        damaged = one.again(bytes(changed))
        assert all(damaged.open(key) is None for key, (kind, _) in keys.items() if kind == OPENS[seal])
    assert any(one.again(one.raw).open(key) is not None for key in keys)
