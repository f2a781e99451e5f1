"""Times and spans as people read them, in what the commands print. What `--json` prints stays in seconds."""

from datetime import UTC, datetime
from typing import Final

DAY: Final = 86_400
_UNITS: Final = (("day", DAY), ("hour", 3600), ("minute", 60), ("second", 1))


def format_time(seconds: int) -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_span(seconds: int) -> str:
    """A span of time in its two largest units: `3 days, 4 hours`. One that is over is `0 seconds`."""
    left = max(0, seconds)
    parts = []
    for name, size in _UNITS:
        count, left = divmod(left, size)
        parts.append((count, name))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [part for part in parts[first : first + 2] if part[0]] or [parts[-1]]
    return ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in shown)
