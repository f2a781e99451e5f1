"""The table of refusals covers every code and every class, with constants."""

import pytest
from fastapi import FastAPI, HTTPException
from starlette.testclient import TestClient

from carnet_protocol.errors import ErrorCode
from carnet_server import errors
from carnet_server.answers import answer_refusal, format_refusal, install_handlers
from carnet_server.errors import ANSWERS, RefusalError, RefusedError

SPECIFIED = {
    "bad_request": 400,
    "invalid_statement": 400,
    "unauthenticated": 401,
    "refused": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "stale": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
    "clock_behind": 503,
    "no_space": 507,
}


def all_refusals() -> list[type[RefusalError]]:
    """Every class below `RefusalError`, its own subclasses included."""
    found, queue = [], [RefusalError]
    while queue:
        subclasses = queue.pop().__subclasses__()
        found += subclasses
        queue += subclasses
    return found


def test_the_table_gives_every_code_the_status_of_the_specification() -> None:
    assert {code.value: answer.status for code, answer in ANSWERS.items()} == SPECIFIED
    assert set(ANSWERS) == set(ErrorCode)


def test_every_refusal_has_a_code_of_the_table_and_every_code_a_refusal() -> None:
    assert {refusal.code for refusal in all_refusals()} == set(ErrorCode)


def test_messages_are_distinct_sentences() -> None:
    messages = [answer.message for answer in ANSWERS.values()]
    assert len(set(messages)) == len(messages)
    assert all(message.endswith(".") and message.isascii() for message in messages)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_answer_holds_code_and_message_alone_and_is_the_same_each_time(code: ErrorCode) -> None:
    body = b'{"error":{"code":"%s","message":"%s"}}' % (code.encode(), ANSWERS[code].message.encode())
    answers = [answer_refusal(code) for _ in range(2)]
    assert {answer.body for answer in answers} == {body}
    assert {answer.status_code for answer in answers} == {SPECIFIED[code.value]}
    assert format_refusal(code).endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.BAD_REQUEST),
        (403, ErrorCode.BAD_REQUEST),
        (404, ErrorCode.REFUSED),
        (405, ErrorCode.METHOD_NOT_ALLOWED),
        (413, ErrorCode.TOO_LARGE),
        (422, ErrorCode.BAD_REQUEST),
        (500, ErrorCode.INTERNAL),
        (502, ErrorCode.INTERNAL),
    ],
)
def test_what_the_framework_raises_is_answered_in_the_common_form(status: int, code: ErrorCode) -> None:
    app = FastAPI()
    install_handlers(app)

    @app.get("/")
    def fail() -> None:
        raise HTTPException(status, "Aspirin 500 mg for Alice")

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.content) == (SPECIFIED[code.value], answer_refusal(code).body)


@pytest.mark.parametrize("reason", ["", "Grant expired", "grant-expired", "a" * 49, "grant\n", "Über", "1st"])
def test_a_reason_is_a_constant_in_snake_case_and_never_a_sentence(reason: str) -> None:
    with pytest.raises(AssertionError, match="internal"):
        RefusedError(reason)


def test_the_tree_in_the_docstring_names_every_class() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    words = set((errors.__doc__ or "").split())
    assert classes <= words
