"""Times as people say and read them: `30 minutes`, `tomorrow 14:00`, `Sat 21 Nov 2026, 22:40 CET`.

Everything inside is UTC seconds; only here a zone comes in, that of this machine, and it is always named.
"""

import re
from datetime import date, datetime, time, timedelta
from typing import Final

from carnet.errors import UsageError

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_UNITS: Final = {"s": 1, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}
_WORDS: Final = {
    "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d", "week": "w", "year": "y",
}  # fmt: skip
_MONTH_SECONDS: Final = 30 * DAY
_DURATION: Final = re.compile(r"(\d{1,6})\s*([a-z]+)")
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_SOON: Final = {"today": 0, "tomorrow": 1}


def parse_duration(text: str) -> int:
    """Seconds of a time span such as `30 minutes`, `2h` or `3 weeks`. Raises `UsageError`."""
    total, position = 0, 0
    wanted = text.strip().lower()
    for match in _DURATION.finditer(wanted):
        if wanted[position : match.start()].strip(" ,"):
            raise _not_a_duration()
        total += int(match[1]) * _unit_seconds(match[2])
        position = match.end()
    if not position or wanted[position:].strip() or not total:
        raise _not_a_duration()
    return total


def parse_moment(text: str, *, now: int) -> int:
    """UTC seconds of a moment such as `2026-12-01`, `2026-12-01 14:30`, `14:30` or `tomorrow 9:00`, in local time.

    A day alone is its beginning; a time of day alone is its next coming after `now`. Raises `UsageError`.
    """
    words = text.strip().lower().replace("t", " ", 1) if re.match(r"\d{4}-", text.strip()) else text.strip().lower()
    today = datetime.fromtimestamp(now).astimezone().date()
    day_text, _, clock_text = words.partition(" ")
    if _CLOCK.fullmatch(words):
        moment = _seconds(today, _clock(words))
        return moment if moment > now else _seconds(today + timedelta(days=1), _clock(words))
    day = today + timedelta(days=_SOON[day_text]) if day_text in _SOON else _day(day_text)
    return _seconds(day, _clock(clock_text) if clock_text else time())


def format_time(seconds: int) -> str:
    """The moment in local time, with the name of its zone: `Sat 21 Nov 2026, 22:40 CET`."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%a %d %b %Y, %H:%M %Z}"


def format_clock(seconds: int) -> str:
    """The moment with its seconds, for what happens within minutes: `22:40:07 CET`."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%H:%M:%S %Z}"


def format_day(day: str | None) -> str:
    """A day of care, `YYYY-MM-DD`, as it stands; a dash for none."""
    return day or "-"


def format_span(seconds: int) -> str:
    """A time span in its two largest units: `29 min 30 s`, `2 h`, `12 days`."""
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return _two(seconds, MINUTE, "min", 1, "s")
    if seconds < 2 * DAY:
        return _two(seconds, HOUR, "h", MINUTE, "min")
    return f"{seconds // DAY} days"


def _two(seconds: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large} {large_name}" + (f" {rest} {small_name}" if rest else "")


def _unit_seconds(word: str) -> int:
    if word.rstrip("s") in {"month", "mo"}:
        return _MONTH_SECONDS
    letter = word if word in _UNITS else _WORDS.get(word.removesuffix("s"))
    if letter is None:
        raise _not_a_duration()
    return _UNITS[letter]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            'a moment is a day, a time or both: "2026-12-01", "2026-12-01 14:30", "14:30" or "tomorrow 9:00"'
        ) from error


def _clock(text: str) -> time:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise UsageError('a time of day is hours and minutes, such as "14:30"')
    return time(int(match[1]), int(match[2]))


def _seconds(day: date, clock: time) -> int:
    try:
        return int(datetime.combine(day, clock).astimezone().timestamp())
    except (ValueError, OverflowError) as error:
        raise UsageError("this day is out of reach: take one of this century") from error


def _not_a_duration() -> UsageError:
    return UsageError('a time span is a number and a unit: "30 minutes", "2 hours", "10 days", "3 weeks" or "1 year"')
