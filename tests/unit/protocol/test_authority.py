"""Who may sign what: chains of identities, devices, removals, attestations."""

import itertools
from typing import Any

import pytest

from carnet_protocol.authority import Person, verify_attestation, verify_person
from carnet_protocol.errors import ProtocolError, SignatureError, StatementError
from carnet_protocol.ids import Commitment, IdentityHash, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Attestation, Device, Identity, Removal, RevocationList, Role, Signed
from tests.unit.protocol.samples import HASH, NOW, REGISTRAR, ROOT, STATEMENTS, signer

FOUNDING = Signed.sign(STATEMENTS["identity"], ROOT)
ALICE = IdentityHash(FOUNDING.hash.raw)
PHONE, LAPTOP, THIEF = signer(21), signer(22), signer(66)


def _device(key: Signer, by: Signer, enrolled_by: StatementHash | None = None, *, at: int = NOW) -> Signed[Device]:
    body = Device(
        identity=ALICE,
        device_key=key.public_key,
        enrolled_by=enrolled_by,
        sealed_name=bytes(104),
        issued_at=at,
    )
    return Signed.sign(body, by)


def _removal(device: Signed[Device], since: int, by: Signer = ROOT, *, at: int = NOW + 50) -> Signed[Removal]:
    return Signed.sign(Removal(identity=ALICE, device=device.hash, since=since, issued_at=at), by)


def _next(before: Signed[Identity], by: Signer = ROOT, **changes: Any) -> Signed[Identity]:
    members: dict[str, Any] = {
        "serial": before.body.serial + 1,
        "founding": ALICE,
        "previous": before.hash,
        "recovery_commitment": Commitment(bytes([before.body.serial + 1]) * 32),
    }
    return Signed.sign(before.body.model_copy(update=members | changes), by)


ALICES_PHONE = _device(PHONE, ROOT)
ALICES_LAPTOP = _device(LAPTOP, PHONE, ALICES_PHONE.hash, at=NOW + 10)


def test_a_person_is_the_chain_from_the_founding_statement() -> None:
    renewed = _next(FOUNDING)
    person = verify_person(ALICE, [FOUNDING, renewed], [ALICES_PHONE, ALICES_LAPTOP], [])
    assert person.current == renewed
    assert person.role is Role.PATIENT
    assert person.device_key(ALICES_LAPTOP.hash, at=NOW + 99) == LAPTOP.public_key
    assert person.statement(FOUNDING.hash) == FOUNDING
    with pytest.raises(StatementError):
        person.statement(HASH)


def test_a_new_root_key_is_signed_by_the_old_one_and_then_takes_over() -> None:
    new_root = signer(31)
    second = _next(FOUNDING, root_key=new_root.public_key)
    third = _next(second, by=new_root)
    assert verify_person(ALICE, [FOUNDING, second, third], [_device(PHONE, new_root)], []).root_key == (
        new_root.public_key
    )
    with pytest.raises(SignatureError):
        verify_person(ALICE, [FOUNDING, second, _next(second, by=ROOT)], [], [])


@pytest.mark.parametrize(
    "chain",
    [
        [],
        [_next(FOUNDING)],
        [FOUNDING, FOUNDING],
        [FOUNDING, _next(FOUNDING, by=THIEF)],
        [FOUNDING, _next(FOUNDING, serial=2)],
        [FOUNDING, _next(FOUNDING, previous=HASH)],
        [FOUNDING, _next(FOUNDING, founding=IdentityHash(bytes(32)))],
        [FOUNDING, _next(FOUNDING, role=Role.PRACTITIONER)],
        [FOUNDING, _next(_next(FOUNDING))],
        [Signed.sign(STATEMENTS["identity"].model_copy(update={"issued_at": 1}), ROOT)],
    ],
)
def test_a_broken_chain_is_nobody(chain: list[Signed[Identity]]) -> None:
    with pytest.raises(ProtocolError):
        verify_person(ALICE, chain, [], [])


def test_a_founding_statement_that_its_own_root_did_not_sign_is_nobody() -> None:
    forged = Signed.sign(FOUNDING.body, THIEF)
    assert forged.hash == FOUNDING.hash
    with pytest.raises(SignatureError):
        verify_person(ALICE, [forged], [], [])


def test_devices_are_enrolled_by_the_root_or_by_a_device_that_is_known() -> None:
    for devices in (
        [_device(THIEF, THIEF)],
        [ALICES_LAPTOP],
        [ALICES_PHONE, _device(THIEF, THIEF, ALICES_PHONE.hash)],
        [ALICES_PHONE, _device(THIEF, PHONE)],
        [Signed.sign(ALICES_PHONE.body.model_copy(update={"identity": IdentityHash(bytes(32))}), ROOT)],
    ):
        with pytest.raises(ProtocolError):
            verify_person(ALICE, [FOUNDING], devices, [])


def test_a_removed_device_is_void_from_then_on_and_what_it_enrolled_with_it() -> None:
    later = _device(THIEF, LAPTOP, ALICES_LAPTOP.hash, at=NOW + 20)
    person = verify_person(
        ALICE, [FOUNDING], [ALICES_PHONE, ALICES_LAPTOP, later], [_removal(ALICES_PHONE, since=NOW + 10)]
    )
    assert person.device_key(ALICES_PHONE.hash, at=NOW + 9) == PHONE.public_key
    for device, time in ((ALICES_PHONE, NOW + 10), (ALICES_LAPTOP, NOW + 9), (later, 0)):
        with pytest.raises(SignatureError):
            person.device_key(device.hash, at=time)


def test_what_a_device_enrolled_before_it_was_stolen_stays() -> None:
    person = verify_person(ALICE, [FOUNDING], [ALICES_PHONE, ALICES_LAPTOP], [_removal(ALICES_PHONE, since=NOW + 11)])
    assert person.device_key(ALICES_LAPTOP.hash, at=NOW + 60) == LAPTOP.public_key


def test_of_two_removals_the_earlier_since_counts() -> None:
    removals = [_removal(ALICES_PHONE, since=NOW + 5), _removal(ALICES_PHONE, since=NOW + 30)]
    for order in (removals, removals[::-1]):
        person = verify_person(ALICE, [FOUNDING], [ALICES_PHONE], order)
        with pytest.raises(SignatureError):
            person.device_key(ALICES_PHONE.hash, at=NOW + 6)


def test_what_a_device_made_before_it_was_removed_stays_a_link_of_its_chain() -> None:
    later = _device(THIEF, LAPTOP, ALICES_LAPTOP.hash, at=NOW + 20)
    removals = [
        _removal(ALICES_PHONE, since=NOW + 10, at=NOW + 90),
        _removal(ALICES_PHONE, since=NOW + 30, at=NOW + 60),
    ]
    for order in (removals, removals[::-1]):
        person = verify_person(ALICE, [FOUNDING], [ALICES_PHONE, ALICES_LAPTOP, later], order)
        for device, key in ((ALICES_PHONE, PHONE), (ALICES_LAPTOP, LAPTOP), (later, THIEF)):
            assert person.unremoved_key(device.hash, at=NOW + 59) == key.public_key
            for time in (NOW + 60, NOW + 90):
                with pytest.raises(SignatureError):
                    person.unremoved_key(device.hash, at=time)


def test_a_device_that_is_to_be_shut_out_later_is_in_force_until_then() -> None:
    removal = _removal(ALICES_PHONE, since=NOW + 90, at=NOW + 60)
    person = verify_person(ALICE, [FOUNDING], [ALICES_PHONE], [removal])
    assert person.unremoved_key(ALICES_PHONE.hash, at=NOW + 89) == PHONE.public_key
    with pytest.raises(SignatureError):
        person.unremoved_key(ALICES_PHONE.hash, at=NOW + 90)
    with pytest.raises(SignatureError):
        person.unremoved_key(StatementHash(bytes(32)), at=NOW)


def test_a_device_removes_nobody() -> None:
    with pytest.raises(SignatureError):
        verify_person(ALICE, [FOUNDING], [ALICES_PHONE, ALICES_LAPTOP], [_removal(ALICES_PHONE, since=0, by=LAPTOP)])


NEW_ROOT = signer(31)
RENEWED = _next(FOUNDING, root_key=NEW_ROOT.public_key, issued_at=NOW + 40)
TABLET = signer(23)
ALICES_TABLET = _device(TABLET, NEW_ROOT, at=NOW + 40)


def test_a_device_falls_with_the_root_key_under_which_it_was_enrolled() -> None:
    devices = [ALICES_PHONE, ALICES_LAPTOP, ALICES_TABLET]
    person = verify_person(ALICE, [FOUNDING, RENEWED], devices, [])
    for device in (ALICES_PHONE, ALICES_LAPTOP):
        assert person.device_key(device.hash, at=NOW + 39) == device.body.device_key
        with pytest.raises(SignatureError):
            person.device_key(device.hash, at=NOW + 40)
    assert person.device_key(ALICES_TABLET.hash, at=NOW + 99) == TABLET.public_key


def test_a_root_key_that_stays_lets_no_device_fall() -> None:
    person = verify_person(ALICE, [FOUNDING, _next(FOUNDING, issued_at=NOW + 40)], [ALICES_PHONE], [])
    assert person.device_key(ALICES_PHONE.hash, at=NOW + 99) == PHONE.public_key


@pytest.mark.parametrize("at", [0, NOW, NOW + 39])
def test_who_holds_the_replaced_words_speaks_no_more_whatever_the_date_on_a_device(at: int) -> None:
    dated_back = _device(THIEF, ROOT, at=at)
    enrolled = _device(signer(67), THIEF, dated_back.hash, at=NOW + 60)
    person = verify_person(ALICE, [FOUNDING, RENEWED], [ALICES_PHONE, dated_back, ALICES_TABLET, enrolled], [])
    with pytest.raises(SignatureError):
        person.device_key(dated_back.hash, at=NOW + 40)
    with pytest.raises(SignatureError):
        person.device_key(enrolled.hash, at=0)


def test_nothing_by_a_replaced_root_key_follows_what_a_newer_one_signed() -> None:
    for devices, removals in (
        ([ALICES_TABLET, ALICES_PHONE], []),
        (
            [ALICES_PHONE, ALICES_TABLET],
            [_removal(ALICES_TABLET, NOW + 50, NEW_ROOT), _removal(ALICES_PHONE, NOW + 50)],
        ),
    ):
        with pytest.raises(SignatureError):
            verify_person(ALICE, [FOUNDING, RENEWED], devices, removals)


def test_a_replaced_root_key_removes_no_device_of_a_later_one() -> None:
    removals = [_removal(ALICES_TABLET, since=0), _removal(ALICES_PHONE, since=NOW + 5)]
    person = verify_person(ALICE, [FOUNDING, RENEWED], [ALICES_PHONE, ALICES_TABLET], removals)
    assert person.device_key(ALICES_TABLET.hash, at=NOW + 99) == TABLET.public_key
    with pytest.raises(SignatureError):
        person.device_key(ALICES_PHONE.hash, at=NOW + 5)
    removals.append(_removal(ALICES_TABLET, NOW + 50, NEW_ROOT))
    person = verify_person(ALICE, [FOUNDING, RENEWED], [ALICES_PHONE, ALICES_TABLET], removals)
    with pytest.raises(SignatureError):
        person.device_key(ALICES_TABLET.hash, at=NOW + 50)


def test_a_replaced_root_key_does_not_come_back() -> None:
    with pytest.raises(StatementError):
        verify_person(ALICE, [FOUNDING, RENEWED, _next(RENEWED, by=NEW_ROOT, root_key=ROOT.public_key)], [], [])


def test_many_root_keys_and_devices_cost_one_signature_each(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [ROOT, *(signer(100 + number) for number in range(20))]
    chain = [FOUNDING]
    for before, after in itertools.pairwise(roots):
        chain.append(_next(chain[-1], by=before, root_key=after.public_key))
    devices = [_device(signer(150 + number), root) for number, root in enumerate(roots)]
    calls = []
    verify = Signed.verify

    def count(signed: Signed[Any], key: Any) -> None:
        calls.append(signed)
        verify(signed, key)

    monkeypatch.setattr(Signed, "verify", count)
    verify_person(ALICE, chain, devices, [])
    assert len(calls) <= len(chain) + len(devices) + len(roots)


def _doctor() -> Person:
    founding = Signed.sign(FOUNDING.body.model_copy(update={"role": Role.PRACTITIONER}), ROOT)
    return verify_person(IdentityHash(founding.hash.raw), [founding], [], [])


DOCTOR = _doctor()


def _attestation(by: Signer = REGISTRAR, **changes: Any) -> Signed[Attestation]:
    members = {"subject": DOCTOR.identity, "subject_statement": DOCTOR.current.hash} | changes
    return Signed.sign(STATEMENTS["attestation"].model_copy(update=members), by)


def _list(by: Signer = REGISTRAR, **changes: Any) -> Signed[RevocationList]:
    return Signed.sign(STATEMENTS["revocation-list"].model_copy(update={"revoked": ()} | changes), by)


def _check(attestation: Signed[Attestation], *lists: Signed[RevocationList], now: int = NOW) -> None:
    verify_attestation(attestation, lists, [REGISTRAR.public_key], subject=DOCTOR, now=now)


def test_an_attestation_is_good_inside_its_window_with_a_fresh_list() -> None:
    for now in (NOW, NOW + 86_399):
        _check(_attestation(), _list(), now=now)


@pytest.mark.parametrize("now", [0, NOW - 1, NOW + 86_400, NOW + 86_401])
def test_an_attestation_outside_its_window_is_refused(now: int) -> None:
    with pytest.raises(StatementError):
        _check(_attestation(), _list(issued_at=0, next_update=NOW * 2), now=now)


@pytest.mark.parametrize(
    ("attestation", "lists"),
    [
        (_attestation(by=THIEF), [_list()]),
        (_attestation(by=THIEF, registrar=THIEF.public_key.fingerprint()), [_list()]),
        (_attestation(subject=ALICE), [_list()]),
        (_attestation(subject_statement=HASH), [_list()]),
        (_attestation(), []),
        (_attestation(), [_list(by=THIEF)]),
        (_attestation(), [_list(registrar=THIEF.public_key.fingerprint())]),
        (_attestation(), [_list(next_update=NOW)]),
        (_attestation(), [_list(issued_at=NOW + 121)]),
        (_attestation(), [_list(revoked=(STATEMENTS["attestation"].id,))]),
        (_attestation(), [_list(), _list(number=2, revoked=(STATEMENTS["attestation"].id,))]),
    ],
)
def test_an_attestation_with_anything_wrong_is_refused(
    attestation: Signed[Attestation], lists: list[Signed[RevocationList]]
) -> None:
    with pytest.raises(ProtocolError):
        _check(attestation, *lists)
