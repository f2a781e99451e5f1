"""Errors of the chassis, and the one table that turns a refusal into an answer (spec `api.md`, "Refusals").

    ServerError
    |-- SettingsError                 the operator's: the program does not start
    |-- MigrationError                the operator's: the database is not at the version of the program
    `-- RefusalError                  expected: becomes an answer through ANSWERS
        |-- BadRequestError           the caller's: not the JSON, query or path that the route takes
        |-- InvalidStatementError
        |-- UnauthenticatedError
        |-- RefusedError              no such thing, or not for you: never told apart
        |-- MethodNotAllowedError
        |-- ConflictError
        |-- StaleError
        |-- TooLargeError
        |-- UnsupportedMediaTypeError
        |-- RateLimitedError
        |-- UnavailableError          ours: try again later
        |   |-- BusyError             the queue of the writer is full, or the database is locked
        |   `-- CommitError           nothing was committed, or it is unknown whether it was
        |-- ClockBehindError
        |-- NoSpaceError
        `-- InternalError             whatever nobody expected

A refusal carries a `reason`, a short constant for the log. Outsiders see code and message alone, and those are
constants, so that every answer with one code has the same bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from carnet_protocol.errors import ErrorCode

_REASON: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


class ServerError(Exception):
    """Base of everything that the chassis raises."""


class SettingsError(ServerError):
    """The settings contradict each other or the machine; the message says what to change."""


class MigrationError(ServerError):
    """The database is not at the version that this program is written for."""


class RefusalError(ServerError):
    """An expected refusal. `reason` is a constant in snake case for the log, never for the caller."""

    code: ClassVar[ErrorCode]

    def __init__(self, reason: str) -> None:
        if _REASON.fullmatch(reason) is None:
            raise AssertionError("internal: the reason of a refusal is a short constant in snake case")
        super().__init__(reason)
        self.reason = reason


class BadRequestError(RefusalError):
    """Not the JSON, query or path that the route takes."""

    code = ErrorCode.BAD_REQUEST


class InvalidStatementError(RefusalError):
    """A statement that is not well-formed, not rightly signed, or against the rules of its kind."""

    code = ErrorCode.INVALID_STATEMENT


class UnauthenticatedError(RefusalError):
    """No signature, a bad one, an unknown or void key, a used nonce, a wrong time."""

    code = ErrorCode.UNAUTHENTICATED


class RefusedError(RefusalError):
    """No such thing, or not for this principal."""

    code = ErrorCode.REFUSED


class MethodNotAllowedError(RefusalError):
    """The path exists, with other methods."""

    code = ErrorCode.METHOD_NOT_ALLOWED


class ConflictError(RefusalError):
    """A compare-and-set was lost, or other bytes stand under this id."""

    code = ErrorCode.CONFLICT


class StaleError(RefusalError):
    """The epoch or the lock is not the current one."""

    code = ErrorCode.STALE


class TooLargeError(RefusalError):
    """Over a limit of size or count."""

    code = ErrorCode.TOO_LARGE


class UnsupportedMediaTypeError(RefusalError):
    """A content type or encoding that the route does not take."""

    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE


class RateLimitedError(RefusalError):
    """More requests than the limit for this key or address."""

    code = ErrorCode.RATE_LIMITED


class UnavailableError(RefusalError):
    """The server cannot answer now; the same request may be sent again."""

    code = ErrorCode.UNAVAILABLE


class BusyError(UnavailableError):
    """The writer's queue is full, or another process holds the database."""


class CommitError(UnavailableError):
    """The transaction was not committed, or it is unknown whether it was; callers send the same bytes again."""


class ClockBehindError(RefusalError):
    """The clock of this server is behind what it has already committed."""

    code = ErrorCode.CLOCK_BEHIND


class NoSpaceError(RefusalError):
    """The database or the store is full."""

    code = ErrorCode.NO_SPACE


class InternalError(RefusalError):
    """Something that nobody expected; made by the outermost handler alone."""

    code = ErrorCode.INTERNAL


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and message of every refusal with one code."""

    status: int
    message: str


ANSWERS: Final[Mapping[ErrorCode, Answer]] = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: Answer(400, "The request is not in the form that this route takes."),
        ErrorCode.INVALID_STATEMENT: Answer(400, "A statement is malformed, wrongly signed or against its rules."),
        ErrorCode.UNAUTHENTICATED: Answer(401, "The request is not signed by a key in force, now and for this server."),
        ErrorCode.REFUSED: Answer(404, "There is no such thing, or it is not for you."),
        ErrorCode.METHOD_NOT_ALLOWED: Answer(405, "This path does not take this method."),
        ErrorCode.CONFLICT: Answer(409, "Something else stands here already; read again."),
        ErrorCode.STALE: Answer(409, "The epoch or the lock is not the current one; read again and wrap again."),
        ErrorCode.TOO_LARGE: Answer(413, "The request is over a limit."),
        ErrorCode.UNSUPPORTED_MEDIA_TYPE: Answer(415, "The body has a type or an encoding that this route refuses."),
        ErrorCode.RATE_LIMITED: Answer(429, "Too many requests; wait a little."),
        ErrorCode.INTERNAL: Answer(500, "The server failed; its log knows why."),
        ErrorCode.UNAVAILABLE: Answer(503, "The server cannot answer now; send the same request again."),
        ErrorCode.CLOCK_BEHIND: Answer(503, "The clock of the server is wrong; nothing is decided until it is right."),
        ErrorCode.NO_SPACE: Answer(507, "The store of the server is full."),
    }
)
