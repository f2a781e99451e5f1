"""Pins: what was seen once is never unsaid, across sessions and between two commands at once."""

from pathlib import Path
from typing import Any

import pytest

from carnet.errors import RollbackError
from carnet.home import Home
from carnet.keys import AccountKey
from carnet.pins import Pins, SeenDocument
from carnet.state import LocalState
from carnet_protocol.authority import Person, verify_person
from carnet_protocol.ids import DocumentId, IdentityHash, StatementHash
from carnet_protocol.statements import Role
from tests.support.people import NOW, Deployment, Dice, OwnPerson, make_person
from tests.support.records import OwnRecord, make_lock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def load(home: Home) -> Pins:
    key = AccountKey(bytes(32))
    return Pins(home, LocalState(home, identity=IdentityHash(bytes(32)), account_keys=lambda: (key,)))


def person(own: OwnPerson, *, statements: int | None = None) -> Person:
    return verify_person(
        own.identity, own.chain[:statements], [device.statement for device in own.devices], own.removals
    )


DICE = Dice("pins")


def test_an_older_chain_is_refused_in_a_later_session(home: Home) -> None:
    bob = make_person(DICE, Role.PRACTITIONER)
    bob.renew()
    pins = load(home)
    pins.check_person(person(bob))
    pins.store()
    again = load(home)
    again.check_person(person(bob))
    with pytest.raises(RollbackError):
        again.check_person(person(bob, statements=1))


def test_another_branch_of_a_chain_is_refused(home: Home) -> None:
    bob = make_person(DICE, Role.PRACTITIONER)
    before, root = list(bob.chain), bob.root
    bob.renew()
    pins = load(home)
    pins.check_person(person(bob))
    bob.chain, bob.root = before, root
    bob.renew()
    bob.renew()
    with pytest.raises(RollbackError):
        pins.check_person(person(bob))


def test_a_removal_that_vanishes_is_refused(home: Home) -> None:
    bob = make_person(DICE, Role.PRACTITIONER)
    bob.remove(bob.device, since=NOW)
    pins = load(home)
    pins.check_person(person(bob))
    bob.removals.clear()
    with pytest.raises(RollbackError):
        pins.check_person(person(bob))


def test_accepted_keys_stay_until_others_are_accepted(home: Home) -> None:
    bob = make_person(DICE, Role.PRACTITIONER)
    pins = load(home)
    assert pins.accepted_keys(bob.identity) is None
    pins.check_person(person(bob))
    pins.accept_keys(person(bob))
    first = bob.current.hash
    bob.renew()
    pins.check_person(person(bob))
    assert pins.accepted_keys(bob.identity) == first
    pins.accept_keys(person(bob))
    pins.store()
    assert load(home).accepted_keys(bob.identity) == bob.current.hash


def test_keys_accepted_anew_survive_a_merge(home: Home) -> None:
    bob = make_person(DICE, Role.PRACTITIONER)
    first = load(home)
    first.check_person(person(bob))
    first.accept_keys(person(bob))
    first.store()
    second = load(home)
    bob.renew()
    second.check_person(person(bob))
    second.accept_keys(person(bob))
    second.store()
    assert load(home).accepted_keys(bob.identity) == bob.current.hash


def chains(record: OwnRecord, *compartments: object) -> dict[object, object]:
    return {compartment.id: tuple(compartment.epochs) for compartment in compartments}


def test_an_older_epoch_is_refused(home: Home) -> None:
    record = OwnRecord(DICE, make_person(DICE, Role.PATIENT), Deployment.make(DICE))
    general = record.open_compartment()
    record.next_epoch(general)
    pins = load(home)
    pins.check_compartments(record.id, {general.id: tuple(general.epochs)}, complete=True)
    with pytest.raises(RollbackError):
        pins.check_compartments(record.id, {general.id: tuple(general.epochs[:1])}, complete=True)


def test_a_compartment_that_vanishes_is_refused_where_all_should_be(home: Home) -> None:
    record = OwnRecord(DICE, make_person(DICE, Role.PATIENT), Deployment.make(DICE))
    general = record.open_compartment()
    pins = load(home)
    pins.check_compartments(record.id, {general.id: tuple(general.epochs)}, complete=True)
    pins.check_compartments(record.id, {}, complete=False)
    with pytest.raises(RollbackError):
        pins.check_compartments(record.id, {}, complete=True)


def test_an_older_lock_is_refused(home: Home) -> None:
    deployment, record = Deployment.make(DICE), make_person(DICE, Role.PATIENT).record
    older, _ = make_lock(DICE, deployment, record, version=1)
    newer, _ = make_lock(DICE, deployment, record, version=2)
    pins = load(home)
    pins.check_lock(older)
    pins.check_lock(newer)
    pins.check_lock(newer)
    with pytest.raises(RollbackError):
        pins.check_lock(older)


@pytest.mark.parametrize("vanishing", ["grants", "revocations"])
def test_a_grant_or_revocation_that_vanishes_is_refused(home: Home, vanishing: str) -> None:
    record = make_person(DICE, Role.PATIENT).record
    seen = {"grants": [StatementHash(b"g" * 32)], "revocations": [StatementHash(b"r" * 32)]}
    pins = load(home)
    pins.check_grants(record, **seen)
    pins.store()
    with pytest.raises(RollbackError):
        load(home).check_grants(record, **{**seen, vanishing: []})


def test_two_commands_add_up(home: Home) -> None:
    record = make_person(DICE, Role.PATIENT).record
    first, second = load(home), load(home)
    first.check_grants(record, grants=[StatementHash(b"1" * 32)], revocations=[])
    second.check_grants(record, grants=[StatementHash(b"2" * 32)], revocations=[])
    first.store()
    second.store()
    with pytest.raises(RollbackError):
        load(home).check_grants(record, grants=[StatementHash(b"1" * 32)], revocations=[])


def test_nothing_new_writes_nothing(home: Home) -> None:
    load(home).store()
    assert not (home.path / "state").exists()


def seen(**changes: Any) -> SeenDocument:
    first = {
        "document": DocumentId(b"d" * 32),
        "author": IdentityHash(b"a" * 32),
        "version": 1,
        "manifest": StatementHash(b"1" * 32),
        "previous": None,
        "reseals": 0,
        "filings": (),
    }
    return SeenDocument(**(first | changes))


FILINGS = tuple(StatementHash(bytes([number]) * 32) for number in range(3))
OTHER = StatementHash(b"o" * 32)


def test_filings_only_ever_grow(home: Home) -> None:
    record = make_person(DICE, Role.PATIENT).record
    pins = load(home)
    assert not pins.check_documents(record, [seen(filings=FILINGS[:2])])
    pins.store()
    for filings in ((), FILINGS[:1], (FILINGS[0], OTHER), (FILINGS[0], OTHER, FILINGS[1])):
        assert load(home).check_documents(record, [seen(filings=filings)])
    for filings in (None, FILINGS[:2], FILINGS):
        assert not load(home).check_documents(record, [seen(filings=filings)])


def test_the_newest_filing_survives_a_merge_and_who_sees_no_filings(home: Home) -> None:
    record = make_person(DICE, Role.PATIENT).record
    first, second = load(home), load(home)
    first.check_documents(record, [seen(filings=FILINGS)])
    second.check_documents(record, [seen(filings=FILINGS[:1], reseals=1)])
    first.store()
    second.store()
    pins = load(home)
    assert not pins.check_documents(record, [seen(filings=None, reseals=1)])
    assert pins.check_documents(record, [seen(filings=(*FILINGS[:2], OTHER), reseals=1)])
    assert pins.check_documents(record, [seen(filings=FILINGS)])
    assert not pins.check_documents(record, [seen(filings=FILINGS, reseals=1)])


def test_the_author_of_what_was_seen_is_known_later(home: Home) -> None:
    record = make_person(DICE, Role.PATIENT).record
    pins = load(home)
    assert pins.author_of(record, seen().document) is None
    pins.check_documents(record, [seen()])
    pins.store()
    assert load(home).author_of(record, seen().document) == seen().author
