"""A second device joins: only with the answer to its own request, only the person who answered."""

import json

import pytest

from carnet.errors import (
    CarnetError,
    DecryptionError,
    HomeTakenError,
    NoHomeError,
    UnlockError,
    UsageError,
    VerificationError,
)
from carnet.identity import fetch_own
from carnet.pairing import PairingRequest, approve_device, join, request_pairing
from carnet.sealing import seal_message
from carnet.session import Session
from carnet_protocol import labels
from carnet_protocol.encoding import format_base64url, format_canonical_json, pack
from carnet_protocol.statements import Role
from tests.support.client import PASSPHRASE, ClientWorld


def begin(world: ClientWorld, name: str = "tablet") -> PairingRequest:
    return request_pairing(world.home(name), world.own.card, passphrase=PASSPHRASE, clock=world.clock)


def finish(world: ClientWorld, answer: bytes, name: str = "tablet", passphrase: str = PASSPHRASE) -> Session:
    session = join(world.home(name), answer, passphrase=passphrase, **world.options())
    world.sessions.append(session)
    return session


def test_a_clinician_s_second_device_reads_the_inbox_too(world: ClientWorld) -> None:
    bob = world.practitioner("bob")
    request = begin(world)
    joined = finish(world, approve_device(bob, request, name="tablet"))
    assert joined.keyring.body.role is Role.PRACTITIONER
    assert joined.device != bob.device
    assert joined.keyring.body.recovery_secret is None
    assert fetch_own(bob).devices.keys() == {bob.device, joined.device}
    assert not world.home("tablet").has("pairing.json")
    assert world.reopen("tablet").identity == bob.identity


def test_both_screens_show_the_same_code(world: ClientWorld) -> None:
    request = begin(world)
    assert PairingRequest.parse(f" {request.text}\n").short_code == request.short_code
    assert begin(world, "phone").short_code != request.short_code


@pytest.mark.parametrize(
    "text", ["", "x", "{}", '{"device_key":"AA","format":"carnet.device-request.v1","kem_key":""}']
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        PairingRequest.parse(text)


def test_a_request_with_a_low_order_key_is_refused(world: ClientWorld) -> None:
    members = json.loads(begin(world).text)
    members["device_key"] = "A" * 43
    with pytest.raises(UsageError):
        PairingRequest.parse(format_canonical_json(members).decode())


def test_an_answer_opens_on_the_device_that_asked_alone(world: ClientWorld) -> None:
    alice = world.patient("alice")
    begin(world, "phone")
    answer = approve_device(alice, begin(world), name="tablet")
    with pytest.raises(DecryptionError):
        finish(world, answer, "phone")
    with pytest.raises(DecryptionError):
        finish(world, answer[:-1])
    assert not world.home("tablet").has("keyring.json")
    finish(world, answer)


def test_another_passphrase_does_not_finish(world: ClientWorld) -> None:
    alice = world.patient("alice")
    answer = approve_device(alice, begin(world), name="tablet")
    with pytest.raises(UnlockError):
        finish(world, answer, passphrase="another passphrase")
    finish(world, answer)


def test_nothing_is_finished_that_was_not_begun(world: ClientWorld) -> None:
    world.home("tablet").create()
    with pytest.raises(NoHomeError, match="carnet device request"):
        finish(world, b"")


def test_nobody_is_overwritten(world: ClientWorld) -> None:
    world.patient("alice")
    with pytest.raises(HomeTakenError):
        begin(world, "alice")


def test_a_changed_beginning_is_refused(world: ClientWorld) -> None:
    alice = world.patient("alice")
    answer = approve_device(alice, begin(world), name="tablet")
    home = world.home("tablet")
    members = json.loads(home.load("pairing.json"))
    members["request"] = members["request"].replace("carnet.device-request.v1", "carnet.device-request.v2")
    home.store("pairing.json", format_canonical_json(members))
    with pytest.raises(VerificationError):
        finish(world, answer)


def answer_with(request: PairingRequest, **members: object) -> bytes:
    plaintext = format_canonical_json({"format": "carnet.device-answer.v1", **members})
    return seal_message(
        plaintext, request.kem_key, suite=request.suite, info=pack(labels.DEVICE_PAIRING, request.digest)
    )


@pytest.mark.parametrize(
    "lie", ["not enrolled", "planted account key", "older keys", "no person", "another card", "another format"]
)
def test_an_answer_that_does_not_hold_together_is_refused(world: ClientWorld, lie: str) -> None:
    alice, mallory = world.patient("alice"), world.patient("mallory")
    request = begin(world)
    approve_device(alice, request, name="tablet")
    person = fetch_own(alice)
    held = alice.keyring.body.account_keys[0]
    key = {"key": format_base64url(held.account_key.reveal()), "statement": str(held.statement), "suite": 1}
    bundle = {
        "identities": [signed.text for signed in person.chain],
        "devices": [enrolled.statement.text for enrolled in person.devices.values()],
        "removals": [],
    }
    card_key = alice.card.body.card_key.fingerprint()
    members: dict[str, object] = {"account_keys": [key], "card_key": str(card_key), "person": bundle}
    match lie:
        case "not enrolled":
            bundle["devices"] = bundle["devices"][:1]
        case "planted account key":
            members["account_keys"] = [{**key, "key": format_base64url(bytes(32))}]
        case "older keys":
            members["account_keys"] = [{**key, "statement": str(mallory.keyring.body.account_keys[0].statement)}]
        case "another card":
            members["card_key"] = str(mallory.vault.fingerprint)
        case "no person":
            members["person"] = mallory.keyring.body.person.model_dump(mode="json")
        case _:
            members["format"] = "carnet.device-answer.v2"
    with pytest.raises(CarnetError):
        finish(world, answer_with(request, **members))
    assert not world.home("tablet").has("keyring.json")


def test_a_device_name_has_a_longest(world: ClientWorld) -> None:
    alice = world.patient("alice")
    with pytest.raises(UsageError):
        approve_device(alice, begin(world), name="x" * 64)
    assert len(fetch_own(alice).devices) == 1
