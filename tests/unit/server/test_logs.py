"""A log line holds what is on the list and nothing else."""

import errno
import io
import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from carnet_server.logs import FIELDS, describe, make_log, open_log_file, take_over_libraries

SECRET = "Aspirin 500 mg for Alice"


def fail() -> None:
    try:
        dict[str, int]()[SECRET]
    except KeyError as error:
        raise ValueError(SECRET) from error


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_listed_fields_are_written_as_one_json_object_a_line() -> None:
    stream = io.StringIO()
    log = make_log(stream)
    log.info("answer", route="/v1/notes/{note}", status=200, milliseconds=1.5, code=None)
    log.warning("answer", status=404)
    first, second = logged(stream)
    assert {key: value for key, value in first.items() if key != "time"} == {
        "code": None,
        "event": "answer",
        "level": "info",
        "milliseconds": 1.5,
        "route": "/v1/notes/{note}",
        "status": 200,
    }
    assert second["level"] == "warning"


def test_fields_that_are_not_listed_are_left_out_and_counted() -> None:
    stream = io.StringIO()
    make_log(stream).info("answer", body=SECRET, title=SECRET, path=f"/v1/{SECRET}", status=200)
    (line,) = logged(stream)
    assert SECRET not in stream.getvalue()
    assert (line["dropped"], line["status"]) == (3, 200)


@pytest.mark.parametrize(
    "value",
    [SECRET.encode(), [SECRET], {"a": SECRET}, ValueError(SECRET), "a\nb" + SECRET, SECRET * 30],
    ids=["bytes", "list", "dict", "exception", "two lines", "long"],
)
def test_a_listed_field_with_another_kind_of_value_is_left_out(value: object) -> None:
    stream = io.StringIO()
    make_log(stream).info("answer", reason=value)
    assert SECRET not in stream.getvalue()
    assert logged(stream)[0]["dropped"] == 1


def test_no_field_is_called_by_what_must_not_be_logged() -> None:
    forbidden = {"body", "path", "url", "record", "document", "identity", "key_id", "nonce", "address", "title", "name"}
    assert not FIELDS & forbidden


def test_an_exception_is_described_by_type_and_place_without_its_message() -> None:
    with pytest.raises(ValueError, match=SECRET) as caught:
        fail()
    described = describe(caught.value)
    assert (described["error_type"], described["cause"]) == ("ValueError", "KeyError")
    assert "test_logs.py" in described["trace"]
    assert SECRET not in json.dumps(described)


def test_what_libraries_say_is_logged_as_its_place_alone() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        take_over_libraries(make_log(stream))
        logging.getLogger("some.library").info("not even noticed: %s", SECRET)
        logging.getLogger("some.library").warning("parameters were %s", SECRET)
        try:
            fail()
        except ValueError:
            logging.getLogger("some.library").exception("failed with %s", SECRET)
    finally:
        root.handlers[:], root.level = before
    first, second = logged(stream)
    assert first["library"] == "some.library"
    assert first["line"].startswith("test_logs.py:")
    assert second["error_type"] == "ValueError"
    assert SECRET not in stream.getvalue()


def test_a_level_below_the_wanted_one_is_not_written() -> None:
    stream = io.StringIO()
    log = make_log(stream, "warning")
    log.info("answer")
    log.error("failure")
    assert [line["event"] for line in logged(stream)] == ["failure"]


@pytest.mark.parametrize("call", ["write", "flush"])
def test_a_line_that_there_is_no_room_for_is_lost_and_the_next_one_written(call: str) -> None:
    stream, refused = io.StringIO(), [OSError(errno.ENOSPC, "the disk is full")]
    act = getattr(stream, call)

    def refuse_once(*arguments: str) -> None:
        if refused:
            raise refused.pop()
        act(*arguments)

    setattr(stream, call, refuse_once)
    log = make_log(stream)
    for status in (200, 404):
        log.info("answer", status=status)
    assert logged(stream)[-1]["status"] == 404
    assert not refused


def test_a_log_file_is_appended_to_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number in range(2):
        with open_log_file(path) as stream:
            make_log(stream).info("ready", count=number)
    assert [json.loads(line)["count"] for line in path.read_text().splitlines()] == [0, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
