"""Uploads in the database. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from carnet_protocol.ids import IdentityHash, RecordId, StatementHash, UploadId
from carnet_server.prepared import Prepared
from carnet_storage import ObjectName, Upload
from carnet_vault.prepared_lists import PreparedList
from carnet_vault.tables import uploads


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload under way: who began it under which grant (None: the patient), and how the store knows it."""

    upload: UploadId
    by: IdentityHash
    grant: StatementHash | None
    stored: Upload


_INSERT = insert(uploads)
_COUNT = Prepared(
    select(func.count(), func.coalesce(func.sum(uploads.c.size), 0)).where(uploads.c.by == bindparam("who"))
)
_LOAD = PreparedList(
    select(
        uploads.c.upload,
        uploads.c.by,
        uploads.c.grant,
        uploads.c.object,
        uploads.c.size,
        uploads.c.part_size,
        uploads.c.token,
    ).where(uploads.c.record == bindparam("of")),
    uploads.c.upload,
)
_DELETE = delete(uploads).where(uploads.c.upload == bindparam("gone"))


def count_uploads(connection: Connection, by: IdentityHash) -> tuple[int, int]:
    """How many uploads `by` has under way, and how many bytes they are to have together."""
    found = _COUNT.first(connection, who=by.raw)
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def insert_uploads(connection: Connection, record: RecordId, rows: Sequence[UploadRow], *, now: int) -> None:
    """Keep uploads that the store has begun."""
    connection.execute(
        _INSERT,
        [
            {
                "upload": row.upload,
                "record": record,
                "by": row.by,
                "grant": row.grant,
                "object": row.stored.name.text,
                "token": row.stored.token,
                "size": row.stored.size_bytes,
                "part_size": row.stored.part_bytes,
                "begun_at": now,
            }
            for row in rows
        ],
    )


def load_uploads(connection: Connection, record: RecordId, wanted: Sequence[UploadId]) -> dict[UploadId, UploadRow]:
    """Those of the uploads `wanted` that are under way for `record`."""
    return {
        UploadId(upload): UploadRow(
            upload=UploadId(upload),
            by=IdentityHash(by),
            grant=None if grant is None else StatementHash(grant),
            stored=Upload(ObjectName(name), size, part_size, token),
        )
        for upload, by, grant, name, size, part_size, token in _LOAD.rows(connection, wanted, of=record.raw)
    }


def delete_uploads(connection: Connection, gone: Sequence[UploadId]) -> None:
    """Forget uploads: their objects belong to versions now, or they were given up."""
    connection.execute(_DELETE, [{"gone": upload} for upload in gone])
