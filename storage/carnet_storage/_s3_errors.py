"""What an S3 service answers, in the words of the port's contract."""

import contextlib
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from carnet_storage.errors import (
    AlreadyExists,
    NoSpace,
    ObjectNotFound,
    StorageError,
    StoreUnavailable,
    UploadNotFound,
)

# A HEAD has no body, so its errors have no code but the HTTP status.
_OBJECT_MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "507"})


@contextlib.contextmanager
def typed_errors() -> Iterator[None]:
    """Turns every exception of boto3 into one of ours; only the service's code is told, never what was sent."""
    try:
        yield
    except ClientError as error:
        raise _typed(error.response.get("Error", {}).get("Code", "unknown")) from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"The object store cannot be reached ({type(error).__name__}). Try again.") from error


def _typed(code: str) -> StorageError:
    if code in _OBJECT_MISSING:
        return ObjectNotFound("There is no object of this name.")
    if code == "NoSuchUpload":
        return UploadNotFound("This upload is not under way. Begin it again.")
    if code in _TAKEN:
        return AlreadyExists("An object of this name is there already.")
    if code in _FULL:
        return NoSpace("The object store is full or over its quota.")
    return StoreUnavailable(f"The object store refuses us ({code}). Look at its address, bucket and credentials.")
