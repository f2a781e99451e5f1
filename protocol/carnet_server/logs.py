"""Logs: one JSON object a line, with fields from a list and nothing else.

A log is read by people who must not learn who is ill, so it holds neither bodies nor identifiers nor paths with
identifiers in them, only route templates, codes, counts and times. A field that is not on the list, or a value that is
not of the plain and short kind, is left out and counted in `dropped`. Exceptions are logged as their type and the
places they passed, never with their message: messages of libraries quote values.
"""

import contextlib
import logging
import os
import time
import traceback
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger
from typing_extensions import override

FIELDS: Final = frozenset(
    {
        "cause",  # type of the exception behind a refusal
        "code",  # ErrorCode
        "count",
        "dropped",
        "error_id",
        "error_type",
        "event",
        "level",
        "library",  # a library's logger
        "line",  # where in the library
        "listen",
        "method",
        "milliseconds",
        "reason",
        "request",  # number of a request since the start
        "route",  # template, never a path
        "seconds",
        "server",
        "signal",
        "status",
        "time",
        "trace",
        "version",
        "works",
    }
)
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_MAX_TEXT: Final = 400
_MAX_FRAMES: Final = 12


def make_log(stream: TextIO, level: str = "info") -> FilteringBoundLogger:
    """A log that writes to an open `stream`, and goes on where that cannot be written to."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", _LossyStream(stream))),
        processors=[
            structlog.processors.add_log_level,
            _stamp,
            keep_listed_fields,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", logger)


class _LossyStream:
    """A stream that loses a line rather than fail: nobody is refused an answer for the sake of a line about it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write `text` if there is room."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Send it on if there is room."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def keep_listed_fields(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The processor that leaves out what must not be logged."""
    del logger, method
    kept = {name: value for name, value in event.items() if name in FIELDS and _is_plain(value)}
    if len(kept) != len(event):
        kept["dropped"] = len(event) - len(kept)
    return kept


def describe(error: BaseException) -> dict[str, Any]:
    """Fields for `error`: its type, the type of its cause and the places it passed, without a word of its message."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    fields: dict[str, Any] = {
        "error_type": type(error).__name__,
        "trace": " ".join(f"{Path(frame.filename).name}:{frame.lineno}:{frame.name}" for frame in frames)[-_MAX_TEXT:],
    }
    if error.__cause__ is not None:
        fields["cause"] = type(error.__cause__).__name__
    return fields


def take_over_libraries(log: FilteringBoundLogger) -> None:
    """Send warnings of libraries into `log` as the place they come from, without their text."""
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler(log)]
    root.setLevel(logging.WARNING)


class _LibraryHandler(logging.Handler):
    """Logs that a library had something to say, and where; what it said may quote a value."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's origin."""
        error = record.exc_info[1] if record.exc_info else None
        self._log.warning(
            "library",
            library=record.name,
            line=f"{record.filename}:{record.lineno}",
            **(describe(error) if error is not None else {}),
        )


def _stamp(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    del logger, method
    event["time"] = round(time.time(), 3)
    return event


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT and value.isprintable()
    return value is None or isinstance(value, bool | int | float)


def open_log_file(path: Path) -> TextIO:
    """The file at `path`, to be appended to, readable by its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
