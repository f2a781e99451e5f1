"""A step is well when what was expected was seen, and a story does not go on after one that failed."""

from typing import cast

import pytest

from carnet.demo import story
from carnet.demo.stage import Stage
from carnet.demo.step import NOT_REACHED, Chapter, Outcome, Step, play
from carnet.demo.story import CHAPTERS, play_story
from carnet.errors import RefusedError
from carnet_protocol.errors import ErrorCode

STAGE = cast("Stage", None)


def refuse(stage: Stage) -> str:
    raise RefusedError(ErrorCode.REFUSED, "the vault has no such thing")


def test_expected_word_is_well() -> None:
    outcome = play(Step("Alice", "opens", "opened", lambda _: "opened"), STAGE, iter([1.0, 3.5]).__next__)
    assert outcome.describe() == {
        "name": "opens",
        "who": "Alice",
        "seconds": 2.5,
        "expected": "opened",
        "verdict": "ok",
    }


def test_other_word_is_a_failure() -> None:
    described = play(Step("Bob", "opens", "refused", lambda _: "opened"), STAGE).describe()
    assert (described["verdict"], described["seen"]) == ("failed", "opened")


def test_error_is_a_failure_with_its_reason() -> None:
    described = play(Step("Bob", "reads", "identical", refuse), STAGE).describe()
    assert (described["verdict"], described["seen"]) == ("failed", "RefusedError")
    assert described["reason"] == "the vault has no such thing"


def test_even_an_expected_error_is_no_word() -> None:
    assert not play(Step("Bob", "reads", "refused", refuse), STAGE).is_ok


def test_story_ends_at_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Step("Alice", "opens", "opened", lambda _: "opened")
    bad = Step("Bob", "reads", "refused", lambda _: "opened")
    monkeypatch.setattr(story, "CHAPTERS", (Chapter("1", "", (good, bad)), Chapter("2", "", (good,))))
    told: list[Outcome] = []
    outcomes = play_story(STAGE, on_chapter=lambda _: None, on_step=lambda _: None, on_outcome=told.append)
    assert [outcome.is_ok for outcome in outcomes] == [True, False, False]
    assert outcomes[2].seen == NOT_REACHED
    assert told == outcomes


def test_story_names_each_step_once() -> None:
    steps = [(step.who, step.name) for chapter in CHAPTERS for step in chapter.steps]
    assert len(set(steps)) == len(steps) == 30
    assert max(len(name) for _, name in steps) <= 36
