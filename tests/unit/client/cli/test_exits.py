"""Every error has its exit code and its name, from one table."""

from collections.abc import Iterator

import pytest

import carnet.content.errors
import carnet.words
from carnet import errors
from carnet.cli.exits import TABLE, Exit, error_name, exit_code
from carnet.errors import CarnetError, RefusalError
from carnet_protocol.errors import ErrorCode


def every_error(kind: type[CarnetError] = CarnetError) -> Iterator[type[CarnetError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from every_error(inner)


def make(kind: type[CarnetError]) -> CarnetError:
    """An error of `kind`, whatever its constructor asks for."""
    error = kind.__new__(kind)
    if isinstance(error, RefusalError):
        error.code = ErrorCode.REFUSED
    return error


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code(kind: type[CarnetError]) -> None:
    assert exit_code(make(kind)) in {Exit.REFUSED, Exit.USAGE, Exit.UNREACHABLE, Exit.IN_THE_WAY}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UsageError, 2),
        (errors.NotFoundError, 2),
        (errors.NoHomeError, 4),
        (errors.UnlockError, 4),
        (errors.HomeBusyError, 4),
        (errors.RecoveryKitMissingError, 4),
        (errors.ChangedKeysError, 4),
        (carnet.words.WordCountError, 4),
        (carnet.content.errors.LocalFileError, 4),
        (errors.GrantEndedError, 1),
        (errors.VerificationError, 1),
        (errors.DecryptionError, 1),
        (errors.RollbackError, 1),
        (errors.DisagreementError, 1),
        (errors.RefusedError, 1),
        (errors.UnauthenticatedError, 1),
        (errors.ConflictError, 1),
        (errors.StaleError, 1),
        (errors.ServerFaultError, 1),
        (errors.AnswerError, 1),
        (errors.UnreachableError, 3),
        (errors.PartialError, 3),
        (errors.UnavailableError, 3),
        (errors.RateLimitedError, 3),
        (errors.NoSpaceError, 3),
        (errors.UnfinishedError, 3),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_code_of_an_error(kind: type[CarnetError], code: int) -> None:
    assert exit_code(make(kind)) == code


def test_codes_are_the_documented_ones() -> None:
    assert {one.name: int(one) for one in Exit} == {
        "DONE": 0,
        "REFUSED": 1,
        "USAGE": 2,
        "UNREACHABLE": 3,
        "IN_THE_WAY": 4,
        "MISTAKE": 70,
        "INTERRUPTED": 130,
        "READER_GONE": 141,
        "STOPPED": 143,
    }
    assert set(TABLE.values()) < set(Exit)


def test_name_is_the_class_or_the_code_of_the_server() -> None:
    assert error_name(errors.UnlockError("no")) == "unlock"
    assert error_name(errors.RecoveryKitMissingError("no")) == "recovery_kit_missing"
    assert error_name(errors.StaleError(ErrorCode.STALE, "no")) == "stale"
