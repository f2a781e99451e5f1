"""Times and spans in words."""

import pytest

from carnet_keyservice.words import DAY, format_span, format_time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (61, "1 minute, 1 second"),
        (3600, "1 hour"),
        (3661, "1 hour, 1 minute"),
        (DAY - 1, "23 hours, 59 minutes"),
        (DAY, "1 day"),
        (DAY + 59, "1 day"),
        (DAY + 3600, "1 day, 1 hour"),
        (2000 * DAY, "2,000 days"),
    ],
)
def test_a_span_is_said_in_its_two_largest_units(seconds: int, words: str) -> None:
    assert format_span(seconds) == words


def test_a_moment_is_said_in_utc() -> None:
    assert format_time(1_700_000_000) == "2023-11-14 22:13 UTC"
