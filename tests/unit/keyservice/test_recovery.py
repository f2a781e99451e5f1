"""Recovery: the chain of account keys, for whoever holds the root key of now, and for nobody else."""

import pytest

from carnet_protocol.ids import StatementHash
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Recovery, Role, Signed
from tests.support.keyservice import KeyServiceWorld, accept, code
from tests.support.people import NOW, Dice, OwnPerson, make_person
from tests.support.tables import unchanged


@pytest.fixture
def alice(world: KeyServiceWorld) -> OwnPerson:
    made = make_person(Dice("alice"), Role.PATIENT)
    world.introduce(made)
    return made


def refuse(world: KeyServiceWorld, *texts: str) -> tuple[int, str]:
    """Status and code of the refusal of `texts`, which changes nothing."""
    with unchanged(world.engine):
        answer = world.post_people(*texts)
    return code(answer)


def changed(signed: Signed[Recovery], alice: OwnPerson, **members: object) -> str:
    """`signed` with other members, signed by Alice's root key."""
    return Signed.sign(Recovery.model_validate({**signed.body.model_dump(), **members}), alice.root).text


def test_the_root_key_gets_back_person_and_chain(world: KeyServiceWorld, alice: OwnPerson) -> None:
    first = alice.recovery()
    accept(world.post_people(first.text))
    renewed = alice.renew()
    second = alice.recovery()
    accept(world.post_people(renewed.text, second.text))
    view = accept(world.send_as_key("GET", "/v1/recovery", alice.root))
    assert view["recoveries"] == [first.text, second.text]
    assert view["person"]["identities"] == [signed.text for signed in alice.chain]


def test_a_new_person_comes_with_recovery_in_one_request_and_again(world: KeyServiceWorld) -> None:
    alice = make_person(Dice("another"), Role.PATIENT)
    texts = [*alice.statements(), alice.recovery().text]
    first = accept(world.post_people(*texts))
    with unchanged(world.engine):
        assert accept(world.post_people(*texts)) == first


def test_without_a_recovery_statement_there_is_nothing_to_see(world: KeyServiceWorld, alice: OwnPerson) -> None:
    assert code(world.send_as_key("GET", "/v1/recovery", alice.root)) == (401, "unauthenticated")


def test_a_root_key_that_was_replaced_recovers_nothing(world: KeyServiceWorld, alice: OwnPerson) -> None:
    accept(world.post_people(alice.recovery().text))
    old_root = alice.root
    accept(world.post_people(alice.renew(new_root=True).text, alice.recovery().text))
    assert code(world.send_as_key("GET", "/v1/recovery", old_root)) == (401, "unauthenticated")
    assert world.send_as_key("GET", "/v1/recovery", alice.root).status_code == 200


def test_a_root_key_recovers_its_owner_however_many_others_name_it(world: KeyServiceWorld, alice: OwnPerson) -> None:
    accept(world.post_people(alice.recovery().text))
    for name in ("one", "two"):
        squatter = make_person(Dice(name), Role.PATIENT)
        world.introduce(squatter)
        taken = squatter.renew().body.model_copy(update={"root_key": alice.root.public_key})
        accept(world.post_people(Signed.sign(taken, squatter.root).text))
    view = accept(world.send_as_key("GET", "/v1/recovery", alice.root))
    assert view["person"]["identities"] == [alice.current.text]


def test_a_root_key_of_two_people_recovers_the_one_for_whom_it_signed_last(
    world: KeyServiceWorld, alice: OwnPerson
) -> None:
    accept(world.post_people(alice.recovery().text))
    twin_body = alice.current.body.model_copy(update={"issued_at": NOW - 1})
    twin = OwnPerson(Dice("twin"), alice.role, alice.root, [Signed.sign(twin_body, alice.root)], [alice.account_key])
    accept(world.post_people(twin.current.text, twin.recovery().text))
    view = accept(world.send_as_key("GET", "/v1/recovery", alice.root))
    assert view["person"]["identities"] == [twin.current.text]


def test_two_slots_for_one_statement_in_one_request_are_refused(world: KeyServiceWorld, alice: OwnPerson) -> None:
    assert refuse(world, alice.recovery().text, alice.recovery().text) == (409, "conflict")


def test_a_device_and_a_stranger_recover_nothing(world: KeyServiceWorld, alice: OwnPerson) -> None:
    accept(world.post_people(alice.recovery().text))
    assert code(world.get("/v1/recovery", alice)) == (404, "refused")
    assert code(world.send_as_key("GET", "/v1/recovery", Dice("stranger").signer())) == (401, "unauthenticated")
    assert code(world.get("/v1/recovery", None)) == (401, "unauthenticated")


def test_another_slot_for_the_same_statement_is_refused(world: KeyServiceWorld, alice: OwnPerson) -> None:
    accept(world.post_people(alice.recovery().text))
    assert refuse(world, alice.recovery().text) == (409, "conflict")


def test_a_slot_for_an_older_statement_is_refused(world: KeyServiceWorld, alice: OwnPerson) -> None:
    late = alice.recovery()
    accept(world.post_people(alice.renew().text))
    assert refuse(world, late.text) == (409, "conflict")


def test_a_slot_for_an_unknown_statement_is_refused(world: KeyServiceWorld, alice: OwnPerson) -> None:
    other = changed(alice.recovery(), alice, identity_statement=StatementHash(bytes(32)))
    assert refuse(world, other) == (409, "conflict")


def test_the_account_key_before_is_there_from_the_second_statement_on(world: KeyServiceWorld, alice: OwnPerson) -> None:
    with_one_before = changed(alice.recovery(), alice, sealed_previous=bytes(72))
    assert refuse(world, with_one_before) == (400, "invalid_statement")
    accept(world.post_people(alice.renew().text))
    without = changed(alice.recovery(), alice, sealed_previous=None)
    assert refuse(world, without) == (400, "invalid_statement")


def test_nobody_but_the_root_key_signs_a_slot(world: KeyServiceWorld, alice: OwnPerson) -> None:
    forged = Signed.sign(alice.recovery().body, alice.device.signer).text
    assert refuse(world, forged) == (400, "invalid_statement")


def test_a_slot_from_the_future_is_refused(world: KeyServiceWorld, alice: OwnPerson) -> None:
    early = alice.recovery(at=NOW + CLOCK_SKEW_SECONDS + 1)
    assert refuse(world, early.text) == (400, "invalid_statement")
