"""Officers: enrolled once, retired for good, each act an event."""

import pytest

from carnet_protocol.requests import KeyId
from carnet_server.errors import ConflictError, RefusedError
from carnet_server.officers.accept import enrol_officer, expel_officer
from carnet_server.officers.queries import load_officers
from carnet_server.people.queries import find_key
from carnet_server.principals import PrincipalKind
from tests.support.nouns import World
from tests.support.people import Dice
from tests.support.tables import unchanged

OLGA, OTTO = Dice("olga").signer().public_key, Dice("otto").signer().public_key


def test_an_enrolled_officers_key_is_in_force_until_retired(world: World) -> None:
    with world.moment() as moment:
        enrolled = enrol_officer(moment, OLGA, by=None)
        key = find_key(moment.connection, KeyId(OLGA.fingerprint().raw))
    assert key is not None
    assert (key.kind, key.identity, key.public_key) == (PrincipalKind.OFFICER, None, OLGA)
    with world.moment() as moment:
        retired = expel_officer(moment, OLGA.fingerprint(), by=OTTO.fingerprint())
        assert find_key(moment.connection, KeyId(OLGA.fingerprint().raw)) is None
        (entry,) = load_officers(moment.connection)
    assert (entry.enrolled, entry.retired) == (enrolled.index, retired.index)


def test_both_acts_once_more_are_answered_as_before(world: World) -> None:
    with world.moment() as moment:
        enrolled = enrol_officer(moment, OLGA, by=None)
    with unchanged(world.engine), world.moment() as moment:
        assert enrol_officer(moment, OLGA, by=OTTO.fingerprint()) == enrolled
    with world.moment() as moment:
        retired = expel_officer(moment, OLGA.fingerprint(), by=None)
    with unchanged(world.engine), world.moment() as moment:
        assert expel_officer(moment, OLGA.fingerprint(), by=None) == retired


def test_a_retired_key_never_comes_back(world: World) -> None:
    with world.moment() as moment:
        enrol_officer(moment, OLGA, by=None)
        expel_officer(moment, OLGA.fingerprint(), by=None)
    with unchanged(world.engine), world.moment() as moment, pytest.raises(ConflictError):
        enrol_officer(moment, OLGA, by=None)


def test_an_unknown_officer_is_not_retired(world: World) -> None:
    with unchanged(world.engine), world.moment() as moment, pytest.raises(RefusedError):
        expel_officer(moment, OTTO.fingerprint(), by=None)
