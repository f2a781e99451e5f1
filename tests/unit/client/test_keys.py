"""A person's own secrets: what is derived differs, what is sealed opens in its place, nothing is shown."""

import pickle

import pytest

from carnet.errors import DecryptionError
from carnet.keys import (
    AccountKey,
    DeviceSecret,
    RecoverySecret,
    Secret,
    open_previous_account_key,
    open_recovery_slot,
    seal_previous_account_key,
    seal_recovery_slot,
    verify_recovery_commitment,
)
from carnet.words import WordsError
from carnet_protocol.ids import Commitment, IdentityHash, StatementHash
from carnet_protocol.statements import Recovery
from carnet_protocol.suites import WRITE_SUITE
from tests.support.people import NOW, Dice

DICE = Dice("keys")
RECOVERY = RecoverySecret(DICE(32))
ACCOUNT = AccountKey(DICE(32))
IDENTITY, STATEMENT = IdentityHash(DICE(32)), StatementHash(DICE(32))


def recovery(sealed: bytes, **change: object) -> Recovery:
    members = {
        "identity": IDENTITY,
        "identity_statement": STATEMENT,
        "sealed_account_key": sealed,
        "sealed_previous": None,
        "issued_at": NOW,
        **change,
    }
    return Recovery.model_validate(members)


@pytest.mark.parametrize("kind", [AccountKey, RecoverySecret, DeviceSecret])
def test_secret_shows_nothing(kind: type[Secret]) -> None:
    secret = kind(b"\x41" * 32)
    shown = f"{secret} {secret!r} {secret:>10} {[secret]}"
    assert "AAAA" not in shown
    assert "4141" not in shown
    assert "****" in shown
    with pytest.raises(TypeError, match="internal"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="internal"):
        _ = secret == kind(b"\x41" * 32)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_secret_has_one_length(size: int) -> None:
    with pytest.raises(DecryptionError):
        AccountKey(bytes(size))


def test_what_is_derived_from_one_key_differs() -> None:
    derived = {
        ACCOUNT.derive_kem_key(WRITE_SUITE).seed(),
        ACCOUNT.derive_device_name_key(),
        ACCOUNT.derive_keyring_body_key(),
        ACCOUNT.derive_local_state_key(),
        ACCOUNT.reveal(),
    }
    assert len(derived) == 5
    assert RECOVERY.derive_root_signer().seed() != RECOVERY.derive_slot_key()


def test_words_stand_for_the_secret() -> None:
    words = RECOVERY.words()
    assert len(words) == 24
    assert RecoverySecret.from_words(" ".join(words)).reveal() == RECOVERY.reveal()


def test_wrong_words_are_refused_without_being_repeated() -> None:
    words = [*RECOVERY.words()]
    words[3] = "xylophon"
    with pytest.raises(WordsError) as caught:
        RecoverySecret.from_words(" ".join(words))
    assert words[0] not in str(caught.value).split()


def test_commitment_is_to_these_words() -> None:
    verify_recovery_commitment(RECOVERY, RECOVERY.derive_commitment())
    for commitment in (Commitment(bytes(32)), RecoverySecret.make().derive_commitment()):
        with pytest.raises(DecryptionError):
            verify_recovery_commitment(RECOVERY, commitment)


def test_recovery_slot_opens_with_the_words() -> None:
    sealed = seal_recovery_slot(ACCOUNT, RECOVERY, identity=IDENTITY, statement=STATEMENT)
    assert open_recovery_slot(recovery(sealed), RECOVERY).reveal() == ACCOUNT.reveal()


@pytest.mark.parametrize(
    "change", [{"identity": IdentityHash(bytes(32))}, {"identity_statement": StatementHash(bytes(32))}]
)
def test_recovery_slot_opens_in_no_other_place(change: dict[str, object]) -> None:
    sealed = seal_recovery_slot(ACCOUNT, RECOVERY, identity=IDENTITY, statement=STATEMENT)
    with pytest.raises(DecryptionError):
        open_recovery_slot(recovery(sealed, **change), RECOVERY)


def test_recovery_slot_opens_with_no_other_words() -> None:
    sealed = seal_recovery_slot(ACCOUNT, RECOVERY, identity=IDENTITY, statement=STATEMENT)
    with pytest.raises(DecryptionError):
        open_recovery_slot(recovery(sealed), RecoverySecret.make())


def test_previous_account_key_opens_with_the_one_after_it() -> None:
    newer = AccountKey.make()
    place = {"identity": IDENTITY, "previous_statement": STATEMENT}
    sealed = seal_previous_account_key(ACCOUNT, newer, **place)
    assert open_previous_account_key(sealed, newer, **place).reveal() == ACCOUNT.reveal()
    with pytest.raises(DecryptionError):
        open_previous_account_key(sealed, ACCOUNT, **place)
    with pytest.raises(DecryptionError):
        open_previous_account_key(sealed, newer, identity=IDENTITY, previous_statement=StatementHash(bytes(32)))
