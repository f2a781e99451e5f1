"""Rows that nobody needs any more. Never commits. What a deletion returns, and nothing else, may leave the store."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import CompoundSelect, Connection, Select, and_, delete, func, insert, or_, select, update

from carnet_protocol.ids import DocumentId, RecordId
from carnet_server.tables import events, grants
from carnet_storage import ObjectName, Upload
from carnet_vault.tables import capsules, documents, objects, orphans, personal_capsules, uploads, versions

_HAS_REMAINS: Final = or_(
    versions.c.object.is_not(None), versions.c.metadata.is_not(None), versions.c.leaf_digests.is_not(None)
)


def old_uploads(connection: Connection, *, until: int) -> list[Upload]:
    """Uploads that were begun at or before `until`."""
    rows = connection.execute(select(uploads).where(uploads.c.begun_at <= until).order_by(uploads.c.object))
    return [Upload(ObjectName(row.object), row.size, row.part_size, row.token) for row in rows]


def take_uploads(connection: Connection, wanted: Sequence[Upload]) -> list[Upload]:
    """Forget those of `wanted` that no deposit has taken meanwhile, and return them."""
    by_name = {upload.name.text: upload for upload in wanted}
    gone = connection.execute(
        delete(uploads).where(uploads.c.object.in_(list(by_name))).returning(uploads.c.object)
    ).scalars()
    return [by_name[name] for name in gone.all()]


def find_remains(connection: Connection, *, until: int, limit: int) -> Sequence[tuple[RecordId, DocumentId]]:
    """Documents with a tombstone of `until` or before of which more than manifests is left."""
    rows = connection.execute(_remains(until).distinct().limit(limit))
    return [(row.record, row.document) for row in rows]


def count_remains(connection: Connection, *, until: int) -> int:
    """How many versions `find_remains` is about."""
    return connection.execute(select(func.count()).select_from(_remains(until).subquery())).scalar_one()


def strip_documents(connection: Connection, wanted: Sequence[tuple[RecordId, DocumentId]]) -> None:
    """Leave nothing of documents but their manifests."""
    for record, document in wanted:
        for table in (capsules, personal_capsules):
            connection.execute(delete(table).where(table.c.record == record, table.c.document == document))
        connection.execute(
            update(versions)
            .where(versions.c.record == record, versions.c.document == document)
            .values(object=None, metadata=None, leaf_digests=None)
        )


def take_retired(connection: Connection, *, until: int, limit: int) -> list[ObjectName]:
    """Forget objects that were retired at or before `until` and belong to no version, and return their names."""
    old = (
        select(objects.c.name).where(objects.c.retired_at <= until, objects.c.name.not_in(_names_in_use())).limit(limit)
    )
    gone = connection.execute(delete(objects).where(objects.c.name.in_(old)).returning(objects.c.name)).scalars()
    return [ObjectName(name) for name in gone.all()]


def count_retired(connection: Connection, *, until: int) -> int:
    """How many objects are to go: retired and of no version, or of a document with an old tombstone."""
    return connection.execute(select(func.count()).where(objects.c.retired_at <= until)).scalar_one()


def delete_personal(connection: Connection, *, until: int) -> int:
    """Remove personal capsules whose grant was over at `until`, and return how many those were."""
    gone = connection.execute(
        delete(personal_capsules)
        .where(personal_capsules.c.grant.in_(_grants_over(until)))
        .returning(personal_capsules.c.role)
    )
    return len(gone.all())


def count_personal(connection: Connection, *, until: int) -> int:
    """How many `delete_personal` would remove."""
    query = select(func.count()).where(personal_capsules.c.grant.in_(_grants_over(until)))
    return connection.execute(query).scalar_one()


def has_upload(connection: Connection, name: ObjectName) -> bool:
    """Whether an upload of this object is known here."""
    return connection.execute(select(uploads.c.upload).where(uploads.c.object == name.text)).first() is not None


def note_orphans(connection: Connection, names: Sequence[ObjectName], *, now: int) -> None:
    """Remember since when objects have no row."""
    texts = [name.text for name in names]
    known = set(connection.execute(select(orphans.c.name).where(orphans.c.name.in_(texts))).scalars())
    rows = [{"name": text, "seen_at": now} for text in texts if text not in known]
    if rows:
        connection.execute(insert(orphans), rows)


def take_orphans(connection: Connection, names: Sequence[ObjectName], *, until: int) -> list[ObjectName]:
    """Forget those of `names` that were noted at or before `until` and still have no row, and return them."""
    gone = connection.execute(
        delete(orphans)
        .where(
            orphans.c.name.in_([name.text for name in names]),
            orphans.c.seen_at <= until,
            orphans.c.name.not_in(select(objects.c.name)),
            orphans.c.name.not_in(select(uploads.c.object)),
        )
        .returning(orphans.c.name)
    ).scalars()
    return [ObjectName(name) for name in gone.all()]


def count_orphans(connection: Connection, names: Sequence[ObjectName], *, until: int) -> int:
    """How many of `names` were noted at or before `until`."""
    query = select(func.count()).where(orphans.c.name.in_([name.text for name in names]), orphans.c.seen_at <= until)
    return connection.execute(query).scalar_one()


def _remains(until: int) -> Select[Any]:
    return (
        select(versions.c.record, versions.c.document)
        .join(documents, and_(documents.c.record == versions.c.record, documents.c.document == versions.c.document))
        .where(documents.c.tombstoned_at <= until, _HAS_REMAINS)
    )


def _names_in_use() -> Select[Any]:
    return select(versions.c.object).where(versions.c.object.is_not(None))


def _grants_over(until: int) -> CompoundSelect[Any]:
    ended = select(grants.c.hash).join(events, events.c.position == grants.c.ended).where(events.c.time <= until)
    return ended.union(select(grants.c.hash).where(grants.c.expires <= until))
