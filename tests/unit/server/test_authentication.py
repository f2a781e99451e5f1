"""Who is let in, who is not, and that those who are not cannot tell why."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Nonce
from carnet_protocol.requests import KeyId
from carnet_server import authentication
from carnet_server.answers import answer_refusal
from carnet_server.chassis import Rates
from carnet_server.database import reader
from carnet_server.errors import ConflictError, UnauthenticatedError
from carnet_server.nonces import NONCE_KEEP_SECONDS
from carnet_server.principals import Principal, PrincipalKind, SigningKey
from carnet_server.rates import Rate
from tests.support.tables import digest_tables
from tests.support.tiny_server.tables import keys
from tests.support.tiny_server.world import ALICE, BOB, MALLORY, NOW, OLGA, SERVER, Caller, World

NOTE = "AAAAAAAAAAAAAAAAAAAAAA"
BODY = {"note": NOTE, "text": "hello"}
CONTENT = json.dumps(BODY).encode()
PATH = "/v1/notes"
REFUSED = answer_refusal(ErrorCode.UNAUTHENTICATED).body


def digest(engine: Engine) -> str:
    return digest_tables(engine)


def is_refused_alike(answer: Any) -> bool:
    return bool(answer.status_code == 401 and answer.content == REFUSED)


def test_a_known_device_and_a_known_root_key_are_let_in(world_on_each: World) -> None:
    assert world_on_each.post_as(ALICE, PATH, BODY).json() == {"position": 0}
    assert world_on_each.post_as(BOB, PATH, BODY | {"note": "BBBBBBBBBBBBBBBBBBBBBA"}).json() == {"position": 1}
    assert world_on_each.get_as(ALICE, f"{PATH}/{NOTE}").json() == BODY


def test_the_route_is_told_who_signed(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    assert world.get_as(BOB, f"{PATH}/{NOTE}").status_code == 404


def forgeries() -> dict[str, Callable[[], dict[str, str]]]:
    signed = ALICE.sign("POST", PATH, CONTENT)
    other = MALLORY.sign("POST", PATH, CONTENT)
    return {
        "no signature": dict,
        "an unknown key": lambda: other,
        "another key under a known key's name": lambda: (
            signed | {"signature": MALLORY.sign("POST", PATH, CONTENT, nonce=Nonce(bytes(16)))["signature"]}
        ),
        "another method": lambda: ALICE.sign("PUT", PATH, CONTENT),
        "another path": lambda: ALICE.sign("POST", PATH + "x", CONTENT),
        "another query": lambda: ALICE.sign("POST", PATH + "?a=b", CONTENT),
        "another origin": lambda: ALICE.sign("POST", PATH, CONTENT, origin="https://other.example"),
        "another scheme": lambda: ALICE.sign("POST", PATH, CONTENT, origin="http://tiny.example"),
        "another server": lambda: ALICE.sign("POST", PATH, CONTENT, server=MALLORY.signer.public_key.fingerprint()),
        "another body": lambda: ALICE.sign("POST", PATH, CONTENT + b" "),
        "an empty body": lambda: ALICE.sign("POST", PATH, b""),
        "too old": lambda: ALICE.sign("POST", PATH, CONTENT, created=NOW - 61),
        "too young": lambda: ALICE.sign("POST", PATH, CONTENT, created=NOW + 61),
        "no digest": lambda: {name: value for name, value in signed.items() if name != "content-digest"},
        "a header missing": lambda: {name: value for name, value in signed.items() if name != "carnet-server"},
        "a malformed signature": lambda: signed | {"signature": "carnet=:AAAA:"},
        "another tag": lambda: signed | {"signature-input": signed["signature-input"].replace("v1", "v2")},
    }


@pytest.mark.parametrize("forgery", forgeries())
def test_every_forgery_is_refused_with_the_same_bytes_and_changes_nothing(world: World, forgery: str) -> None:
    before = digest(world.engine)
    answer = world.post(PATH, CONTENT, forgeries()[forgery]())
    assert is_refused_alike(answer)
    assert dict(answer.headers) == {
        "cache-control": "no-store",
        "content-length": str(len(REFUSED)),
        "content-type": "application/json",
        "www-authenticate": "Signature",
        "x-content-type-options": "nosniff",
    }
    assert digest(world.engine) == before


def test_the_host_header_does_not_matter(world: World) -> None:
    headers = ALICE.sign("POST", PATH, CONTENT) | {"host": "elsewhere.example"}
    assert world.post(PATH, CONTENT, headers).status_code == 200


@pytest.mark.parametrize("age", [-60, 60])
def test_the_window_is_closed_to_the_second(world: World, age: int) -> None:
    assert world.post(PATH, CONTENT, ALICE.sign("POST", PATH, CONTENT, created=NOW - age)).status_code == 200


def test_a_captured_request_goes_once(world_on_each: World) -> None:
    headers = ALICE.sign("POST", PATH, CONTENT)
    assert world_on_each.post(PATH, CONTENT, headers).status_code == 200
    before = digest(world_on_each.engine)
    assert is_refused_alike(world_on_each.post(PATH, CONTENT, headers))
    assert digest(world_on_each.engine) == before


def test_a_captured_read_goes_once(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    path = f"{PATH}/{NOTE}"
    headers = ALICE.sign("GET", path)
    assert world.client.get(path, headers=headers).status_code == 200
    assert is_refused_alike(world.client.get(path, headers=headers))


def test_a_request_that_was_refused_for_what_it_asked_goes_once_as_well(world_on_each: World) -> None:
    """Else a captured request could be kept until what it asks for is granted."""
    world_on_each.post_as(ALICE, PATH, BODY)
    content = json.dumps(BODY | {"text": "other"}).encode()
    headers = ALICE.sign("POST", PATH, content)
    before = digest(world_on_each.engine)
    assert world_on_each.post(PATH, content, headers).json()["error"]["code"] == "conflict"
    assert is_refused_alike(world_on_each.post(PATH, content, headers))
    assert digest(world_on_each.engine) == before


def test_a_key_that_was_taken_out_of_force_is_refused_at_once_although_it_is_remembered(world_on_each: World) -> None:
    assert world_on_each.post_as(ALICE, PATH, BODY).status_code == 200
    with world_on_each.engine.begin() as connection:
        connection.execute(delete(keys).where(keys.c.key_id == ALICE.key_id))
    before = digest(world_on_each.engine)
    assert is_refused_alike(world_on_each.post_as(ALICE, PATH, BODY))
    assert is_refused_alike(world_on_each.get_as(ALICE, f"{PATH}/{NOTE}"))
    assert digest(world_on_each.engine) == before


def test_a_key_whose_owner_changed_meanwhile_is_refused(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    with world.engine.begin() as connection:
        connection.execute(update(keys).where(keys.c.key_id == ALICE.key_id).values(identity=BOB.identity))
    assert is_refused_alike(world.get_as(ALICE, f"{PATH}/{NOTE}"))
    # The second time it is looked up afresh, and is Bob's now.
    assert world.get_as(ALICE, f"{PATH}/{NOTE}").status_code == 404


def test_the_key_is_checked_in_the_transaction_that_it_authorises(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the verification and the work, the device is removed."""
    admit = world.chassis.authenticator.admit

    def remove_then_admit(*arguments: Any) -> int:
        arguments[0].execute(delete(keys).where(keys.c.key_id == ALICE.key_id))
        return admit(*arguments)

    monkeypatch.setattr(authentication.Authenticator, "admit", lambda _, *arguments: remove_then_admit(*arguments))
    assert is_refused_alike(world.post_as(ALICE, PATH, BODY))


@pytest.mark.parametrize(
    ("caller", "method", "path"), [(OLGA, "POST", PATH), (ALICE, "DELETE", PATH), (BOB, "DELETE", PATH)], ids=str
)
def test_a_key_of_another_kind_is_refused_as_if_nothing_were_there(
    world: World, caller: Caller, method: str, path: str
) -> None:
    content = CONTENT if method == "POST" else b""
    headers = {"content-type": "application/json", **caller.sign(method, path, content)}
    before = digest(world.engine)
    answer = world.client.request(method, path, content=content, headers=headers)
    assert (answer.status_code, answer.content) == (404, answer_refusal(ErrorCode.REFUSED).body)
    assert digest(world.engine) == before


def test_an_officer_is_let_in_where_officers_are_wanted(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    answer = world.client.delete(PATH, headers=OLGA.sign("DELETE", PATH))
    assert (answer.status_code, answer.content) == (204, b"")
    assert world.get_as(ALICE, f"{PATH}/{NOTE}").status_code == 404


# The same work before every failure


class Counting:
    """Counts look-ups and verifications."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        authenticator = world.chassis.authenticator
        look_up, verify = authenticator._look_up, authentication.verify_request_head

        def counted_look_up(*arguments: Any) -> SigningKey | None:
            self.done.append("look up")
            return look_up(*arguments)

        def counted_verify(*arguments: Any, **named: Any) -> Any:
            self.done.append("verify")
            return verify(*arguments, **named)

        monkeypatch.setattr(authenticator, "_look_up", counted_look_up)
        monkeypatch.setattr(authentication, "verify_request_head", counted_verify)


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("forgery", ["an unknown key", "another path", "too old", "another server"])
def test_one_look_up_and_one_verification_before_every_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch, forgery: str, remembered: bool
) -> None:
    if remembered:
        world.post_as(ALICE, PATH, BODY)
    counting = Counting(world, monkeypatch)
    assert is_refused_alike(world.post(PATH, CONTENT, forgeries()[forgery]()))
    assert sorted(counting.done) == ["look up", "verify"]


def test_a_remembered_key_is_looked_up_in_the_transaction_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.post_as(ALICE, PATH, BODY)
    counting = Counting(world, monkeypatch)
    assert world.post_as(ALICE, PATH, BODY).status_code == 200
    assert counting.done == ["verify", "look up"]


def test_the_memory_of_keys_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MAX_KEYS", 1)
    for caller in (ALICE, BOB, ALICE):
        world.get_as(caller, f"{PATH}/{NOTE}")
    assert len(world.chassis.authenticator._keys._keys) == 1


# Clock


def test_a_clock_that_was_set_back_refuses_writes_and_reads_and_changes_nothing(world: World) -> None:
    world.clock.now = NOW + 100
    world.post_as(ALICE, PATH, BODY)
    before = digest(world.engine)
    world.clock.now = NOW + 97
    for answer in (world.post_as(ALICE, PATH, BODY), world.get_as(ALICE, f"{PATH}/{NOTE}")):
        assert (answer.status_code, answer.content) == (503, answer_refusal(ErrorCode.CLOCK_BEHIND).body)
    assert digest(world.engine) == before
    world.clock.now = NOW + 98
    assert world.get_as(ALICE, f"{PATH}/{NOTE}").status_code == 200


def test_a_request_whose_row_was_dropped_cannot_come_back_with_the_clock(world: World) -> None:
    headers = ALICE.sign("POST", PATH, CONTENT)
    world.post(PATH, CONTENT, headers)
    world.clock.now = NOW + NONCE_KEEP_SECONDS + 1
    assert world.post_as(ALICE, PATH, BODY).status_code == 200
    world.clock.now = NOW
    assert world.post(PATH, CONTENT, headers).status_code == 503


# Rates


def test_a_key_has_a_rate_and_others_do_not_suffer(sqlite_engine: Engine) -> None:
    world = World(sqlite_engine, rates=Rates(by_key=Rate(1, 3)))
    world.enrol(ALICE, BOB)
    with world.client:
        codes = [world.post_as(ALICE, PATH, BODY).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert world.get_as(BOB, f"{PATH}/{NOTE}").status_code == 404
        world.seconds = 1
        assert world.post_as(ALICE, PATH, BODY).status_code == 200


def test_a_thief_with_one_device_leaves_the_owner_the_others_and_the_root_key(sqlite_engine: Engine) -> None:
    world = World(sqlite_engine, rates=Rates(by_key=Rate(1, 3)))
    stolen = Caller("stolen", owner="alice")
    others = Caller("laptop", owner="alice"), Caller("root", PrincipalKind.ROOT, owner="alice")
    world.enrol(stolen, *others)
    with world.client:
        codes = [world.post_as(stolen, PATH, BODY).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert [world.post_as(other, PATH, BODY).status_code for other in others] == [200, 200]


def test_an_address_that_fails_too_often_gets_no_look_up(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sqlite_engine, rates=Rates(by_address=Rate(1, 3)))
    world.enrol(ALICE)
    with world.client:
        codes = [world.post_as(MALLORY, PATH, BODY).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        counting = Counting(world, monkeypatch)
        answer = world.post_as(ALICE, PATH, BODY)
        assert (answer.status_code, answer.content) == (429, answer_refusal(ErrorCode.RATE_LIMITED).body)
        assert answer.headers["retry-after"] == "1"
        assert counting.done == ["verify"]
        world.seconds = 2
        assert world.post_as(ALICE, PATH, BODY).status_code == 200


def test_a_key_that_signed_well_before_is_heard_from_an_address_where_others_fail(sqlite_engine: Engine) -> None:
    world = World(sqlite_engine, rates=Rates(by_address=Rate(1, 3)))
    world.enrol(ALICE)
    with world.client:
        assert world.post_as(ALICE, PATH, BODY).status_code == 200
        while world.post_as(MALLORY, PATH, BODY).status_code == 401:
            pass
        assert {world.post_as(ALICE, PATH, BODY).status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("forgery", ["an unknown key", "another path", "too old", "another server"])
def test_an_address_that_fails_too_often_does_not_learn_which_keys_signed_before(
    sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch, forgery: str
) -> None:
    world = World(sqlite_engine, rates=Rates(by_address=Rate(1, 3)))
    world.enrol(ALICE)
    with world.client:
        world.post_as(ALICE, PATH, BODY)
        while world.post_as(MALLORY, PATH, BODY).status_code == 401:
            pass
        counting = Counting(world, monkeypatch)
        answer = world.post(PATH, CONTENT, forgeries()[forgery]())
        assert (answer.status_code, answer.content) == (429, answer_refusal(ErrorCode.RATE_LIMITED).body)
        assert counting.done == ["verify"]


def test_streams_cost_their_address_something_only_when_they_are_refused(sqlite_engine: Engine) -> None:
    world = World(sqlite_engine, rates=Rates(by_address=Rate(1, 2)))
    with world.client:
        assert {world.client.get("/v1/objects/a").status_code for _ in range(5)} == {200}
        assert [world.client.get("/v1/objects/none").status_code for _ in range(3)] == [404, 404, 429]
        assert world.client.get("/v1/objects/a").status_code == 429


def test_good_requests_cost_their_address_nothing(sqlite_engine: Engine) -> None:
    world = World(sqlite_engine, rates=Rates(by_address=Rate(1, 1)))
    world.enrol(ALICE)
    with world.client:
        assert {world.post_as(ALICE, PATH, BODY).status_code for _ in range(5)} == {200}


# Principals


def test_officers_have_no_identity_and_people_have_one() -> None:
    key = ALICE.signer.public_key
    for kind, identity in ((PrincipalKind.OFFICER, ALICE.identity), (PrincipalKind.DEVICE, None)):
        with pytest.raises(AssertionError, match="internal"):
            SigningKey(key, kind, identity)
    with pytest.raises(AssertionError, match="internal"):
        _ = Principal(KeyId(SERVER.raw), PrincipalKind.OFFICER, None).person


def test_a_work_that_raises_unauthenticated_for_the_key_forgets_it(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    credentials = authentication.Credentials(
        authentication.VerifiedRequest(ALICE.key_id, NOW, Nonce(bytes(16))),
        SigningKey(MALLORY.signer.public_key, PrincipalKind.DEVICE, ALICE.identity),
        ALICE.head(),
    )
    with reader(world.engine) as connection, pytest.raises(UnauthenticatedError):
        world.chassis.authenticator.check(connection, credentials)
    assert ConflictError.code is ErrorCode.CONFLICT
    assert world.chassis.authenticator._keys.get(ALICE.key_id) is None
