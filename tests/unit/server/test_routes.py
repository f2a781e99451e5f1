"""Routes do what they state, refuse what they do not, and say it in OpenAPI."""

import ast
import inspect
import json
from types import ModuleType, NoneType
from typing import Any

import pytest
from sqlalchemy import Connection, event

from carnet_protocol.errors import ErrorCode
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_protocol.wire import WireModel
from carnet_server import authentication, clock, database, errors, nonces, writer
from carnet_server.answers import answer_refusal
from carnet_server.calls import SignedCall
from carnet_server.errors import ANSWERS
from carnet_server.openapi import format_openapi
from carnet_server.routes import COMMON_ERRORS, DEVICES, Router
from tests.support.tables import digest_tables
from tests.support.tiny_server.app import MAX_NOTE_BYTES
from tests.support.tiny_server.world import ALICE, World


class Texts(WireModel):
    """Many texts."""

    texts: list[str]


NOTE = "AAAAAAAAAAAAAAAAAAAAAA"
BODY = {"note": NOTE, "text": "hello"}
PATH = "/v1/notes"


def is_refusal(answer: Any, code: ErrorCode) -> bool:
    return bool(answer.status_code == ANSWERS[code].status and answer.content == answer_refusal(code).body)


def post_content(world: World, content: bytes, **headers: str) -> Any:
    return world.post(PATH, content, ALICE.sign("POST", PATH, content) | headers)


def test_the_same_note_again_is_the_same_answer_and_other_bytes_are_a_conflict(world: World) -> None:
    answers = [world.post_as(ALICE, PATH, BODY) for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"position": 0}] * 2
    before = digest_tables(world.engine)
    assert is_refusal(world.post_as(ALICE, PATH, BODY | {"text": "other"}), ErrorCode.CONFLICT)
    assert digest_tables(world.engine) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        json.dumps(BODY | {"more": 1}).encode(),
        json.dumps(BODY | {"text": 1}).encode(),
        json.dumps(BODY | {"note": NOTE + "A"}).encode(),
        json.dumps(BODY | {"note": NOTE[:-1] + "B"}).encode(),
        b'{"note":"AAAAAAAAAAAAAAAAAAAAAA","text":"a","text":"b"}',
        b'{"note":"AAAAAAAAAAAAAAAAAAAAAA","text":"\\ud800"}',
        b'{"note":"AAAAAAAAAAAAAAAAAAAAAA","text":NaN}',
        b"[" * 1000,
    ],
    ids=[f"body {number}" for number in range(11)],
)
def test_a_body_that_is_not_the_model_is_a_bad_request_and_changes_nothing(world: World, content: bytes) -> None:
    before = digest_tables(world.engine)
    assert is_refusal(post_content(world, content), ErrorCode.BAD_REQUEST)
    assert digest_tables(world.engine) == before


@pytest.mark.parametrize(("size", "accepted"), [(MAX_NOTE_BYTES, True), (MAX_NOTE_BYTES + 1, False)])
def test_a_body_is_read_up_to_the_stated_limit(world: World, size: int, accepted: bool) -> None:
    content = json.dumps(BODY).encode().ljust(size)
    answer = post_content(world, content)
    assert answer.status_code == 200 if accepted else is_refusal(answer, ErrorCode.TOO_LARGE)


def test_a_route_without_a_body_refuses_one(world: World) -> None:
    path = f"{PATH}/{NOTE}"
    answer = world.client.request("GET", path, content=b"x", headers=ALICE.sign("GET", path, b"x"))
    assert is_refusal(answer, ErrorCode.TOO_LARGE)


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json; charset=utf-8", "application/xml", "APPLICATION/JSON"]
)
def test_json_is_sent_as_json_in_one_spelling(world: World, content_type: str) -> None:
    answer = post_content(world, json.dumps(BODY).encode(), **{"content-type": content_type})
    assert is_refusal(answer, ErrorCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize("encoding", ["gzip", "identity", "deflate", "br"])
def test_an_encoded_body_is_refused_unread(world: World, encoding: str) -> None:
    answer = post_content(world, json.dumps(BODY).encode(), **{"content-encoding": encoding})
    assert is_refusal(answer, ErrorCode.UNSUPPORTED_MEDIA_TYPE)


@pytest.mark.parametrize("note", ["A", NOTE + "A", NOTE[:-1] + "B", "AAAAAAAAAAAAAAAAAAAAA."])
def test_a_malformed_path_parameter_is_a_bad_request(world: World, note: str) -> None:
    assert is_refusal(world.get_as(ALICE, f"{PATH}/{note}"), ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize("query", ["least=-1", "least=x", "least=", "more=1", "least=1&least=1", "least=1&more=2", "x"])
def test_an_unknown_doubled_or_malformed_query_parameter_is_a_bad_request(world: World, query: str) -> None:
    world.post_as(ALICE, PATH, BODY)
    assert is_refusal(world.get_as(ALICE, f"{PATH}/{NOTE}?{query}"), ErrorCode.BAD_REQUEST)


def test_a_known_query_parameter_reaches_the_route(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    assert world.get_as(ALICE, f"{PATH}/{NOTE}?least=5").json() == BODY
    assert is_refusal(world.get_as(ALICE, f"{PATH}/{NOTE}?least=6"), ErrorCode.REFUSED)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/notes/", "/v1/nowhere", "/docs", "/redoc", "/metrics", "//v1/notes"])
def test_an_unknown_path_is_refused_as_a_thing_that_is_not_there(world: World, path: str) -> None:
    assert is_refusal(world.get_as(ALICE, path), ErrorCode.REFUSED)
    assert is_refusal(world.client.get(f"http://x{path}"), ErrorCode.REFUSED)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_another_method_is_refused(world: World, method: str) -> None:
    answer = world.client.request(method, PATH)
    assert answer.status_code == 405
    assert method == "HEAD" or is_refusal(answer, ErrorCode.METHOD_NOT_ALLOWED)


def test_an_open_route_takes_no_signature_and_counts_against_the_address(world: World) -> None:
    assert world.post("/v1/echo", BODY, {}).json() == BODY


def test_a_long_body_is_parsed_like_a_short_one(world: World) -> None:
    path = "/v1/texts"
    router = Router()

    @router.signed("POST", path, kinds=DEVICES, body=Texts, body_limit_bytes=MAX_BODY_BYTES, answer=Texts, errors=())
    def repeat(call: SignedCall[Texts]) -> Texts:
        return call.body

    router.add_to(world.app, world.chassis)
    body = {"texts": ["x" * 100] * 2000}
    assert world.post_as(ALICE, path, body).json() == body
    assert is_refusal(world.post_as(ALICE, path, body | {"more": 1}), ErrorCode.BAD_REQUEST)


def test_a_stream_comes_in_and_goes_out_in_parts(world: World) -> None:
    parts = (b"x" * 70_000 for _ in range(20))
    assert world.client.put("/v1/objects/a", content=parts).json() == {"size_bytes": 1_400_000}
    assert world.client.get("/v1/objects/abc").content == b"x" * 3000


def test_an_unexpected_failure_is_an_internal_error_without_a_word_of_what_happened(world: World) -> None:
    answer = world.client.get("/v1/failure")
    assert is_refusal(answer, ErrorCode.INTERNAL)
    assert "Aspirin" not in world.log.getvalue()
    failure = next(line for line in world.log_lines() if line["event"] == "failure")
    assert failure["error_type"] == "ValueError"
    assert "app.py" in failure["trace"]


def test_a_write_into_a_full_database_is_refused_as_such(world: World) -> None:
    @event.listens_for(world.engine, "begin")
    def _fill(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        (pages,) = driver.execute("PRAGMA page_count").fetchone()
        driver.execute(f"PRAGMA max_page_count = {pages}")

    answers = [world.post_as(ALICE, PATH, {"note": f"{number:021}A", "text": "x" * 900}) for number in range(20)]
    assert is_refusal(answers[-1], ErrorCode.NO_SPACE)
    assert {answer.status_code for answer in answers} == {200, 507}


@pytest.mark.parametrize("module", [authentication, clock, database, nonces, writer])
def test_what_stands_under_every_route_refuses_with_what_every_route_states(module: ModuleType) -> None:
    names = {node.id for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Name)}
    codes = {
        errors.__dict__[name].code for name in names & errors.__dict__.keys() if hasattr(errors.__dict__[name], "code")
    }
    assert codes
    # A key of another kind is refused before the route is asked.
    assert codes - {ErrorCode.REFUSED} <= COMMON_ERRORS


def test_a_refusal_that_a_route_does_not_state_is_an_internal_error(world: World) -> None:
    assert is_refusal(world.client.get("/v1/unstated"), ErrorCode.INTERNAL)


# Declarations


def test_a_signed_route_names_the_keys_that_it_takes() -> None:
    with pytest.raises(AssertionError, match="internal"):
        Router().signed("GET", "/", kinds=frozenset(), body=NoneType, body_limit_bytes=0, answer=NoneType, errors=())


def test_a_route_that_reads_a_body_states_a_limit_and_no_other_does() -> None:
    with pytest.raises(AssertionError, match="internal"):
        Router().signed("GET", "/", kinds=DEVICES, body=NoneType, body_limit_bytes=1, answer=NoneType, errors=())


def test_a_route_that_answers_with_something_else_than_it_states_is_an_internal_error(world: World) -> None:
    router = Router()

    @router.signed("GET", "/v1/liar", kinds=DEVICES, body=NoneType, body_limit_bytes=0, answer=NoneType, errors=())
    def lie(call: SignedCall[None]) -> Any:
        return call

    router.add_to(world.app, world.chassis)
    assert is_refusal(world.get_as(ALICE, "/v1/liar"), ErrorCode.INTERNAL)


# OpenAPI


def test_openapi_says_what_the_routes_state(world: World) -> None:
    document = world.app.openapi()
    assert set(document["paths"]) == {
        "/v1/echo",
        "/v1/failure",
        "/v1/notes",
        "/v1/notes/{note}",
        "/v1/objects/{name}",
        "/v1/unstated",
    }
    write = document["paths"][PATH]["post"]
    assert write["requestBody"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}}
    assert write["x-carnet-body-limit"] == MAX_NOTE_BYTES
    assert write["x-carnet-principals"] == ["device", "root"]
    assert write["security"] == [{"signature": []}]
    assert set(write["responses"]) == {"200", "400", "401", "409", "413", "415", "429", "500", "503", "507"}
    echo = document["paths"]["/v1/echo"]["post"]
    assert "security" not in echo
    assert "401" not in echo["responses"]
    assert set(document["paths"][PATH]["delete"]["responses"]) >= {"204"}
    assert "application/octet-stream" in document["paths"]["/v1/objects/{name}"]["get"]["responses"]["200"]["content"]
    names = {parameter["name"] for parameter in document["paths"]["/v1/notes/{note}"]["get"]["parameters"]}
    assert names == {"note", "least"}
    assert {"Note", "Written", "Size", "ErrorAnswer", "ErrorBody", "ErrorCode"} <= set(
        document["components"]["schemas"]
    )
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_reference_in_openapi_leads_somewhere(world: World) -> None:
    document = world.app.openapi()
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names == set(document["components"]["schemas"])


def test_openapi_is_served_with_the_bytes_that_are_committed(world: World) -> None:
    answer = world.client.get("/openapi.json")
    assert answer.text == format_openapi(world.app.openapi())
    assert answer.text.endswith("}\n")
