"""How the story of the demo looks."""

import io
from pathlib import Path

import pytest

from carnet.cli.playbill import Playbill, show_holdings, show_outcomes, show_search
from carnet.cli.terminal import Terminal
from carnet.demo.canaries import Finding, Search
from carnet.demo.holdings import Holding
from carnet.demo.step import Outcome
from carnet.demo.story import CHAPTERS


class Screen(io.StringIO):
    """A terminal of a width."""

    def isatty(self) -> bool:
        return True


def make(columns: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Terminal, Screen]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    return Terminal(is_json=False, out=screen, err=screen), screen


def outcomes() -> list[Outcome]:
    return [Outcome(step, 12.34, step.expected) for chapter in CHAPTERS for step in chapter.steps]


@pytest.mark.parametrize("columns", [80, 120])
def test_everything_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, screen = make(columns, monkeypatch)
    with Playbill(terminal) as playbill:
        for chapter in CHAPTERS:
            playbill.begin_chapter(chapter)
            for step in chapter.steps:
                playbill.end_step(Outcome(step, 1.0, step.expected))
    vault = [Holding("keys in both locks, personal", 4, 23_640, 55_628_872, bytes(8))]
    terminal.answer({}, [*show_holdings({"vault": vault}), *show_outcomes(outcomes())])
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    # One line for each step, none of them folded
    assert sum("12.34 s" in line and "ok, " in line for line in lines) == 30
    assert "All 30 steps went as expected" in screen.getvalue()


def test_the_story_fits_eighty_columns_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Playbill(Terminal(is_json=False, out=stream, err=stream)) as playbill:
        for chapter in CHAPTERS:
            playbill.begin_chapter(chapter)
    assert 76 < max(map(len, stream.getvalue().splitlines())) <= 80


def test_failure_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, screen = make(80, monkeypatch)
    playbill = Playbill(terminal)
    playbill.begin_chapter(CHAPTERS[0])
    failed = Outcome(CHAPTERS[0].steps[0], 1.0, "ServerFailedError", "the vault did not start\x1b[2J")
    playbill.end_step(failed)
    playbill.end_step(Outcome(CHAPTERS[0].steps[1], 0.0, "not reached", "an earlier step failed"))
    terminal.answer({}, show_outcomes([failed]))
    shown = screen.getvalue()
    assert "the vault did not start" in shown
    assert "\x1b" not in shown
    assert "✓" not in shown
    assert "1 of 1 steps failed" in shown


def test_findings_name_the_place_and_not_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, screen = make(120, monkeypatch)
    search = Search(2, 2048, (Finding(Path("vault/database.sqlite"), 17, "title of the letter", "base64+1"),))
    terminal.answer({}, show_search(search, 44))
    assert "title of the letter (base64+1) in database.sqlite at byte 17" in screen.getvalue()
    assert "1 found" in screen.getvalue()
