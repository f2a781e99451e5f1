"""What sealing and opening raise on purpose, as branches of the client's tree of errors.

    CarnetError
    |-- CallerError
    |   |-- DocumentTooLargeError  more than a document may hold
    |   |-- SourceChangedError     a file that changed while it was being sealed
    |   `-- LocalFileError         this machine cannot read or write one of its files
    `-- DataError
        `-- DecryptionError
            `-- ContentRefusedError  what was received is not what its author sealed; one failure, one message

A refusal carries its reason as a code for logs. It is never shown: to whoever sent the bytes, all reasons look alike.
"""

from enum import StrEnum, unique

from carnet.errors import CallerError, DecryptionError, UsageError


@unique
class RefusalReason(StrEnum):
    """Why a ciphertext was refused. For logs."""

    SIZE = "size"
    LEAF_LIST = "leaf_list"
    LEAF = "leaf"
    CIPHER = "cipher"
    PADDING = "padding"
    COMMITMENT = "commitment"
    METADATA_DIGEST = "metadata_digest"
    INCOMPLETE = "incomplete"
    BEYOND_END = "beyond_end"


class ContentRefusedError(DecryptionError):
    """Content or metadata is not what its author sealed, or not all of it. Nothing of it was used.

    `reason` is for logs, never for a message.
    """

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__()
        self.reason = reason


class DocumentTooLargeError(UsageError):
    """More than a document, or its metadata, may hold."""


class SourceChangedError(CallerError):
    """The file changed while it was being sealed, so what was sealed is neither its old nor its new content."""

    def __init__(self) -> None:
        super().__init__("the file changed while it was being read: close it in other programs, then try again")


class LocalFileError(CallerError):
    """A file of this machine could not be read or written; the message gives the system's reason, and no name."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"a local file could not be read or written: {error.strerror or type(error).__name__}")
        self.errno = error.errno
