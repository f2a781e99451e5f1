"""Chains of compartments: only the patient's devices add a link, in order; only readers in force are committed to."""

import pytest

from carnet.boxes import seal_readers_opening
from carnet.compartments import (
    commit_to_readers,
    covering_grants,
    is_trusted,
    verify_chains,
    verify_closings,
    verify_readers,
)
from carnet.errors import DecryptionError, RollbackError, VerificationError
from carnet.sealing import KemPrivateKey
from carnet_protocol.authority import Person, verify_person
from carnet_protocol.ids import CompartmentId
from carnet_protocol.statements import Closing, Compartment, Grant, Permission, Revocation, Role, Signed
from carnet_protocol.suites import WRITE_SUITE
from tests.support.people import NOW, Deployment, Dice, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord

DICE = Dice("compartments")
DEPLOYMENT = Deployment.make(DICE)
KEYSERVICE = DEPLOYMENT.keyservice.fingerprint


def person(own: OwnPerson) -> Person:
    return verify_person(own.identity, own.chain, [device.statement for device in own.devices], own.removals)


@pytest.fixture
def record() -> OwnRecord:
    return OwnRecord(DICE, make_person(DICE, Role.PATIENT), DEPLOYMENT)


@pytest.fixture
def general(record: OwnRecord) -> OwnCompartment:
    general = record.open_compartment()
    record.next_epoch(general)
    record.next_epoch(general)
    return general


def verify(
    record: OwnRecord, epochs: list[Signed[Compartment]]
) -> dict[CompartmentId, tuple[Signed[Compartment], ...]]:
    return verify_chains(
        [signed.text for signed in epochs], record=record.id, patient=person(record.patient), keyservice=KEYSERVICE
    )


def test_chains_are_sorted_by_compartment_and_epoch(record: OwnRecord, general: OwnCompartment) -> None:
    private = record.open_compartment()
    chains = verify(record, [*reversed(general.epochs), *private.epochs])
    assert chains == {general.id: tuple(general.epochs), private.id: tuple(private.epochs)}


@pytest.mark.parametrize("kept", [(1, 2), (0, 2), (0, 0, 1, 2), (2,)])
def test_a_chain_with_a_gap_or_a_double_is_refused(
    record: OwnRecord, general: OwnCompartment, kept: tuple[int, ...]
) -> None:
    with pytest.raises(VerificationError, match="chain"):
        verify(record, [general.epochs[index] for index in kept])


def test_two_second_epochs_are_refused(record: OwnRecord, general: OwnCompartment) -> None:
    fork = OwnCompartment(general.id, general.epochs[:1], general.keys[:1])
    record.next_epoch(fork)
    with pytest.raises(VerificationError, match="chain"):
        verify(record, [*general.epochs[:2], fork.newest])


def test_an_epoch_of_another_branch_is_refused(record: OwnRecord, general: OwnCompartment) -> None:
    fork = OwnCompartment(general.id, general.epochs[:1], general.keys[:1])
    record.next_epoch(fork)
    with pytest.raises(VerificationError, match="chain"):
        verify(record, [general.epochs[0], fork.newest, general.epochs[2]])


@pytest.mark.parametrize("change", ["record", "keyservice", "device"])
def test_an_epoch_for_somewhere_else_is_refused(record: OwnRecord, change: str) -> None:
    general = record.open_compartment()
    mallory = make_person(DICE, Role.PATIENT)
    values = {
        "record": mallory.record,
        "keyservice": DEPLOYMENT.vault.fingerprint,
        "device": mallory.device.hash,
    }
    body = general.newest.body.model_copy(update={change: values[change]})
    with pytest.raises(VerificationError):
        verify(record, [Signed.sign(body, record.patient.device.signer)])


def test_an_epoch_signed_by_somebody_else_is_refused(record: OwnRecord) -> None:
    body = record.open_compartment().newest.body
    with pytest.raises(VerificationError):
        verify(record, [Signed.sign(body, DEPLOYMENT.keyservice.key)])


@pytest.mark.parametrize("text", ["", "a.b.c", "é"])
def test_what_is_no_compartment_is_refused(record: OwnRecord, text: str) -> None:
    with pytest.raises(VerificationError):
        verify_chains([text], record=record.id, patient=person(record.patient), keyservice=KEYSERVICE)


def test_an_epoch_by_a_device_shut_out_is_a_link_and_not_trusted(record: OwnRecord) -> None:
    alice = record.patient
    thief = alice.enrol()
    general = record.open_compartment()
    record.next_epoch(general, at=NOW + 100, device=thief)
    alice.remove(thief, since=NOW + 50)
    assert not is_trusted(general.newest, person(alice))
    record.next_epoch(general, at=NOW + 200)
    assert verify(record, general.epochs)[general.id][-1] == general.newest
    assert is_trusted(general.newest, person(alice))


def close(record: OwnRecord, general: OwnCompartment, closing: Signed[Closing]) -> object:
    chains = verify(record, general.epochs)
    return verify_closings([closing.text], chains, patient=person(record.patient))


def test_closings_name_superseded_epochs(record: OwnRecord, general: OwnCompartment) -> None:
    assert close(record, general, record.close_epoch(general, epoch=2)) == {general.epochs[1].hash}


def test_the_newest_epoch_is_never_closed(record: OwnRecord, general: OwnCompartment) -> None:
    with pytest.raises(VerificationError):
        close(record, general, record.close_epoch(general, epoch=3))


def test_a_closing_with_another_epoch_number_is_refused(record: OwnRecord, general: OwnCompartment) -> None:
    body = record.close_epoch(general, epoch=1).body.model_copy(update={"epoch": 2})
    with pytest.raises(VerificationError):
        close(record, general, Signed.sign(body, record.patient.device.signer))


def test_a_closing_by_somebody_else_is_refused(record: OwnRecord, general: OwnCompartment) -> None:
    with pytest.raises(VerificationError):
        close(record, general, Signed.sign(record.close_epoch(general, epoch=1).body, DEPLOYMENT.vault.key))


class Book:
    """Grants and revocations, and an epoch that commits to what was known."""

    def __init__(self, record: OwnRecord) -> None:
        self.record = record
        self.bob = make_person(DICE, Role.PRACTITIONER)
        self.attestation = DEPLOYMENT.registrar.attest(self.bob)
        self.general = record.open_compartment()
        self.grants: list[Signed[Grant]] = []
        self.revocations: list[Signed[Revocation]] = []

    def grant(self, **members: object) -> Signed[Grant]:
        grant = self.record.grant(self.bob, self.attestation, compartments=[self.general], **members)
        self.grants.append(grant)
        return grant

    def revoke(self, grant: Signed[Grant]) -> None:
        self.revocations.append(self.record.revoke(grant))

    def commit(self, *, at: int = NOW) -> Signed[Compartment]:
        """The newest epoch, made by a device that knew of everything so far."""
        salt = DICE(32)
        readers = covering_grants(self.general.id, grants=self.grants, revocations=self.revocations, now=at)
        body = self.general.newest.body.model_copy(
            update={
                "readers_commitment": commit_to_readers(
                    salt,
                    grants=[grant.hash for grant in readers],
                    revocations=[revocation.hash for revocation in self.revocations],
                ),
                "sealed_opening": seal_readers_opening(
                    salt,
                    record=self.record.id,
                    compartment=self.general.id,
                    epoch=1,
                    patient=self.record.patient.current.body,
                ),
                "issued_at": at,
            }
        )
        return Signed.sign(body, self.record.patient.device.signer)

    def verify(self, newest: Signed[Compartment], *, grants: object = None, revocations: object = None) -> None:
        keys = [KemPrivateKey.make(WRITE_SUITE), KemPrivateKey(self.record.patient.account_key.seed, WRITE_SUITE)]
        verify_readers(
            newest,
            grants=self.grants if grants is None else grants,
            revocations=self.revocations if revocations is None else revocations,
            account_kem_keys=keys,
        )


@pytest.fixture
def book(record: OwnRecord) -> Book:
    return Book(record)


def test_what_was_known_is_confirmed_whatever_came_later(book: Book) -> None:
    first = book.grant()
    book.grant(permission=Permission.DEPOSIT)
    book.revoke(first)
    book.grant()
    newest = book.commit()
    book.verify(newest)
    book.revoke(book.grant(at=NOW + 10))
    book.verify(newest)


def test_a_withheld_grant_shows(book: Book) -> None:
    book.grant()
    book.grant()
    newest = book.commit()
    with pytest.raises(RollbackError, match="withholds"):
        book.verify(newest, grants=book.grants[:1])
    with pytest.raises(RollbackError):
        book.verify(newest, grants=book.grants[1:])


def test_a_withheld_revocation_shows(book: Book) -> None:
    for _ in range(2):
        book.revoke(book.grant())
    newest = book.commit()
    for shown in (book.revocations[:1], book.revocations[1:], []):
        with pytest.raises(RollbackError):
            book.verify(newest, revocations=shown)


def test_an_expired_grant_is_not_committed_to(book: Book) -> None:
    book.grant(expires=NOW + 10)
    assert covering_grants(book.general.id, grants=book.grants, revocations=[], now=NOW + 9)
    assert not covering_grants(book.general.id, grants=book.grants, revocations=[], now=NOW + 10)
    newest = book.commit(at=NOW + 60)
    book.verify(newest, grants=[])


def test_many_later_grants_do_not_hide_what_was_known(book: Book) -> None:
    book.grant()
    newest = book.commit()
    for _ in range(100):
        book.revoke(book.grant())
    book.verify(newest)
    with pytest.raises(RollbackError):
        book.verify(newest, grants=book.grants[1:])


def test_a_changed_opening_is_refused(book: Book) -> None:
    with pytest.raises(DecryptionError):
        book.verify(book.general.newest)
