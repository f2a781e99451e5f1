"""Nobody learns by bringing statements who is known: without a person's key all answers are alike (promise P04, P13).

Anyone may bring statements about people and of the directory, because they prove themselves. Mallory has the name of a
record, or a public key, and asks whether there is such a one with statements that she signed herself.
"""

import secrets
from collections.abc import Callable

import httpx2
import pytest

from carnet.people import verify_bundle
from carnet_protocol.api import PersonView
from carnet_protocol.ids import AttestationId, Commitment, Ed25519PublicKey, IdentityHash, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import (
    Attestation,
    Device,
    Identity,
    Profession,
    Recovery,
    Removal,
    RevocationList,
    Role,
    Signed,
    Succession,
)
from carnet_protocol.suites import WRITE_SUITE
from carnet_server.people import decide
from tests.support.anonymous import post_directory, post_people
from tests.support.client import Wire
from tests.support.people import DAY, NOW, Dice
from tests.support.story import Story

MALLORY = Dice("mallory").signer()
KEM_KEY = Dice("mallory's").kem_key().public_key
Statement = Identity | Device | Removal | Recovery | Attestation | RevocationList | Succession


def _identity(
    role: Role, identity: IdentityHash | None, *, root_key: Ed25519PublicKey, previous: StatementHash
) -> Identity:
    return Identity(
        suite=WRITE_SUITE,
        role=role,
        serial=0 if identity is None else 1,
        founding=identity,
        previous=None if identity is None else previous,
        root_key=root_key,
        account_kem_key=KEM_KEY,
        recovery_commitment=Commitment(bytes(32)),
        issued_at=NOW,
    )


def _later(role: Role) -> Callable[[IdentityHash, StatementHash], Identity]:
    return lambda identity, newest: _identity(role, identity, root_key=MALLORY.public_key, previous=newest)


def _device(identity: IdentityHash, by: StatementHash | None) -> Device:
    return Device(
        identity=identity, device_key=MALLORY.public_key, enrolled_by=by, sealed_name=bytes(104), issued_at=NOW
    )


PROBES: dict[str, Callable[[IdentityHash, StatementHash], Statement]] = {
    "a patient's later identity": _later(Role.PATIENT),
    "a practitioner's later identity": _later(Role.PRACTITIONER),
    "a device that the root key enrols": lambda identity, _: _device(identity, None),
    "a device that a device enrols": _device,
    "a removal": lambda identity, newest: Removal(identity=identity, device=newest, since=NOW, issued_at=NOW),
    "a recovery": lambda identity, newest: Recovery(
        identity=identity,
        identity_statement=newest,
        sealed_account_key=bytes(72),
        sealed_previous=None,
        issued_at=NOW,
    ),
}


def _wires(story: Story) -> tuple[Wire, Wire]:
    return story.world.vault, story.world.keyservice


def _ask(story: Story, post: Callable[[Wire, list[str]], httpx2.Response], body: Statement) -> list[tuple[int, bytes]]:
    text = Signed.sign(body, MALLORY).text
    answers = [post(wire, [text]) for wire in _wires(story)]
    return [(answer.status_code, answer.content) for answer in answers]


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("name", PROBES)
def test_a_statement_that_another_signed_does_not_tell_whether_the_person_exists(
    story: Story, monkeypatch: pytest.MonkeyPatch, name: str, limit: int | None
) -> None:
    if limit is not None:
        for maximum in ("MAX_IDENTITIES", "MAX_DEVICES", "MAX_REMOVALS"):
            monkeypatch.setattr(decide, maximum, limit)
    alice = verify_bundle(story.alice.identity, story.alice.keyring.body.person)
    stranger = IdentityHash(secrets.token_bytes(32))
    probe = PROBES[name]
    with story.unchanged():
        answers = [
            _ask(story, post_people, probe(identity, newest))
            for identity in (alice.identity, stranger)
            for newest in (alice.current.hash, story.alice.device, StatementHash(secrets.token_bytes(32)))
        ]
    assert all(answer == answers[0] for answer in answers)
    assert {status for status, _ in answers[0]} == {400}


def test_a_founding_statement_that_another_signed_does_not_tell_whose_root_key_it_is(story: Story) -> None:
    keys = (story.secrets["alice"].derive_root_signer().public_key, Signer(secrets.token_bytes(32)).public_key)
    unnamed = StatementHash(bytes(32))
    with story.unchanged():
        answers = [
            _ask(story, post_people, _identity(Role.PATIENT, None, root_key=key, previous=unnamed)) for key in keys
        ]
    assert answers[0] == answers[1]
    assert {status for status, _ in answers[0]} == {400}


def _attestation(story: Story, name: AttestationId, subject: IdentityHash, statement: StatementHash) -> Attestation:
    return Attestation(
        id=name,
        registrar=story.world.own.registrar.fingerprint,
        subject=subject,
        subject_statement=statement,
        succeeds=None,
        name="Dr. Test",
        profession=Profession.PHYSICIAN,
        organisation="Clinic of Tests",
        not_before=NOW - DAY,
        expires=NOW + DAY,
    )


def test_nobody_but_registrar_and_practitioner_learn_what_the_directory_holds(story: Story) -> None:
    bob = verify_bundle(story.bob.identity, story.bob.keyring.body.person)
    known = story.read_grant.body
    stranger, unnamed = IdentityHash(secrets.token_bytes(32)), StatementHash(secrets.token_bytes(32))
    given = next(
        Signed.parse(text, Attestation)
        for text in story.bob.vault.get(f"/v1/people/{bob.identity}", PersonView).attestations
    )
    assert given.hash == known.attestation
    bodies: list[Statement] = [
        _attestation(story, given.body.id, bob.identity, bob.current.hash),
        _attestation(story, AttestationId(secrets.token_bytes(16)), bob.identity, bob.current.hash),
        _attestation(story, AttestationId(secrets.token_bytes(16)), stranger, unnamed),
        RevocationList(
            registrar=given.body.registrar, number=1, issued_at=NOW - DAY, next_update=NOW + DAY, revoked=()
        ),
        Succession(predecessor=bob.identity, successor=story.lab.identity, successor_statement=unnamed, issued_at=NOW),
        Succession(predecessor=stranger, successor=bob.identity, successor_statement=bob.current.hash, issued_at=NOW),
    ]
    with story.unchanged():
        answers = [_ask(story, post_directory, body) for body in bodies]
    assert all(answer == answers[0] for answer in answers)
