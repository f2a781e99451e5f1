"""Every request leaves one line and one count, and nothing of what it carried."""

import asyncio
import errno
import io
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from carnet_protocol.errors import ErrorCode
from carnet_server.answers import answer_refusal
from carnet_server.logs import make_log
from carnet_server.metrics import Metrics
from carnet_server.observation import Observation
from tests.support.tiny_server.world import ALICE, MALLORY, World

NOTE = "Q0FOQVJZQ0FOQVJZQ0FOQQ"
BODY = {"note": NOTE, "text": "Aspirin 500 mg"}
PATH = "/v1/notes"


def test_an_answer_is_logged_with_its_template_status_and_time(world: World) -> None:
    world.post_as(ALICE, PATH, BODY)
    world.get_as(ALICE, f"{PATH}/{NOTE}?least=3")
    lines = [line for line in world.log_lines() if line["event"] == "answer"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", PATH, 200),
        ("GET", PATH + "/{note}", 200),
    ]
    assert all(
        set(line) == {"event", "level", "method", "milliseconds", "request", "route", "status", "time"}
        for line in lines
    )
    assert lines[0]["request"] != lines[1]["request"]


def test_a_refusal_is_logged_with_its_code_and_the_reason_that_nobody_outside_sees(world: World) -> None:
    answer = world.post_as(MALLORY, PATH, BODY)
    (line,) = [line for line in world.log_lines() if line["event"] == "answer"]
    assert (line["code"], line["reason"], line["status"]) == ("unauthenticated", "signature", 401)
    assert "reason" not in answer.text


def test_nothing_that_a_request_carries_is_logged(world: World) -> None:
    for caller in (ALICE, MALLORY):
        world.post_as(caller, PATH, BODY)
        world.get_as(caller, f"{PATH}/{NOTE}")
    world.client.get(f"/{NOTE}")
    world.client.get("/v1/failure")
    logged = world.log.getvalue()
    carried = (
        NOTE,
        "Aspirin",
        "192.0.2.1",
        "tiny.example",
        str(ALICE.key_id),
        str(ALICE.identity),
        str(ALICE.signer.public_key),
        ALICE.key_id.raw.hex(),
        "carnet-request-v1",
    )
    assert logged
    for canary in carried:
        assert canary not in logged


async def read_nothing() -> Message:
    raise AssertionError


def test_an_answer_that_breaks_in_the_middle_is_not_answered_twice() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("in the middle")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    stream = io.StringIO()
    observation = Observation(app, log=make_log(stream), metrics=Metrics())
    scope: Scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
    with pytest.raises(ValueError, match="in the middle"):
        asyncio.run(observation(scope, read_nothing, send))
    assert [message["type"] for message in sent] == ["http.response.start"]
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == ["failure", "answer"]


def test_a_failure_is_answered_before_it_is_logged() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    stream = io.StringIO()
    logged_before: list[str] = []

    async def send(message: Message) -> None:
        logged_before.append(stream.getvalue())

    observation = Observation(app, log=make_log(stream), metrics=Metrics())
    scope: Scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
    asyncio.run(observation(scope, read_nothing, send))
    assert logged_before == ["", ""]
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["failure", "answer"]


def test_a_full_disk_under_the_log_costs_nobody_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", refuse)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    observation = Observation(app, log=make_log(stream), metrics=Metrics())
    scope: Scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
    asyncio.run(observation(scope, read_nothing, send))
    assert sent[1]["body"] == answer_refusal(ErrorCode.INTERNAL).body


def test_other_protocols_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def send(message: Message) -> None:
        raise AssertionError

    asyncio.run(
        Observation(app, log=make_log(io.StringIO()), metrics=Metrics())({"type": "lifespan"}, read_nothing, send)
    )
    assert seen == ["lifespan"]
