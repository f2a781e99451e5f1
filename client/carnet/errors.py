"""Everything that this package raises on purpose, by whose fault it is.

    CarnetError
    |-- CallerError                 what was asked cannot be done so: ask for something else, or do something first
    |   |-- UsageError              an argument outside its rules
    |   |-- NotFoundError           this client knows nothing of that name
    |   |-- HomeError               the home folder does not allow it
    |   |   |-- NoHomeError         nobody lives there yet
    |   |   |-- HomeTakenError      somebody lives there already
    |   |   `-- HomeBusyError       another command is at work there
    |   |-- UnlockError             passphrase or words do not open the keyring
    |   |-- RecoveryKitMissingError something is about to be shared and no recovery kit was printed
    |   |-- ChangedKeysError        somebody's keys are other ones than those that were accepted here
    |   |-- GrantEndedError         the grant is over, or has not begun
    |   |-- RecordErasedError       the record of this home was erased
    |   `-- UnfinishedError         long work stopped before its end: run the same command again
    |-- DataError                   what came in is not what it must be; nothing of it was used
    |   |-- DecryptionError         a ciphertext does not open; the reason is not told
    |   |-- VerificationError       a statement or an answer that does not prove what it claims
    |   |-- BelowFloorError         of a suite that the pinned service card does not allow any more
    |   |-- DisagreementError       the two servers say different things
    |   `-- RollbackError           a server says less than it said before
    `-- TransportError              a server could not be asked, or answered with a refusal
        |-- UnreachableError        no connection, no answer, or not in time
        |-- AnswerError             an answer that is none: other form, too long, a redirect
        |-- PartialError            one server has it, the other does not yet
        `-- RefusalError            an error answer, one class for each code
            |-- RefusedError        no such thing, or not for you
            |-- UnauthenticatedError this device, or this clock, is not accepted
            |-- ConflictError       somebody else was first
            |-- StaleError          an epoch or a lock moved on
            |-- RateLimitedError    too many requests
            |-- UnavailableError    the server cannot serve now
            |-- NoSpaceError        the server's store is full
            `-- ServerFaultError    the server calls the request wrong, or failed itself

What is our own fault is an `AssertionError` whose text begins with "internal", and nobody catches it.
"""

from carnet_protocol.errors import ErrorCode


class CarnetError(Exception):
    """Base of everything that this package raises on purpose."""


class CallerError(CarnetError):
    """What was asked cannot be done so; the message says what to do instead."""


class UsageError(CallerError):
    """An argument is outside its rules."""


class NotFoundError(CallerError):
    """Nothing of that name is known to this client."""


class HomeError(CallerError):
    """The home folder does not allow what was asked."""


class NoHomeError(HomeError):
    """Nobody lives in this home folder yet."""


class HomeTakenError(HomeError):
    """Somebody lives in this home folder already."""


class HomeBusyError(HomeError):
    """Another command is at work in this home folder."""


class UnlockError(CallerError):
    """Passphrase, words or device secret do not open the keyring."""


class RecoveryKitMissingError(CallerError):
    """Something is about to be shared, and without a printed recovery kit a lost device would lose it all."""


class ChangedKeysError(CallerError):
    """Somebody's keys are other ones than those that were accepted here. Nothing was sealed to them."""


class GrantEndedError(CallerError):
    """The grant is over, or has not begun."""


class RecordErasedError(CallerError):
    """The record of this home was erased, by a command that was given here: there is nothing left to do with it."""


class UnfinishedError(CallerError):
    """Long work stopped before its end; nothing is lost, and the same command goes on from here."""


class DataError(CarnetError):
    """What came in is not what it must be; nothing of it was used."""


class DecryptionError(DataError):
    """A ciphertext does not open with this key and in this place. The one public failure of all decryption."""

    def __init__(self) -> None:
        super().__init__("a ciphertext does not open: it was changed, or belongs to another key or another place")


class VerificationError(DataError):
    """A statement or an answer does not prove what it claims."""


class BelowFloorError(DataError):
    """Something is of a suite below the floor of the pinned service card; the message says who renews it."""


class DisagreementError(DataError):
    """The two servers say different things; the message says which said what."""


class RollbackError(DataError):
    """A server says less than it, or the other server, said before."""


class TransportError(CarnetError):
    """A server could not be asked, or answered with a refusal."""


class UnreachableError(TransportError):
    """No connection, no answer, or not in time. The same command can be run again.

    `may_have_arrived` is False where the server surely heard nothing.
    """

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class AnswerError(TransportError):
    """An answer that is none: another form, too long, or a redirect."""


class PartialError(TransportError):
    """One server has it, the other does not yet: what is missing is kept and sent with the next command."""


class RefusalError(TransportError):
    """An error answer with a stable `code`."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class RefusedError(RefusalError):
    """No such thing, or not for you: a server never tells the two apart."""


class UnauthenticatedError(RefusalError):
    """The server does not accept this device, or this machine's clock."""


class ConflictError(RefusalError):
    """Somebody else, perhaps another device of the same person, was first: read again and decide again."""


class StaleError(RefusalError):
    """An epoch or a lock moved on: read again and wrap again."""


class RateLimitedError(RefusalError):
    """Too many requests in a short time."""


class UnavailableError(RefusalError):
    """The server cannot serve now."""


class NoSpaceError(RefusalError):
    """The server's store is full."""


class ServerFaultError(RefusalError):
    """The server calls the request wrong, or failed itself: a program is too old, or has a mistake."""
