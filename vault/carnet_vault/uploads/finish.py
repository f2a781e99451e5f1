"""Finishing uploads in the store, once a deposit of them is about to be accepted: object first, row second."""

from collections.abc import Sequence

from carnet_server.errors import ConflictError
from carnet_storage import Store, UploadNotFound
from carnet_vault.refusals import store_refusals
from carnet_vault.uploads.queries import UploadRow


def finish_uploads(store: Store, rows: Sequence[UploadRow]) -> None:
    """Give the objects of `rows` their names; none of them if a part of one is missing.

    One that was finished before stays as it is. Raises `ConflictError`, `RefusedError`, `NoSpaceError` or
    `UnavailableError`.
    """
    with store_refusals():
        if any(_is_incomplete(store, row) for row in rows):
            raise ConflictError("upload_incomplete")
        for row in rows:
            store.finish_upload(row.stored)


def _is_incomplete(store: Store, row: UploadRow) -> bool:
    try:
        return len(store.arrived_parts(row.stored)) != row.stored.part_count
    except UploadNotFound:
        # Finished by an earlier try at the same deposit, or gone: finishing it tells which.
        return False
