"""Attacks 1 to 6: a key of the servers' or of a stranger's in the place of somebody's own (P09)."""

import contextlib
from typing import Any

import pytest

from carnet.access import open_access
from carnet.boxes import seal_compartment_key
from carnet.compartments import commit_to_readers
from carnet.errors import CarnetError, ChangedKeysError, DataError, DisagreementError, VerificationError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.identity import renew_account_key
from carnet.people import verify_bundle
from carnet.revocation import complete_revocation, revoke
from carnet.sealing import KemPrivateKey
from carnet_protocol.api import PersonView
from carnet_protocol.ids import RecordId
from carnet_protocol.statements import Purpose, Signed
from carnet_protocol.suites import WRITE_SUITE
from tests.support.story import Story, lying


def _plan(story: Story) -> None:
    access = story.access(story.alice)
    plan = plan_reading(
        story.alice,
        access,
        story.bob.identity,
        compartments=[story.compartment("general")],
        seconds=60,
        purpose=Purpose.CONSULTATION,
        note="",
    )
    make_grant(story.alice, access, plan)


def _view_of(story: Story, name: str) -> dict[str, Any]:
    session = {"mallory": story.mallory, "lab": story.lab}[name]
    view = session.keyservice.get(f"/v1/people/{session.identity}", PersonView)
    answer: dict[str, Any] = view.model_dump(mode="json")
    return answer


@pytest.mark.parametrize("servers", [("vault",), ("keyservice",), ("vault", "keyservice")])
def test_a_lookup_answered_with_the_attackers_key_stops_the_grant(story: Story, servers: tuple[str, ...]) -> None:
    mallory = _view_of(story, "mallory")
    with story.unchanged(), contextlib.ExitStack() as liars:
        for name in servers:
            wire = story.world.vault if name == "vault" else story.world.keyservice
            liars.enter_context(lying(wire, f"/v1/people/{story.bob.identity}", lambda _: mallory))
        with pytest.raises(DataError):
            _plan(story)


@pytest.mark.parametrize("member", ["identities", "devices"])
def test_the_attackers_statements_beside_the_right_ones_stop_the_grant(story: Story, member: str) -> None:
    mallory = _view_of(story, "mallory")

    def add(view: dict[str, Any]) -> dict[str, Any]:
        view["person"][member] += mallory["person"][member]
        return view

    path = f"/v1/people/{story.bob.identity}"
    with story.unchanged(), lying(story.world.vault, path, add), lying(story.world.keyservice, path, add):
        with pytest.raises(DataError):
            _plan(story)


def test_the_attackers_attestation_stops_the_grant(story: Story) -> None:
    mallory = _view_of(story, "mallory")

    def swap(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"attestations": mallory["attestations"]}

    path = f"/v1/people/{story.bob.identity}"
    with story.unchanged(), lying(story.world.vault, path, swap), lying(story.world.keyservice, path, swap):
        with pytest.raises(VerificationError):
            _plan(story)


@pytest.mark.parametrize("missing", ["attestations", "revocation_lists"])
def test_without_attestation_or_list_nothing_is_granted(story: Story, missing: str) -> None:
    def drop(view: dict[str, Any]) -> dict[str, Any]:
        return view | {missing: []}

    path = f"/v1/people/{story.bob.identity}"
    with story.unchanged(), lying(story.world.vault, path, drop), lying(story.world.keyservice, path, drop):
        with pytest.raises(VerificationError):
            _plan(story)


def test_changed_keys_of_a_known_clinician_stop_the_grant_until_they_are_accepted(own_story: Story) -> None:
    recovery_secret = own_story.secrets["bob"]
    renew_account_key(own_story.bob, recovery_secret)
    own_story.world.attest(own_story.bob)
    with own_story.unchanged(), pytest.raises(ChangedKeysError):
        _plan(own_story)


def test_my_own_key_shown_wrongly_is_refused(story: Story) -> None:
    mallory = _view_of(story, "mallory")

    def swap(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"patient": mallory["person"]}

    with lying(story.world.vault, "/access", swap), lying(story.world.keyservice, "/access", swap):
        with pytest.raises(DataError):
            story.access(story.alice)


def test_a_forgotten_renewal_of_my_own_key_is_refused(own_story: Story) -> None:
    renew_account_key(own_story.alice, own_story.secrets["alice"])

    def forget(view: dict[str, Any]) -> dict[str, Any]:
        view["patient"]["identities"] = view["patient"]["identities"][:1]
        return view

    with lying(own_story.world.vault, "/access", forget), lying(own_story.world.keyservice, "/access", forget):
        with pytest.raises(DataError):
            own_story.access(own_story.alice)


def test_a_planted_compartment_key_is_refused(story: Story) -> None:
    """The key service seals a compartment key of its own to Alice: an HPKE box proves no sender."""
    access = story.access(story.alice)
    compartment = next(iter(access.compartments.values()))
    alice = verify_bundle(story.alice.identity, story.alice.keyring.body.person)
    planted = seal_compartment_key(
        KemPrivateKey.make(WRITE_SUITE), compartment=compartment.newest, grant=None, reader=alice.current
    )

    def plant(view: dict[str, Any]) -> dict[str, Any]:
        others = [key for key in view["sealed_keys"] if key["compartment_statement"] != str(compartment.newest.hash)]
        return view | {"sealed_keys": [*others, planted.model_dump(mode="json")]}

    with lying(story.world.keyservice, "/access", plant), pytest.raises(VerificationError, match="planted"):
        story.access(story.alice)


def test_a_compartment_statement_by_the_key_service_is_refused(story: Story) -> None:
    """Whoever is not a device of Alice's cannot make an epoch, however the servers agree on it."""
    access = story.access(story.alice)
    compartment = next(iter(access.compartments.values()))
    forged = Signed.sign(
        compartment.newest.body.model_copy(
            update={
                "epoch": compartment.newest.body.epoch + 1,
                "previous": compartment.newest.hash,
                "compartment_key": KemPrivateKey.make(WRITE_SUITE).public_key,
            }
        ),
        story.mallory.keyring.body.device_signer,
    )

    def forge(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"compartments": [*view["compartments"], forged.text]}

    with lying(story.world.vault, "/access", forge), lying(story.world.keyservice, "/access", forge):
        for session in (story.alice, story.bob, story.lab):
            with pytest.raises(CarnetError):
                story.access(session)


def test_an_invented_patient_is_not_the_one_that_was_named(story: Story) -> None:
    """A laboratory that was told a record id cannot be given another person's keys for it."""
    with pytest.raises(CarnetError):
        open_access(story.lab, RecordId.of(story.mallory.identity), story.deposit_grant.hash)
    eve = story.world.patient("eve")
    stranger = {
        "identities": list(eve.keyring.body.person.identities),
        "devices": list(eve.keyring.body.person.devices),
        "removals": [],
    }

    def invent(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"patient": stranger}

    with lying(story.world.vault, "/access", invent), lying(story.world.keyservice, "/access", invent):
        with pytest.raises(VerificationError):
            story.access(story.lab)


def test_two_different_epochs_at_the_two_servers_are_refused(story: Story) -> None:
    def drop(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"compartments": view["compartments"][1:]}

    for wire in (story.world.vault, story.world.keyservice):
        with lying(wire, "/access", drop), pytest.raises(DisagreementError):
            open_access(story.alice, story.alice.record, sleep=lambda _: None)


def test_a_compartment_that_both_servers_forget_is_noticed_by_who_saw_it(story: Story) -> None:
    dropped = str(story.access(story.alice).compartments[story.compartment("private")].newest.text)

    def drop(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"compartments": [text for text in view["compartments"] if text != dropped]}

    with lying(story.world.vault, "/access", drop), lying(story.world.keyservice, "/access", drop):
        with pytest.raises(DataError):
            story.access(story.alice)


def test_a_hidden_revocation_shows_against_the_commitment_to_readers(own_story: Story) -> None:
    """After a new epoch commits to it, a revocation cannot be kept from another device of the patient."""
    access = own_story.access(own_story.alice)
    revoke(own_story.alice, load_grants(own_story.alice, access), own_story.read_grant)
    complete_revocation(own_story.alice, own_story.read_grant)

    def hide(view: dict[str, Any]) -> dict[str, Any]:
        return view | {"revocations": []}

    other = own_story.world.reopen("alice")
    with lying(own_story.world.vault, "/grants", hide), lying(own_story.world.keyservice, "/grants", hide):
        with pytest.raises(DataError):
            load_grants(other, open_access(other, other.record))


def test_the_commitment_to_readers_binds_both_lists(story: Story) -> None:
    grants, salt = [story.read_grant.hash], bytes(32)
    made = {
        commit_to_readers(salt, grants=grants, revocations=[]),
        commit_to_readers(salt, grants=[], revocations=grants),
        commit_to_readers(salt, grants=[], revocations=[]),
        commit_to_readers(bytes([1]) * 32, grants=grants, revocations=[]),
    }
    assert len(made) == 4
