"""Times as people say and read them."""

import time
from collections.abc import Iterator

import pytest

from carnet.cli.times import format_span, format_time, parse_duration, parse_moment
from carnet.errors import UsageError

NOON = 1_795_262_400
"""2026-11-21T12:00:00Z."""


@pytest.fixture(params=["UTC", "Europe/Paris", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30 minutes", 1800),
        ("30min", 1800),
        ("30m", 1800),
        ("1 hour", 3600),
        ("2h", 7200),
        ("1 h 30 min", 5400),
        ("1 day", 86_400),
        ("2 days, 12 hours", 216_000),
        ("3 weeks", 1_814_400),
        ("6 months", 15_552_000),
        ("1 Year", 31_536_000),
        ("90 s", 90),
    ],
)
def test_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "30", "minutes", "-5 minutes", "0 minutes", "1.5 hours", "5 parsecs", "5 minutes ago", "1e9 s"]
)
def test_other_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="30 minutes"):
        parse_duration(text)


@pytest.mark.usefixtures("paris")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01", 1_796_079_600),
        ("2026-12-01 14:30", 1_796_131_800),
        ("2026-12-01T14:30", 1_796_131_800),
        ("14:30", NOON + 5400),
        ("12:30", NOON + 84_600),  # past today, so tomorrow's
        ("today", NOON - 46_800),
        ("tomorrow 9:00", NOON + 72_000),
    ],
)
def test_moment_is_read_in_local_time(text: str, moment: int) -> None:
    assert parse_moment(text, now=NOON) == moment


@pytest.mark.parametrize("text", ["", "2026-13-01", "25:00", "noon", "yesterday", "2026-12-01 14h30", "01/12/2026"])
def test_other_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text, now=NOON)


def test_time_names_its_zone(zone: str) -> None:
    shown = format_time(NOON)
    assert shown.endswith({"UTC": "12:00 UTC", "Europe/Paris": "13:00 CET", "America/St_Johns": "08:30 NST"}[zone])
    assert "21 Nov 2026" in shown


def test_moment_comes_back_from_its_text(zone: str) -> None:
    assert zone
    moment = parse_moment("2026-07-14 09:00", now=NOON)
    assert "14 Jul 2026, 09:00" in format_time(moment)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (1799, "29 min 59 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (172_799, "47 h 59 min"),
        (864_000, "10 days"),
    ],
)
def test_span_has_two_units_at_most(seconds: int, text: str) -> None:
    assert format_span(seconds) == text
