"""Failures of the store as refusals. Everything that the vault asks of the store runs inside of `store_refusals`."""

import contextlib
from collections.abc import Iterator

from carnet_server.errors import (
    ConflictError,
    NoSpaceError,
    RefusalError,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from carnet_storage import (
    InvalidUpload,
    NoSpace,
    ObjectNotFound,
    SizeMismatch,
    StorageError,
    UploadIncomplete,
    UploadNotFound,
    UrlRefused,
)


@contextlib.contextmanager
def store_refusals() -> Iterator[None]:
    """Turn what a store raises into the refusal that the caller is answered with."""
    try:
        yield
    except StorageError as error:
        raise _refusal(error) from error


def _refusal(error: StorageError) -> RefusalError:
    match error:
        case UrlRefused() | UploadNotFound() | ObjectNotFound():
            return RefusedError("transfer_unknown")
        case UploadIncomplete():
            return ConflictError("upload_incomplete")
        case SizeMismatch():
            return ConflictError("transfer_size")
        case InvalidUpload():
            return TooLargeError("upload_size")
        case NoSpace():
            return NoSpaceError("store_full")
        case _:
            return UnavailableError("store_unavailable")
