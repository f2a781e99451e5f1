"""The directory: what registrars say, until when it holds, and who succeeds whom."""

import pytest
from sqlalchemy import select

from carnet_protocol.ids import IdentityHash
from carnet_protocol.limits import CLOCK_SKEW_SECONDS
from carnet_protocol.statements import Role, Signed
from carnet_server.directory.queries import (
    is_attested,
    is_attested_by,
    load_attestations,
    load_lists,
    load_succession,
)
from carnet_server.errors import ConflictError, InvalidStatementError, RefusalError
from tests.support.nouns import Story, World
from tests.support.people import DAY, NOW, Dice, OwnPerson, OwnRegistrar, make_person
from tests.support.tables import count_rows, unchanged


@pytest.fixture
def bob(world: World) -> OwnPerson:
    made = make_person(Dice("bob"), Role.PRACTITIONER)
    world.accept_people(made)
    return made


@pytest.fixture
def registrar(world: World) -> OwnRegistrar:
    return world.own.registrar


def refuse(world: World, error: type[RefusalError], *signed: Signed, at: int | None = None) -> str:
    """The reason of the refusal, which changes nothing."""
    with unchanged(world.engine), pytest.raises(error) as caught:
        world.accept_directory(*signed, at=at)
    assert type(caught.value) is error
    return caught.value.reason


def is_good(world: World, person: OwnPerson, *, at: int = NOW) -> bool:
    """Whether `person` is a practitioner at time `at`."""
    with world.moment(at) as moment:
        query = select(is_attested(moment.deployment.pinned))
        return bool(moment.connection.execute(query, {"principal": person.identity, "now": at}).scalar())


# Attestations


def test_an_attested_practitioner_is_one_from_the_first_to_before_the_last_second(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    world.accept_directory(registrar.publish_list(), registrar.attest(bob, not_before=NOW, expires=NOW + 100))
    times = [NOW - 1, NOW, NOW + 99, NOW + 100, NOW + 101]
    assert [is_good(world, bob, at=at) for at in times] == [False, True, True, False, False]


def test_without_a_revocation_list_nobody_is_attested(world: World, bob: OwnPerson, registrar: OwnRegistrar) -> None:
    world.accept_directory(registrar.attest(bob))
    assert not is_good(world, bob)


def test_a_revocation_list_out_of_date_attests_nobody(world: World, bob: OwnPerson, registrar: OwnRegistrar) -> None:
    world.accept_directory(registrar.attest(bob), registrar.publish_list(next_update=NOW + 50))
    assert [is_good(world, bob, at=at) for at in (NOW, NOW + 49, NOW + 50)] == [True, True, False]


def test_a_list_of_a_little_in_the_future_is_good_and_of_more_is_not(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    world.accept_directory(registrar.attest(bob), registrar.publish_list(at=NOW))
    assert is_good(world, bob, at=NOW - CLOCK_SKEW_SECONDS)
    assert not is_good(world, bob, at=NOW - CLOCK_SKEW_SECONDS - 1)


def test_a_revoked_attestation_ends_at_once_also_where_it_comes_after_the_list(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    first, second = registrar.attest(bob), registrar.attest(bob)
    world.accept_directory(registrar.publish_list(), first)
    assert is_good(world, bob)
    world.accept_directory(registrar.publish_list(first, second))
    assert not is_good(world, bob)
    world.accept_directory(second)
    assert not is_good(world, bob)


def test_renewed_keys_need_a_new_attestation(world: World, bob: OwnPerson, registrar: OwnRegistrar) -> None:
    world.accept_directory(registrar.publish_list(), registrar.attest(bob))
    world.accept_people_statements([bob.renew().text])
    assert not is_good(world, bob)
    world.accept_directory(registrar.attest(bob))
    assert is_good(world, bob)


def test_an_attestation_is_of_its_subject_alone(world: World, bob: OwnPerson, registrar: OwnRegistrar) -> None:
    attestation = registrar.attest(bob)
    world.accept_directory(registrar.publish_list(), attestation)
    with world.moment() as moment:
        pinned = moment.deployment.pinned
        for subject, expected in ((bob.identity, True), (IdentityHash(bytes(32)), False)):
            found = is_attested_by(moment.connection, attestation.hash, subject=subject, pinned=pinned, now=NOW)
            assert found is expected


def test_a_registrar_that_is_not_pinned_is_refused(world: World, bob: OwnPerson) -> None:
    stranger = OwnRegistrar(Dice("stranger"), Dice("stranger").signer())
    assert refuse(world, InvalidStatementError, stranger.attest(bob)) == "registrar_not_pinned"
    assert refuse(world, InvalidStatementError, stranger.publish_list()) == "registrar_not_pinned"


def test_an_attestation_by_a_registrar_that_the_card_no_longer_pins_is_worth_nothing(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    world.accept_directory(registrar.publish_list(), registrar.attest(bob))
    with world.moment() as moment:
        other = (Dice("other").signer().public_key.fingerprint(),)
        query = select(is_attested(other))
        assert not moment.connection.execute(query, {"principal": bob.identity, "now": NOW}).scalar()


def test_a_forged_attestation_and_a_forged_list_are_refused(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    mallory = Dice("mallory").signer()
    assert refuse(world, InvalidStatementError, Signed.sign(registrar.attest(bob).body, mallory)) == "signature"
    assert refuse(world, InvalidStatementError, Signed.sign(registrar.publish_list().body, mallory)) == "signature"


def test_patients_and_strangers_are_not_attested(world: World, registrar: OwnRegistrar) -> None:
    alice = make_person(Dice("alice"), Role.PATIENT)
    assert refuse(world, InvalidStatementError, registrar.attest(alice)) == "practitioner_unknown"
    world.accept_people(alice)
    assert refuse(world, InvalidStatementError, registrar.attest(alice)) == "practitioner_unknown"


def test_an_attestation_of_keys_that_are_not_the_subjects_is_refused(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    mallory = make_person(Dice("mallory"), Role.PRACTITIONER)
    world.accept_people(mallory)
    body = registrar.attest(bob).body.model_copy(update={"subject_statement": mallory.current.hash})
    assert refuse(world, InvalidStatementError, Signed.sign(body, registrar.signer)) == "identity_statement_unknown"


def test_an_expired_attestation_is_refused(world: World, bob: OwnPerson, registrar: OwnRegistrar) -> None:
    attestation = registrar.attest(bob, expires=NOW)
    assert refuse(world, InvalidStatementError, attestation) == "attestation_expired"


def test_another_attestation_under_the_same_id_is_refused(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    attestation = registrar.attest(bob)
    world.accept_directory(attestation)
    other = Signed.sign(attestation.body.model_copy(update={"name": "Dr. Other"}), registrar.signer)
    assert refuse(world, ConflictError, other) == "attestation_id"


def test_the_same_attestation_again_is_answered_as_before(
    world: World, bob: OwnPerson, registrar: OwnRegistrar
) -> None:
    attestation = registrar.attest(bob)
    first = world.accept_directory(attestation)
    with unchanged(world.engine):
        assert world.accept_directory(attestation, at=NOW + 400 * DAY) == first


# Lists


def test_an_older_list_does_not_replace_a_newer_one(world: World, registrar: OwnRegistrar) -> None:
    older, newer = registrar.publish_list(), registrar.publish_list()
    world.accept_directory(newer)
    assert refuse(world, ConflictError, older) == "revocation_list_not_newer"


def test_another_list_with_the_same_number_is_refused(world: World, registrar: OwnRegistrar) -> None:
    first = registrar.publish_list()
    world.accept_directory(first)
    rival = Signed.sign(first.body.model_copy(update={"issued_at": NOW}), registrar.signer)
    assert refuse(world, ConflictError, rival) == "revocation_list_not_newer"


def test_a_list_from_the_future_is_refused(world: World, registrar: OwnRegistrar) -> None:
    early = registrar.publish_list(at=NOW + CLOCK_SKEW_SECONDS + 1)
    assert refuse(world, InvalidStatementError, early) == "issued_in_the_future"


def test_the_newest_list_alone_is_handed_out(world: World, registrar: OwnRegistrar, bob: OwnPerson) -> None:
    first = registrar.publish_list(registrar.attest(bob))
    second = registrar.publish_list(registrar.attest(bob))
    world.accept_directory(first)
    world.accept_directory(second)
    with world.moment() as moment:
        assert load_lists(moment.connection, moment.deployment.pinned) == (second.text,)
    assert count_rows(world.engine, "revoked_attestations") == 2


def test_no_expired_attestation_but_the_last_is_handed_out(
    world: World, registrar: OwnRegistrar, bob: OwnPerson
) -> None:
    short, long = registrar.attest(bob, expires=NOW + 10), registrar.attest(bob)
    world.accept_directory(short, long)
    with world.moment() as moment:
        assert load_attestations(moment.connection, bob.identity, now=NOW + 9) == (short.text, long.text)
        assert load_attestations(moment.connection, bob.identity, now=NOW + 10) == (long.text,)
        assert load_attestations(moment.connection, bob.identity, now=long.body.expires + 10**8) == (long.text,)


# Successions


def test_a_succession_is_kept_and_shown_with_the_predecessor(story: Story) -> None:
    succession = story.bob.hand_over_to(story.mallory)
    story.world.accept_directory(succession)
    with story.world.moment() as moment:
        assert load_succession(moment.connection, story.bob.identity) == succession.text
        assert load_succession(moment.connection, story.mallory.identity) is None


def test_nobody_is_succeeded_twice(story: Story) -> None:
    story.world.accept_directory(story.bob.hand_over_to(story.mallory))
    carol = make_person(Dice("carol"), Role.PRACTITIONER)
    story.world.accept_people(carol)
    assert refuse(story.world, ConflictError, story.bob.hand_over_to(carol)) == "succeeded_already"


def test_a_successor_cannot_sign_the_succession(story: Story) -> None:
    forged = Signed.sign(story.bob.hand_over_to(story.mallory).body, story.mallory.root)
    assert refuse(story.world, InvalidStatementError, forged) == "signature"


def test_a_succession_names_known_practitioners_and_their_statements(story: Story) -> None:
    stranger = make_person(Dice("stranger"), Role.PRACTITIONER)
    assert refuse(story.world, InvalidStatementError, story.bob.hand_over_to(stranger)) == "practitioner_unknown"
    assert refuse(story.world, InvalidStatementError, story.bob.hand_over_to(story.alice)) == "practitioner_unknown"
    body = story.bob.hand_over_to(story.mallory).body.model_copy(update={"successor_statement": story.bob.current.hash})
    other = Signed.sign(body, story.bob.root)
    assert refuse(story.world, InvalidStatementError, other) == "identity_statement_unknown"


def test_a_succession_from_the_future_is_refused(story: Story) -> None:
    early = story.bob.hand_over_to(story.mallory, at=NOW + CLOCK_SKEW_SECONDS + 1)
    assert refuse(story.world, InvalidStatementError, early) == "issued_in_the_future"
