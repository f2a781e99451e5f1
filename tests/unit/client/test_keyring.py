"""The keyring: opens with what it was made for, survives every change, refuses every changed byte."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carnet import keyring as keyring_module
from carnet import slots
from carnet.errors import DecryptionError, HomeBusyError, NoHomeError, UnlockError, UsageError, VerificationError
from carnet.home import Home
from carnet.identity import make_identity
from carnet.keyring import (
    HeldAccountKey,
    Keyring,
    load_keyring_identity,
    open_keyring,
    open_keyring_with_words,
)
from carnet.keys import AccountKey, RecoverySecret
from carnet.slots import PrfParameters, SlotKind, make_prf_slot
from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Role
from carnet_protocol.suites import WRITE_SUITE
from tests.support.people import NOW, Deployment, Dice

PASSPHRASE = "correct horse battery"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a keyring, to be copied."""
    home = Home(tmp_path_factory.mktemp("made") / "home")
    card = Deployment.make(Dice("keyring")).card
    session = make_identity(home, card, Role.PATIENT, passphrase=PASSPHRASE, device_name="laptop", clock=lambda: NOW)
    session.close()
    return home.path


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Home:
    shutil.copytree(made, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def keyring(home: Home) -> Keyring:
    return open_keyring(home, passphrase=PASSPHRASE)


def rewrite(home: Home, change: Change) -> None:
    """Change the file as somebody with write access would."""
    members = json.loads(home.load("keyring.json"))
    change(members)
    home.store("keyring.json", format_canonical_json(members))


def test_keyring_opens_with_its_passphrase(keyring: Keyring) -> None:
    assert keyring.body.role is Role.PATIENT
    assert keyring.body.recovery_secret is not None
    assert [slot.kind for slot in keyring.slots] == [SlotKind.PASSPHRASE]


@pytest.mark.parametrize("passphrase", ["", "correct horse batterz", "Correct horse battery", "x" * 5000, "\ud800" * 9])
def test_another_passphrase_is_refused(home: Home, passphrase: str) -> None:
    with pytest.raises(UnlockError):
        open_keyring(home, passphrase=passphrase)


def test_the_passphrase_alone_opens_nothing(home: Home) -> None:
    home.store("device-secret", bytes(32))
    with pytest.raises(UnlockError):
        open_keyring(home, passphrase=PASSPHRASE)


def test_a_home_without_a_keyring_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(NoHomeError, match="carnet init"):
        open_keyring(Home(tmp_path), passphrase=PASSPHRASE)


def test_nothing_is_shown(keyring: Keyring) -> None:
    shown = f"{keyring!r} {keyring.body!r} {keyring.slots!r}"
    for secret in (keyring.body.account_key.reveal(), keyring.body.device_signer.seed()):
        assert secret.hex() not in shown
        assert format_base64url(secret) not in shown
        assert repr(secret) not in shown


def test_no_secret_lies_in_the_file(home: Home, keyring: Keyring) -> None:
    content = home.load("keyring.json")
    assert keyring.body.recovery_secret is not None
    for secret in (
        keyring.body.account_key.reveal(),
        keyring.body.device_signer.seed(),
        keyring.body.recovery_secret.reveal(),
    ):
        assert secret not in content
        assert format_base64url(secret).encode() not in content
    assert PASSPHRASE.encode() not in content


def flip(field: str) -> Change:
    def change(members: dict[str, Any]) -> None:
        text = members[field]
        members[field] = ("A" if text[0] != "A" else "B") + text[1:]

    return change


def in_slot(**values: Any) -> Change:
    return lambda members: members["slots"][0].update(values)


def in_parameters(**values: Any) -> Change:
    return lambda members: members["slots"][0]["parameters"].update(values)


CHANGES: dict[str, Change] = {
    "body": flip("body"),
    "version": lambda members: members.update(version=members["version"] + 1),
    "identity": flip("identity"),
    "format": lambda members: members.update(format="carnet.keyring.v2"),
    "one member more": lambda members: members.update(more=1),
    "one member less": lambda members: members.pop("version"),
    "no slot": lambda members: members.update(slots=[]),
    "a slot twice": lambda members: members.update(slots=members["slots"] * 2),
    "too many slots": lambda members: members.update(slots=members["slots"] * 17),
    "another sealed key": in_slot(sealed=format_base64url(bytes(72))),
    "a cut sealed key": in_slot(sealed=format_base64url(bytes(71))),
    "a passkey's kind": in_slot(kind="prf"),
    "the words' kind": in_slot(kind="recovery"),
    "an unknown kind": in_slot(kind="fingerprint"),
    "a time before 1970": in_slot(created_at=-1),
    "memory below the floor": in_parameters(memory_kib=64 * 1024 - 1),
    "memory above the ceiling": in_parameters(memory_kib=2**30),
    "time below the floor": in_parameters(time_cost=1),
    "time above the ceiling": in_parameters(time_cost=2**30),
    "no parallelism": in_parameters(parallelism=0),
    "a cut salt": in_parameters(salt=format_base64url(bytes(15))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused(home: Home, name: str) -> None:
    rewrite(home, CHANGES[name])
    with pytest.raises((VerificationError, DecryptionError)):
        open_keyring(home, passphrase=PASSPHRASE)


@pytest.mark.parametrize("member", ["id", "commitment"])
def test_a_changed_slot_does_not_unlock(home: Home, member: str) -> None:
    rewrite(home, in_slot(**{member: format_base64url(bytes(16 if member == "id" else 32))}))
    with pytest.raises(UnlockError):
        open_keyring(home, passphrase=PASSPHRASE)


@pytest.mark.parametrize("name", [name for name in CHANGES if "floor" in name or "ceiling" in name])
def test_costs_out_of_bounds_are_refused_before_any_work(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "stretch_passphrase", None)
    rewrite(home, CHANGES[name])
    with pytest.raises(VerificationError):
        open_keyring(home, passphrase=PASSPHRASE)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"format":"carnet.keyring.v1"} ', b"\xff\xfe"])
def test_what_is_no_keyring_is_refused(home: Home, content: bytes) -> None:
    home.store("keyring.json", content)
    with pytest.raises(VerificationError):
        open_keyring(home, passphrase=PASSPHRASE)


def test_an_older_body_in_a_newer_file_is_refused(home: Home, keyring: Keyring) -> None:
    older = json.loads(home.load("keyring.json"))
    keyring.replace_body(replace(keyring.body, recovery_secret=None))
    rewrite(home, lambda members: members.update(body=older["body"]))
    with pytest.raises(DecryptionError):
        open_keyring(home, passphrase=PASSPHRASE)


def test_a_changed_body_is_there_after_opening_again(home: Home, keyring: Keyring) -> None:
    keyring.replace_body(replace(keyring.body, recovery_secret=None))
    assert open_keyring(home, passphrase=PASSPHRASE).body.recovery_secret is None


def test_two_commands_do_not_overwrite_each_other(home: Home, keyring: Keyring) -> None:
    other = open_keyring(home, passphrase=PASSPHRASE)
    other.replace_body(replace(other.body, recovery_secret=None))
    with pytest.raises(HomeBusyError):
        keyring.replace_body(keyring.body)
    assert open_keyring(home, passphrase=PASSPHRASE).body.recovery_secret is None


def test_changing_the_passphrase_shuts_the_old_one_out(home: Home, keyring: Keyring) -> None:
    keyring.change_passphrase("another passphrase", now=NOW)
    assert open_keyring(home, passphrase="another passphrase").identity == keyring.identity
    with pytest.raises(UnlockError):
        open_keyring(home, passphrase=PASSPHRASE)


@pytest.mark.parametrize("passphrase", ["", "short", "x" * 7, "x" * 1025, "\ud800" * 9])
def test_a_poor_passphrase_is_refused(keyring: Keyring, passphrase: str) -> None:
    with pytest.raises(UsageError):
        keyring.change_passphrase(passphrase, now=NOW)


def test_any_of_several_passphrases_opens(home: Home, keyring: Keyring) -> None:
    keyring.add_passphrase("another passphrase", now=NOW)
    for passphrase in (PASSPHRASE, "another passphrase"):
        assert len(open_keyring(home, passphrase=passphrase).slots) == 2


def test_recovery_words_open_the_keyring_once_they_may(home: Home, keyring: Keyring) -> None:
    secret = keyring.body.recovery_secret
    assert secret is not None
    with pytest.raises(UsageError):
        open_keyring_with_words(home, secret)
    keyring.add_recovery_slot(secret, now=NOW)
    keyring.add_recovery_slot(secret, now=NOW)
    opened = open_keyring_with_words(home, secret)
    assert [slot.kind for slot in opened.slots] == [SlotKind.PASSPHRASE, SlotKind.RECOVERY]
    opened.change_passphrase("a new passphrase", now=NOW)
    assert open_keyring(home, passphrase="a new passphrase").identity == keyring.identity
    with pytest.raises(UnlockError):
        open_keyring_with_words(home, RecoverySecret.make())


def make_passkey(keyring: Keyring) -> None:
    parameters = PrfParameters(credential_id=b"credential", rp_id="carnet.example", salt=bytes(32))
    keyring.add_slot(
        *make_prf_slot(keyring.body.account_key, b"p" * 32, parameters, identity=keyring.identity, now=NOW)
    )


def test_a_passkey_is_never_the_only_way_in(home: Home, keyring: Keyring) -> None:
    make_passkey(keyring)
    passphrase, passkey = keyring.slots
    with pytest.raises(UsageError, match="passkey"):
        keyring.remove_slot(passphrase.id)
    keyring.remove_slot(passkey.id)
    assert len(open_keyring(home, passphrase=PASSPHRASE).slots) == 1


def test_the_last_slot_stays(keyring: Keyring) -> None:
    with pytest.raises(UsageError):
        keyring.remove_slot(keyring.slots[0].id)
    with pytest.raises(UsageError, match="no such way"):
        keyring.remove_slot(slots.SlotId.make())


def test_there_is_a_highest_number_of_slots(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring_module, "MAX_SLOTS", 1)
    with pytest.raises(UsageError, match="remove one"):
        make_passkey(keyring)


def test_a_new_account_key_goes_into_the_slots_that_were_opened(home: Home, keyring: Keyring) -> None:
    make_passkey(keyring)
    again = open_keyring(home, passphrase=PASSPHRASE)
    newer = HeldAccountKey(StatementHash(bytes(32)), WRITE_SUITE, AccountKey.make())
    body = replace(again.body, account_keys=(*again.body.account_keys, newer))
    dropped = again.replace_body(body)
    assert [slot.kind for slot in dropped] == [SlotKind.PRF]
    opened = open_keyring(home, passphrase=PASSPHRASE)
    assert [held.account_key.reveal() for held in opened.body.account_keys] == [
        held.account_key.reveal() for held in body.account_keys
    ]
    assert opened.account_kem_key(newer.statement) is not None
    assert opened.account_kem_key(StatementHash(b"x" * 32)) is None
    assert len(opened.account_kem_keys()) == 2


def test_whose_keyring_it_is_is_known_without_opening(home: Home, keyring: Keyring) -> None:
    assert load_keyring_identity(home) == keyring.identity
