"""A registrar: attests, takes back, publishes; its file opens for nobody else."""

import json
from pathlib import Path

import pytest

from carnet.errors import (
    DataError,
    HomeTakenError,
    NoHomeError,
    NotFoundError,
    UnlockError,
    UsageError,
    VerificationError,
)
from carnet.home import Home
from carnet.people import verify_bundle
from carnet.registrar import Registrar, make_registrar, open_registrar
from carnet.succession import fetch_practitioner
from carnet_protocol.api import PersonBundle
from carnet_protocol.authority import Person
from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.ids import AttestationId
from carnet_protocol.statements import Profession, Role
from tests.support.client import PASSPHRASE, ClientWorld
from tests.support.people import DAY, NOW, Dice, OwnPerson, make_person

DICE = Dice("registrar")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "registrar")


@pytest.fixture
def registrar(home: Home) -> Registrar:
    return make_registrar(home, passphrase=PASSPHRASE, now=NOW)


def person(own: OwnPerson) -> Person:
    bundle = PersonBundle(
        identities=tuple(signed.text for signed in own.chain),
        devices=tuple(device.statement.text for device in own.devices),
        removals=(),
    )
    return verify_bundle(own.identity, bundle)


def attest(registrar: Registrar, subject: Person, *, now: int = NOW, **change: object) -> AttestationId:
    members = {
        "name": "Dr. A. Weber",
        "profession": Profession.PHYSICIAN,
        "organisation": "Clinic",
        "now": now,
        **change,
    }
    return registrar.attest(subject, **members).body.id


BOB = person(make_person(DICE, Role.PRACTITIONER))


def test_an_attestation_is_of_the_keys_of_now(registrar: Registrar) -> None:
    attest(registrar, BOB)
    (signed,) = registrar.attestations()
    signed.verify(registrar.public_key)
    body = signed.body
    assert (body.subject, body.subject_statement) == (BOB.identity, BOB.current.hash)
    assert body.expires - body.not_before == 90 * DAY


def test_what_was_attested_is_there_after_opening_again(registrar: Registrar, home: Home) -> None:
    name = attest(registrar, BOB)
    again = open_registrar(home, passphrase=PASSPHRASE)
    assert again.public_key == registrar.public_key
    assert [signed.body.id for signed in again.attestations()] == [name]


def test_a_patient_is_not_attested(registrar: Registrar) -> None:
    with pytest.raises(UsageError):
        attest(registrar, person(make_person(DICE, Role.PATIENT)))


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\nb"},
        {"organisation": " x"},
        {"seconds": 90 * DAY + 1},
        {"seconds": 0},
    ],
    ids=["no name", "long name", "control", "space", "too long", "no time"],
)
def test_an_attestation_keeps_its_rules(registrar: Registrar, change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        attest(registrar, BOB, **change)
    assert registrar.attestations() == []


def test_what_is_taken_back_stands_on_the_next_list(registrar: Registrar, home: Home) -> None:
    first, second = attest(registrar, BOB), attest(registrar, BOB)
    registrar.revoke(first, now=NOW)
    listed = open_registrar(home, passphrase=PASSPHRASE).sign_list(now=NOW)
    listed.verify(registrar.public_key)
    assert listed.body.revoked == (first,)
    assert listed.body.number == 1
    assert second not in listed.body.revoked


def test_lists_count_on(registrar: Registrar, home: Home) -> None:
    registrar.sign_list(now=NOW)
    assert open_registrar(home, passphrase=PASSPHRASE).sign_list(now=NOW).body.number == 2


def test_what_has_expired_leaves_the_list(registrar: Registrar) -> None:
    old = attest(registrar, BOB, seconds=DAY)
    registrar.revoke(old, now=NOW)
    new = attest(registrar, BOB, now=NOW + 2 * DAY)
    registrar.revoke(new, now=NOW + 2 * DAY)
    assert registrar.sign_list(now=NOW + 2 * DAY).body.revoked == (new,)


def test_an_unknown_attestation_is_not_taken_back(registrar: Registrar) -> None:
    with pytest.raises(NotFoundError):
        registrar.revoke(AttestationId(bytes(16)), now=NOW)


def test_the_file_opens_for_nobody_else(registrar: Registrar, home: Home, tmp_path: Path) -> None:
    with pytest.raises(UnlockError):
        open_registrar(home, passphrase="another passphrase")
    with pytest.raises(HomeTakenError):
        make_registrar(home, passphrase=PASSPHRASE, now=NOW)
    with pytest.raises(NoHomeError):
        open_registrar(Home(tmp_path), passphrase=PASSPHRASE)
    members = json.loads(home.load("registrar.json"))
    members["public_key"] = format_base64url(DICE.signer().public_key.raw)
    home.store("registrar.json", format_canonical_json(members))
    with pytest.raises(DataError):
        open_registrar(home, passphrase=PASSPHRASE)
    home.store("registrar.json", b"{}")
    with pytest.raises(VerificationError, match="backup"):
        open_registrar(home, passphrase=PASSPHRASE)


def test_whoever_lives_in_the_folder_already_keeps_the_device_secret(home: Home) -> None:
    home.create()
    home.store("device-secret", bytes(range(32)))
    make_registrar(home, passphrase=PASSPHRASE, now=NOW)
    assert home.load("device-secret") == bytes(range(32))
    open_registrar(home, passphrase=PASSPHRASE)


def test_nothing_of_the_key_is_shown(registrar: Registrar, home: Home) -> None:
    seed = registrar._signer.seed()
    assert format_base64url(seed).encode() not in home.load("registrar.json")
    assert format_base64url(seed) not in repr(registrar)


def test_published_statements_let_a_practitioner_be_believed(world: ClientWorld, home: Home) -> None:
    registrar = make_registrar(home, passphrase=PASSPHRASE, now=NOW)
    registrar._signer = world.own.registrar.signer  # the one whom the card pins
    alice, bob = world.patient("alice"), world.person("bob", Role.PRACTITIONER)
    subject = verify_bundle(bob.identity, bob.keyring.body.person)
    name = attest(registrar, subject, now=world.clock())
    registrar.publish(alice.vault, alice.keyservice, now=world.clock())
    registrar.publish(alice.vault, alice.keyservice, now=world.clock())
    practitioner = fetch_practitioner(alice, bob.identity)
    assert practitioner.attestation.body.name == "Dr. A. Weber"
    registrar.revoke(name, now=world.clock())
    registrar.publish(alice.vault, alice.keyservice, now=world.clock())
    with pytest.raises(VerificationError, match="revoked"):
        fetch_practitioner(alice, bob.identity)
