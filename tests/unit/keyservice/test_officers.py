"""Officers over the API: each act signed, each act an event, nothing for anyone else."""

from carnet_protocol.api import OfficerUpdate, ServerStatus
from carnet_protocol.statements import Receipt, Signed
from carnet_server.deployment import Deployment, Moment
from carnet_server.officers.accept import enrol_officer
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.people import NOW, Dice
from tests.support.tables import count_rows, unchanged

OLGA, OTTO = Dice("olga").signer(), Dice("otto").signer()


def enrol_first(story: KeyServiceStory) -> None:
    """What `carnet-keyservice officers enrol` does."""
    own = story.world.own
    deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
    with story.world.engine.begin() as connection:
        enrol_officer(Moment(connection, NOW, deployment), OLGA.public_key, by=None)


def test_an_officer_sees_the_state_in_numbers(story: KeyServiceStory) -> None:
    enrol_first(story)
    status = ServerStatus.model_validate(accept(story.world.send_as_key("GET", "/v1/admin/status", OLGA)))
    assert status.server == story.world.own.keyservice.fingerprint
    assert status.events == count_rows(story.world.engine, "events")
    assert status.counts["people"] == 4
    assert status.counts["locks_under_master_key_1"] == 1
    assert status.counts["locks_retired"] == 0
    assert status.counts["first_lock_statement_expires_in"] == 30 * 86_400
    assert [officer.public_key.raw for officer in status.officers] == [OLGA.public_key.raw]


def test_an_officer_enrols_another_and_retires_the_first(story: KeyServiceStory) -> None:
    enrol_first(story)
    body = OfficerUpdate(public_key=OTTO.public_key)
    answer = accept(story.world.send_as_key("POST", "/v1/admin/officers", OLGA, body))
    Signed.parse(answer["receipts"][0], Receipt).verify(story.world.own.keyservice.log_key.public_key)
    assert story.world.send_as_key("GET", "/v1/admin/status", OTTO).status_code == 200
    gone = f"/v1/admin/officers/{OLGA.public_key.fingerprint()}"
    accept(story.world.send_as_key("DELETE", gone, OTTO))
    with unchanged(story.world.engine):
        assert code(story.world.send_as_key("GET", "/v1/admin/status", OLGA)) == (401, "unauthenticated")
        assert code(
            story.world.send_as_key("POST", "/v1/admin/officers", OTTO, OfficerUpdate(public_key=OLGA.public_key))
        ) == (409, "conflict")


def test_a_root_key_that_becomes_an_officers_is_one(story: KeyServiceStory) -> None:
    enrol_first(story)
    world, root = story.world, story.alice.root
    accept(world.post_people(story.alice.recovery().text))
    accept(world.send_as_key("GET", "/v1/recovery", root))
    accept(world.send_as_key("POST", "/v1/admin/officers", OLGA, OfficerUpdate(public_key=root.public_key)))
    assert code(world.send_as_key("GET", "/v1/admin/status", root)) == (404, "refused")  # remembered as a root key
    accept(world.send_as_key("GET", "/v1/admin/status", root))
    assert code(world.send_as_key("GET", "/v1/recovery", root)) == (404, "refused")


def test_nobody_else_administers(story: KeyServiceStory) -> None:
    enrol_first(story)
    accept(story.world.post_people(story.alice.recovery().text))
    body = OfficerUpdate(public_key=OTTO.public_key)
    with unchanged(story.world.engine):
        assert code(story.world.post("/v1/admin/officers", story.alice, body)) == (404, "refused")
        assert code(story.world.send_as_key("POST", "/v1/admin/officers", story.alice.root, body)) == (404, "refused")
        assert code(story.world.send_as_key("POST", "/v1/admin/officers", OTTO, body)) == (401, "unauthenticated")
        assert code(story.world.get("/v1/admin/status", story.alice)) == (404, "refused")
        assert code(story.world.get("/v1/admin/status", None)) == (401, "unauthenticated")


def test_an_officer_is_nobody_in_a_record(story: KeyServiceStory) -> None:
    enrol_first(story)
    with unchanged(story.world.engine):
        for method, path in (
            ("GET", f"{story.path}/access"),
            ("GET", f"{story.path}/lock"),
            ("POST", f"{story.path}/locks"),
            ("GET", "/v1/recovery"),
            ("GET", "/v1/inbox"),
        ):
            assert code(story.world.send_as_key(method, path, OLGA)) == (404, "refused")


def test_an_unknown_officer_is_not_retired(story: KeyServiceStory) -> None:
    enrol_first(story)
    path = f"/v1/admin/officers/{OTTO.public_key.fingerprint()}"
    with unchanged(story.world.engine):
        assert code(story.world.send_as_key("DELETE", path, OLGA)) == (404, "refused")
