"""Compartment keys, names, openings, notes and device names: each opens for one reader in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet import boxes
from carnet.errors import DecryptionError, UsageError, VerificationError
from carnet.sealing import KemPrivateKey
from carnet_protocol.api import SealedKey
from carnet_protocol.ids import CompartmentId, Ed25519PublicKey, GrantId, IdentityHash, StatementHash
from carnet_protocol.sealed_box import COMPARTMENT_NAME_SIZE, NOTE_SIZE, box_size
from carnet_protocol.statements import Role, Signed
from carnet_protocol.suites import WRITE_SUITE
from tests.support.people import Deployment, Dice, make_person
from tests.support.records import OwnRecord

DICE = Dice("boxes")
ALICE = make_person(DICE, Role.PATIENT)
BOB = make_person(DICE, Role.PRACTITIONER)
DEPLOYMENT = Deployment.make(DICE)
RECORD = OwnRecord(DICE, ALICE, DEPLOYMENT)
COMPARTMENT = RECORD.open_compartment()
KEY = KemPrivateKey(COMPARTMENT.key.seed, WRITE_SUITE)
ALICES_KEY = KemPrivateKey(ALICE.account_key.seed, WRITE_SUITE)
BOBS_KEY = KemPrivateKey(BOB.account_key.seed, WRITE_SUITE)
GRANT = StatementHash(DICE(32))


def for_bob() -> SealedKey:
    return boxes.seal_compartment_key(KEY, compartment=COMPARTMENT.newest, grant=GRANT, reader=BOB.current)


def reopen(sealed_key: SealedKey, key: KemPrivateKey = BOBS_KEY) -> KemPrivateKey:
    return boxes.open_compartment_key(sealed_key, compartment=COMPARTMENT.newest, account_kem_key=key)


def test_compartment_key_opens_for_its_reader() -> None:
    assert reopen(for_bob()).seed() == KEY.seed()


def test_compartment_key_opens_for_nobody_else() -> None:
    with pytest.raises(DecryptionError):
        reopen(for_bob(), ALICES_KEY)


@pytest.mark.parametrize(
    "change", [{"grant": StatementHash(bytes(32))}, {"grant": None}, {"reader_statement": ALICE.current.hash}]
)
def test_compartment_key_opens_under_no_other_grant_or_reader(change: dict[str, object]) -> None:
    with pytest.raises(DecryptionError):
        reopen(for_bob().model_copy(update=change))


def test_compartment_key_of_another_epoch_is_refused() -> None:
    other = RECORD.open_compartment()
    with pytest.raises(VerificationError):
        boxes.open_compartment_key(for_bob(), compartment=other.newest, account_kem_key=BOBS_KEY)


def test_planted_compartment_key_is_refused() -> None:
    # Anyone can seal to Bob's public key: attack 5.
    planted = boxes.seal_compartment_key(
        KemPrivateKey.make(WRITE_SUITE), compartment=COMPARTMENT.newest, grant=GRANT, reader=BOB.current
    )
    with pytest.raises(VerificationError, match="planted"):
        reopen(planted)


@pytest.mark.parametrize("sealed", [b"", b"CRNT", bytes(box_size(WRITE_SUITE, 32))])
def test_compartment_key_of_another_form_is_refused(sealed: bytes) -> None:
    with pytest.raises(DecryptionError):
        reopen(for_bob().model_copy(update={"sealed": sealed}))


def seal_name(name: str) -> bytes:
    return boxes.seal_compartment_name(name, record=RECORD.id, compartment=COMPARTMENT.id, epoch=1, compartment_key=KEY)


def open_name(sealed: bytes, key: KemPrivateKey = KEY, **change: object) -> str:
    body = COMPARTMENT.newest.body.model_copy(update={"sealed_name": sealed, **change})
    return boxes.open_compartment_name(Signed(body, "", COMPARTMENT.newest.hash), key)


@given(st.text(max_size=30).filter(lambda text: len(text.encode()) <= boxes.MAX_COMPARTMENT_NAME_BYTES))
def test_compartment_name_round_trips_at_one_size(name: str) -> None:
    sealed = seal_name(name)
    assert len(sealed) == box_size(WRITE_SUITE, COMPARTMENT_NAME_SIZE)
    assert open_name(sealed) == name


@pytest.mark.parametrize("length", [127, 128])
def test_compartment_name_has_a_longest(length: int) -> None:
    if length <= boxes.MAX_COMPARTMENT_NAME_BYTES:
        assert open_name(seal_name("x" * length)) == "x" * length
    else:
        with pytest.raises(UsageError):
            seal_name("x" * length)


@pytest.mark.parametrize("change", [{"epoch": 2}, {"compartment": CompartmentId(bytes(16))}, {"record": BOB.record}])
def test_compartment_name_opens_in_no_other_place(change: dict[str, object]) -> None:
    with pytest.raises(DecryptionError):
        open_name(seal_name("general"), **change)


def test_compartment_name_opens_for_no_other_key() -> None:
    with pytest.raises(DecryptionError):
        open_name(seal_name("general"), BOBS_KEY)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UsageError):
        seal_name("\ud800")


@pytest.mark.parametrize(
    "padded",
    [
        b"\x05" + b"hello" + bytes(121) + b"\x01",
        b"\xff" + bytes(127),
        b"\x02\xff\xff" + bytes(125),
    ],
)
def test_padding_that_nobody_makes_is_refused(padded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "_pad_text", lambda *_, **__: padded)
    with pytest.raises(DecryptionError):
        open_name(seal_name(""))


def test_readers_opening_opens_for_the_patient_in_its_place() -> None:
    salt = DICE(32)
    sealed = boxes.seal_readers_opening(
        salt, record=RECORD.id, compartment=COMPARTMENT.id, epoch=1, patient=ALICE.current.body
    )
    body = COMPARTMENT.newest.body.model_copy(update={"sealed_opening": sealed})
    assert boxes.open_readers_opening(body, ALICES_KEY) == salt
    with pytest.raises(DecryptionError):
        boxes.open_readers_opening(body, BOBS_KEY)
    with pytest.raises(DecryptionError):
        boxes.open_readers_opening(body.model_copy(update={"epoch": 2}), ALICES_KEY)


def make_note(note: str) -> bytes:
    return boxes.seal_note(note, record=RECORD.id, grant_id=GrantId(bytes(16)), grantee=BOB.current)


@pytest.mark.parametrize("note", ["", "see you on Monday", "é" * 127])
def test_note_is_read_by_the_grantee_alone(note: str) -> None:
    attestation = DEPLOYMENT.registrar.attest(BOB)
    body = RECORD.grant(BOB, attestation, compartments=[COMPARTMENT], grant_id=GrantId(bytes(16))).body
    body = body.model_copy(update={"sealed_note": make_note(note)})
    assert len(body.sealed_note) == box_size(WRITE_SUITE, NOTE_SIZE)
    assert boxes.open_note(body, BOBS_KEY) == note
    with pytest.raises(DecryptionError):
        boxes.open_note(body, ALICES_KEY)
    with pytest.raises(DecryptionError):
        boxes.open_note(body.model_copy(update={"id": GrantId(b"x" * 16)}), BOBS_KEY)


def test_note_has_a_longest() -> None:
    make_note("x" * boxes.MAX_NOTE_BYTES)
    with pytest.raises(UsageError):
        make_note("x" * (boxes.MAX_NOTE_BYTES + 1))


def test_device_name_opens_for_its_person_and_device() -> None:
    place = {"identity": ALICE.identity, "device_key": ALICE.device.signer.public_key}
    sealed = boxes.seal_device_name("laptop", **place, device_name_key=bytes(32))
    assert boxes.open_device_name(sealed, **place, device_name_key=bytes(32)) == "laptop"
    with pytest.raises(DecryptionError):
        boxes.open_device_name(sealed, **place, device_name_key=b"x" * 32)
    for change in ({"identity": IdentityHash(bytes(32))}, {"device_key": Ed25519PublicKey(bytes(32))}):
        with pytest.raises(DecryptionError):
            boxes.open_device_name(sealed, **{**place, **change}, device_name_key=bytes(32))
