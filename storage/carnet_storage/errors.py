"""What can go wrong in a store, split by whose fault it is.

StorageError
├── the caller's
│   ├── InvalidName         not one of our object names
│   ├── InvalidUpload       sizes, parts or a token that no upload of ours has
│   ├── UrlRefused          a transfer URL that is not ours, not for this, or not for now: one public failure
│   ├── RangeNotSatisfiable a range outside of the object
│   ├── SizeMismatch        other bytes arrived than were announced
│   ├── UploadIncomplete    parts are missing
│   └── AlreadyExists       the name is taken, and nothing is ever overwritten
├── NotFound                nobody's
│   ├── ObjectNotFound
│   └── UploadNotFound      never begun, finished, aborted, or superseded by a newer writer of the same part
└── the store's
    ├── NoSpace             full, or over its quota
    └── StoreUnavailable    it cannot be reached, refuses us, or its disk fails

Nothing else leaves this package but `AssertionError("internal: …")`, which tells of a mistake in a program and is not
handled.
"""

# ruff: noqa: N818 - each is named for the situation that it tells of, in the words of the port's contract

from typing import Final, Literal, TypeAlias

UrlRefusal: TypeAlias = Literal["malformed", "length", "signature", "expired"]


class StorageError(Exception):
    """A store did not do what it was asked; every error of this package is one of these."""


class InvalidName(StorageError):
    """The text is not the one spelling of 32 bytes."""


class InvalidUpload(StorageError):
    """No upload has these sizes, this part or this token; the message names the limit."""


class UrlRefused(StorageError):
    """A transfer URL is refused. Its text never says why; `reason` is for the log alone."""

    def __init__(self, reason: UrlRefusal) -> None:
        super().__init__("This transfer address is not valid. Ask the vault for a new one.")
        self.reason: Final = reason


class RangeNotSatisfiable(StorageError):
    """The range lies outside of the object, whose `size_bytes` an HTTP answer has to name."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The object has {size_bytes} bytes; ask for a range within it.")
        self.size_bytes: Final = size_bytes


class SizeMismatch(StorageError):
    """More or fewer bytes arrived than were announced. What arrived does not count; send the part again."""


class UploadIncomplete(StorageError):
    """Some parts have not arrived; `missing_parts` holds their numbers in order."""

    def __init__(self, missing_parts: tuple[int, ...]) -> None:
        super().__init__(
            f"{len(missing_parts)} parts have not arrived, the first is part {missing_parts[0]}. Send them."
        )
        self.missing_parts: Final = missing_parts


class AlreadyExists(StorageError):
    """An object of this name is there already, and stays as it is."""


class NotFound(StorageError):
    """There is nothing of this name."""


class ObjectNotFound(NotFound):
    """No finished object has this name."""


class UploadNotFound(NotFound):
    """The upload is not under way, or a newer writer took over its part. List its parts, or begin again."""


class NoSpace(StorageError):
    """The store is full or over its quota. Nothing was stored; try again when there is room."""


class StoreUnavailable(StorageError):
    """The store cannot be reached, refuses us, or its disk fails. Nothing is lost; try again, and tell the operator."""
