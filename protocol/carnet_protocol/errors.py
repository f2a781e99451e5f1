"""Errors of the protocol package and the stable codes that both servers answer with.

    ProtocolError
    |-- MalformedError        bytes, text or JSON that is not the one canonical form
    |-- StatementError        a statement that does not say what its kind allows
    |-- SignatureError        a signature that does not verify, or a key that may not sign this
    `-- UnsupportedSuiteError a suite that this program does not know or is told not to use

`ErrorCode` is what an outsider sees: spec `api.md`, section "Errors".
"""

from enum import StrEnum


class ProtocolError(Exception):
    """Base of everything that this package raises."""


class MalformedError(ProtocolError):
    """The input is not in the one canonical form that the specification gives."""


class StatementError(ProtocolError):
    """A statement is well-formed JSON, but its members contradict its kind's rules."""


class SignatureError(ProtocolError):
    """A signature does not verify, or its signer has no right to make this statement."""


class UnsupportedSuiteError(ProtocolError):
    """The suite is unknown, retired or below the floor that is pinned here."""


class ErrorCode(StrEnum):
    """The codes in error answers; each has one HTTP status and one constant message (spec `api.md`)."""

    BAD_REQUEST = "bad_request"
    UNAUTHENTICATED = "unauthenticated"
    REFUSED = "refused"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    STALE = "stale"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID_STATEMENT = "invalid_statement"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    CLOCK_BEHIND = "clock_behind"
    NO_SPACE = "no_space"
