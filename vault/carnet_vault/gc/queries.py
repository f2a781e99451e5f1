"""Rows that nobody needs any more. Never commits. What a deletion returns, and nothing else, may leave the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_server.tables import events, grants
from carnet_storage import ObjectName, Upload
from carnet_vault.tables import capsules, documents, objects, orphans, personal_capsules, uploads, versions

_HAS_REMAINS: Final = or_(
    versions.c.object.is_not(None), versions.c.metadata.is_not(None), versions.c.leaf_digests.is_not(None)
)
_OF_DOCUMENT: Final = and_(versions.c.record == documents.c.record, versions.c.document == documents.c.document)
_SHARED: Final = (personal_capsules.c.record, personal_capsules.c.grant)
_REMOVED: Final = (documents.c.tombstoned_at, documents.c.record, documents.c.document)


@dataclass(frozen=True, slots=True)
class Removed:
    """A document with a tombstone, and when it came."""

    at: int
    record: RecordId
    document: DocumentId


@dataclass(frozen=True, slots=True)
class Shared:
    """A single-document grant with personal capsules."""

    record: RecordId
    grant: StatementHash


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


def find_removed(
    connection: Connection, *, until: int, after: Removed | None, limit: int
) -> Sequence[tuple[Removed, bool]]:
    """Documents with a tombstone of `until` or before, behind `after`, and whether more than manifests is left of each.

    A tombstone is for ever, so those that were stripped long ago are passed again in each run; but once in a run.
    """
    page = select(*_REMOVED).where(_REMOVED[0] <= until).order_by(*_REMOVED).limit(limit)
    if after is not None:
        place = zip((after.at, after.record, after.document), _REMOVED, strict=True)
        page = page.where(tuple_(*_REMOVED) > tuple_(*(literal(value, column.type) for value, column in place)))
    removed = page.subquery().c
    is_of_document = and_(versions.c.record == removed.record, versions.c.document == removed.document)
    rows = connection.execute(
        select(*removed, exists().where(is_of_document, _HAS_REMAINS).label("is_left")).order_by(*removed)
    )
    return [(Removed(row.tombstoned_at, row.record, row.document), row.is_left) for row in rows]


def count_remains(connection: Connection, *, until: int) -> int:
    """How many versions of documents with a tombstone of `until` or before have more than their manifest."""
    query = select(func.count()).select_from(versions).join(documents, _OF_DOCUMENT)
    return connection.execute(query.where(documents.c.tombstoned_at <= until, _HAS_REMAINS)).scalar_one()


def strip_documents(connection: Connection, wanted: Sequence[Removed]) -> None:
    """Leave nothing of documents but their manifests."""
    for removed in wanted:
        for table in (capsules, personal_capsules):
            connection.execute(
                delete(table).where(table.c.record == removed.record, table.c.document == removed.document)
            )
        connection.execute(
            update(versions)
            .where(versions.c.record == removed.record, versions.c.document == removed.document)
            .values(object=None, metadata=None, leaf_digests=None)
        )


def take_retired(connection: Connection, *, until: int, limit: int) -> list[ObjectName]:
    """Forget objects that were retired at or before `until` and belong to no version, and return their names."""
    in_use = exists().where(versions.c.record == objects.c.record, versions.c.object == objects.c.name)
    old = select(objects.c.name).where(objects.c.retired_at <= until, ~in_use).limit(limit)
    gone = connection.execute(delete(objects).where(objects.c.name.in_(old)).returning(objects.c.name)).scalars()
    return [ObjectName(name) for name in gone.all()]


def count_retired(connection: Connection, *, until: int) -> int:
    """How many objects are to go: retired and of no version, or of a document with an old tombstone."""
    return connection.execute(select(func.count()).where(objects.c.retired_at <= until)).scalar_one()


def find_shared(
    connection: Connection, *, until: int, after: Shared | None, limit: int
) -> Sequence[tuple[Shared, bool]]:
    """Grants with personal capsules, by record, behind `after`, and whether each was over at `until`.

    By the capsules, not by the grants: those that are over only become more, and most of them have none left.
    """
    page = select(*_SHARED).distinct().order_by(*_SHARED).limit(limit)
    if after is not None:
        place = zip((after.record, after.grant), _SHARED, strict=True)
        page = page.where(tuple_(*_SHARED) > tuple_(*(literal(value, column.type) for value, column in place)))
    named = page.subquery()
    rows = connection.execute(
        select(named.c.record, named.c.grant, _is_over(until).label("is_over"))
        .join(grants, grants.c.hash == named.c.grant)
        .outerjoin(events, events.c.position == grants.c.ended)
        .order_by(named.c.record, named.c.grant)
    )
    return [(Shared(row.record, row.grant), bool(row.is_over)) for row in rows]


def delete_personal(connection: Connection, wanted: Sequence[Shared]) -> int:
    """Remove the personal capsules of grants that are over, and return how many those were."""
    return sum(
        len(
            connection.execute(
                delete(personal_capsules)
                .where(personal_capsules.c.record == shared.record, personal_capsules.c.grant == shared.grant)
                .returning(personal_capsules.c.role)
            ).all()
        )
        for shared in wanted
    )


def count_personal(connection: Connection, *, until: int) -> int:
    """How many personal capsules are of grants that were over at `until`."""
    query = (
        select(func.count())
        .select_from(personal_capsules)
        .join(grants, grants.c.hash == personal_capsules.c.grant)
        .outerjoin(events, events.c.position == grants.c.ended)
        .where(_is_over(until))
    )
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
            ~exists().where(objects.c.name == orphans.c.name),
            ~exists().where(uploads.c.object == orphans.c.name),
        )
        .returning(orphans.c.name)
    ).scalars()
    return [ObjectName(name) for name in gone.all()]


def count_orphans(connection: Connection, names: Sequence[ObjectName], *, until: int) -> int:
    """How many of `names` were noted at or before `until`."""
    query = select(func.count()).where(orphans.c.name.in_([name.text for name in names]), orphans.c.seen_at <= until)
    return connection.execute(query).scalar_one()


def _is_over(until: int) -> ColumnElement[bool]:
    return or_(grants.c.expires <= until, events.c.time <= until)
