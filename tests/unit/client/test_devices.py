"""Second and lost devices, recovery, against both real servers."""

from pathlib import Path

import pytest

from carnet.access import open_access
from carnet.devices import list_devices
from carnet.errors import RefusedError, UnauthenticatedError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.identity import fetch_own
from carnet.keys import RecoverySecret
from carnet.pairing import PairingRequest, approve_device, join, request_pairing
from carnet.records import open_record
from carnet.recovery import forget_kit, read_kit, restore
from carnet.revocation import remove_lost_device
from carnet.session import Session
from carnet_protocol.statements import Purpose, Role
from tests.support.client import PASSPHRASE, ClientWorld, find_compartment, put_document, titles


def pair(world: ClientWorld, session: Session, name: str) -> Session:
    home = world.home(name)
    request = request_pairing(home, world.own.card, passphrase=PASSPHRASE, clock=world.clock)
    seen = PairingRequest.parse(request.text)
    assert seen.short_code == request.short_code
    answer = approve_device(session, seen, name=name)
    joined = join(home, answer, passphrase=PASSPHRASE, **world.options())
    world.sessions.append(joined)
    return joined


def test_second_device_reads_and_grants(world: ClientWorld, tmp_path: Path) -> None:
    alice, bob = world.patient("alice"), world.practitioner("bob")
    access = open_record(alice)
    put_document(alice, access, tmp_path, "letter", compartment="general")
    tablet = pair(world, alice, "tablet")
    assert tablet.identity == alice.identity
    access = open_access(tablet, tablet.record)
    assert titles(tablet, access) == ["letter"]
    plan = plan_reading(
        tablet,
        access,
        bob.identity,
        compartments=[find_compartment(access, "general")],
        seconds=60,
        purpose=Purpose.EMERGENCY,
    )
    grant = make_grant(tablet, access, plan)
    assert [signed.hash for signed in load_grants(alice, open_access(alice, alice.record)).grants] == [grant.hash]
    assert [(device.name, device.is_this) for device in list_devices(alice)] == [("alice", True), ("tablet", False)]


def test_restore_reads_everything_on_a_new_machine(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.person("alice", Role.PATIENT)
    words = read_kit(alice).words
    secret = RecoverySecret.from_words(" ".join(words))
    forget_kit(alice, secret)
    put_document(alice, open_record(alice), tmp_path, "letter", compartment="private")
    again = restore(
        world.home("new"), world.own.card, secret, passphrase=PASSPHRASE, device_name="new", **world.options()
    )
    world.sessions.append(again)
    assert again.identity == alice.identity
    assert titles(again, open_access(again, again.record)) == ["letter"]


def test_removed_device_falls_with_what_it_granted_since(world: ClientWorld, tmp_path: Path) -> None:
    alice = world.person("alice", Role.PATIENT)
    secret = RecoverySecret.from_words(" ".join(read_kit(alice).words))
    forget_kit(alice, secret)
    bob, carol = world.practitioner("bob"), world.practitioner("carol")
    access = open_record(alice)
    general = find_compartment(access, "general")
    put_document(alice, access, tmp_path, "letter", compartment="general")
    stolen = pair(world, alice, "stolen")
    scope = {"compartments": [general], "seconds": 3600, "purpose": Purpose.TREATMENT}
    kept = make_grant(alice, access, plan_reading(alice, access, bob.identity, **scope))
    world.clock.now += 600
    theirs = open_access(stolen, stolen.record)
    void = make_grant(stolen, theirs, plan_reading(stolen, theirs, carol.identity, **scope))
    assert titles(carol, open_access(carol, alice.record, void.hash)) == ["letter"]
    world.clock.now += 600

    report, dropped = remove_lost_device(alice, stolen.device, secret, since=world.clock() - 900)
    assert report is not None
    assert (report.skipped, report.readers_left_out, dropped) == ((), (), ())
    with pytest.raises(UnauthenticatedError):
        open_access(stolen, stolen.record)
    with pytest.raises(RefusedError):
        open_access(carol, alice.record, void.hash)
    assert titles(bob, open_access(bob, alice.record, kept.hash)) == ["letter"]
    access = open_access(alice, alice.record)
    assert titles(alice, access) == ["letter"]
    assert {compartment.newest.body.epoch for compartment in access.compartments.values()} == {2}
    assert [grant.hash for grant in load_grants(alice, access).grants] == [kept.hash]
    assert fetch_own(alice).current.body.serial == 1
    alice.close()
    world.sessions.remove(alice)
    again = world.reopen("alice")
    assert titles(again, open_access(again, again.record)) == ["letter"]
