"""People: what signed statements prove, what both servers agree on, whose keys were accepted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from carnet.errors import (
    CarnetError,
    ChangedKeysError,
    DisagreementError,
    RollbackError,
    VerificationError,
)
from carnet.home import Home
from carnet.keys import AccountKey
from carnet.people import People, Practitioner, verify_bundle, verify_succession
from carnet.pins import Pins
from carnet.state import LocalState
from carnet_protocol.api import PersonBundle, PersonView
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Attestation, Role, Signed
from tests.support.people import DAY, NOW, Deployment, Dice, OwnPerson, make_person


def bundle(own: OwnPerson, **change: Any) -> PersonBundle:
    members = {
        "identities": tuple(signed.text for signed in own.chain),
        "devices": tuple(device.statement.text for device in own.devices),
        "removals": tuple(removal.text for removal in own.removals),
        **change,
    }
    return PersonBundle(**members)


@dataclass(slots=True)
class Directory:
    """A registrar, a client's view of people, and a physician."""

    deployment: Deployment
    people: People
    bob: OwnPerson
    attestation: Signed[Attestation]
    revocation_list: str

    def view(self, **change: Any) -> PersonView:
        members = {
            "person": bundle(self.bob),
            "attestations": (self.attestation.text,),
            "revocation_lists": (self.revocation_list,),
            "succession": None,
            **change,
        }
        return PersonView(**members)

    def verify(self, *, now: int = NOW, vault: PersonView | None = None, **change: Any) -> Practitioner:
        view = self.view(**change)
        return self.people.verify_practitioner(
            self.bob.identity,
            vault=vault or view,
            keyservice=view,
            registrars=self.deployment.registrar_keys,
            now=now,
        )


@pytest.fixture
def directory(tmp_path: Any) -> Directory:
    dice = Dice("people")
    deployment = Deployment.make(dice)
    home = Home(tmp_path)
    state = LocalState(home, identity=IdentityHash(bytes(32)), account_keys=lambda: (AccountKey(bytes(32)),))
    bob = make_person(dice, Role.PRACTITIONER)
    attestation = deployment.registrar.attest(bob)
    listed = deployment.registrar.publish_list().text
    return Directory(deployment, People(Pins(home, state)), bob, attestation, listed)


def test_an_attested_practitioner_is_believed(directory: Directory) -> None:
    practitioner = directory.verify()
    assert practitioner.attestation.hash == directory.attestation.hash
    assert len(practitioner.short_code.split()) == 6


def test_the_same_statements_are_verified_once(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = directory.verify().person
    monkeypatch.setattr("carnet.people.verify_bundle", None)
    assert directory.verify().person is first


def test_no_attestation_is_no_practitioner(directory: Directory) -> None:
    with pytest.raises(VerificationError, match="no registrar"):
        directory.verify(attestations=())


def test_a_missing_revocation_list_counts_as_revoked(directory: Directory) -> None:
    with pytest.raises(VerificationError):
        directory.verify(revocation_lists=())


@pytest.mark.parametrize("now", [NOW - DAY - 1, NOW + 60 * DAY, NOW + 61 * DAY])
def test_an_attestation_holds_in_its_time_alone(directory: Directory, now: int) -> None:
    listed = directory.deployment.registrar.publish_list(at=NOW - 10 * DAY, next_update=NOW + 79 * DAY)
    with pytest.raises(VerificationError):
        directory.verify(now=now, revocation_lists=(listed.text,))


def test_a_list_out_of_date_is_not_relied_on(directory: Directory) -> None:
    directory.verify(now=NOW + 30 * DAY - 1)
    with pytest.raises(VerificationError, match="out of date"):
        directory.verify(now=NOW + 30 * DAY)


def test_a_revocation_that_one_server_shows_counts(directory: Directory) -> None:
    newer = directory.deployment.registrar.publish_list(directory.attestation)
    with pytest.raises(VerificationError, match="revoked"):
        directory.verify(vault=directory.view(revocation_lists=(newer.text,)))


def test_an_attestation_by_an_unknown_registrar_is_refused(directory: Directory) -> None:
    stranger = Deployment.make(Dice("stranger")).registrar
    with pytest.raises(VerificationError, match="not pinned"):
        directory.verify(
            attestations=(stranger.attest(directory.bob).text,), revocation_lists=(stranger.publish_list().text,)
        )


def test_an_attestation_of_older_keys_is_refused(directory: Directory) -> None:
    directory.bob.renew()
    with pytest.raises(VerificationError, match="other keys"):
        directory.verify()


def test_a_patient_is_no_practitioner(directory: Directory) -> None:
    directory.bob = make_person(Dice("alice"), Role.PATIENT)
    with pytest.raises(VerificationError, match="not a practitioner"):
        directory.verify()


@pytest.mark.parametrize("member", ["attestations", "revocation_lists"])
def test_what_is_no_directory_statement_is_refused(directory: Directory, member: str) -> None:
    with pytest.raises(VerificationError):
        directory.verify(**{member: (directory.bob.current.text,)})


def test_a_chain_that_one_server_shortens_is_noticed(directory: Directory) -> None:
    before = bundle(directory.bob)
    directory.bob.renew()
    after = bundle(directory.bob)
    for vault, keyservice in ((before, after), (after, before)):
        with pytest.raises(DisagreementError, match="identity statements"):
            directory.people.verify_both(directory.bob.identity, vault=vault, keyservice=keyservice)


def test_a_removal_that_one_server_hides_is_noticed(directory: Directory) -> None:
    before = bundle(directory.bob)
    directory.bob.remove(directory.bob.device, since=NOW)
    with pytest.raises(DisagreementError, match="removed"):
        directory.people.verify_both(directory.bob.identity, vault=before, keyservice=bundle(directory.bob))


def test_a_device_that_one_server_has_not_heard_of_yet_counts(directory: Directory) -> None:
    before = bundle(directory.bob)
    device = directory.bob.enrol(by=directory.bob.device)
    person = directory.people.verify_both(directory.bob.identity, vault=before, keyservice=bundle(directory.bob))
    assert device.hash in person.devices


def test_an_older_state_at_both_servers_is_refused(directory: Directory) -> None:
    before = bundle(directory.bob)
    directory.bob.renew()
    directory.people.verify(directory.bob.identity, bundle(directory.bob))
    with pytest.raises(RollbackError):
        directory.people.verify(directory.bob.identity, before)


BUNDLES: dict[str, Callable[[OwnPerson, OwnPerson], PersonBundle]] = {
    "another person": lambda _, mallory: bundle(mallory),
    "another person's device": lambda bob, mallory: bundle(bob, devices=bundle(mallory).devices),
    "another person's chain after the founding statement": lambda bob, mallory: bundle(
        bob, identities=(bob.chain[0].text, mallory.renew().text)
    ),
    "statements of another kind": lambda bob, _: bundle(bob, devices=bundle(bob).identities),
    "a forged device": lambda bob, mallory: bundle(
        bob, devices=(Signed.sign(bob.device.statement.body, mallory.root).text,)
    ),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_statements_that_prove_nobody_are_refused(directory: Directory, name: str) -> None:
    mallory = make_person(Dice("mallory"), Role.PRACTITIONER)
    with pytest.raises(VerificationError):
        verify_bundle(directory.bob.identity, BUNDLES[name](directory.bob, mallory))


def test_the_first_keys_are_accepted_and_others_stop(directory: Directory) -> None:
    directory.people.check_accepted(directory.verify())
    directory.people.check_accepted(directory.verify())
    directory.bob.renew()
    directory.attestation = directory.deployment.registrar.attest(directory.bob)
    renewed = directory.verify()
    with pytest.raises(ChangedKeysError, match=r"Dr\. Test"):
        directory.people.check_accepted(renewed)
    directory.people.accept(renewed)
    directory.people.check_accepted(renewed)


def succeed(directory: Directory, *, attested: bool = True, signer: OwnPerson | None = None) -> None:
    """Bob takes over from Carol."""
    carol = make_person(Dice("carol"), Role.PRACTITIONER)
    registrar = directory.deployment.registrar
    directory.attestation = registrar.attest(directory.bob, succeeds=carol if attested else None)
    text = (signer or carol).hand_over_to(directory.bob)
    if signer is not None:
        text = Signed.sign(text.body.model_copy(update={"predecessor": carol.identity}), signer.root)
    person = verify_bundle(carol.identity, bundle(carol))
    verify_succession(text.text, predecessor=person, successor=directory.verify())


def test_a_succession_needs_the_old_key_and_a_registrar(directory: Directory) -> None:
    succeed(directory)
    with pytest.raises(VerificationError, match="no registrar"):
        succeed(directory, attested=False)
    with pytest.raises(VerificationError, match="not signed"):
        succeed(directory, signer=make_person(Dice("mallory"), Role.PRACTITIONER))


def test_no_error_of_people_is_of_another_tree(directory: Directory) -> None:
    with pytest.raises(CarnetError):
        verify_bundle(IdentityHash(bytes(32)), bundle(directory.bob))
