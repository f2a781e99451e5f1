"""A page of capsules: first those of compartments, then the personal ones, each by place. Never commits."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, or_, select, true

from carnet_protocol.api import CapsulesPage
from carnet_protocol.api.capsules import CapsuleEntry
from carnet_protocol.ids import DocumentId, RecordId
from carnet_protocol.suites import Suite
from carnet_server.tables import grants
from carnet_vault.capsules.decide import Place
from carnet_vault.cursors import format_place
from carnet_vault.documents.views import view_capsule
from carnet_vault.tables import capsules, documents, personal_capsules, versions


def load_capsules(
    connection: Connection,
    record: RecordId,
    *,
    document: DocumentId | None,
    after: Place | None,
    limit: int,
    now: int,
) -> CapsulesPage:
    """At most `limit` capsules of documents without a tombstone, or of `document`, from behind `after`.

    Personal ones are left out where their grant is over.
    """
    rows: list[Row[Any]] = []
    if after is None or after.grant is None:
        rows += _load_shared(connection, _query(capsules, record, document), after=after, limit=limit + 1)
        after = None
    if len(rows) <= limit:
        query = _query(personal_capsules, record, document)
        rows += _load_personal(connection, query, after=after, limit=limit + 1 - len(rows), now=now)
    entries = tuple(
        CapsuleEntry.model_construct(capsule=view_capsule(row), suite=Suite(row.suite), author=row.author)
        for row in rows[:limit]
    )
    is_last = len(rows) <= limit
    return CapsulesPage.model_construct(
        capsules=entries, next=None if is_last else format_place(Place.of(entries[-1].capsule))
    )


def _load_shared(connection: Connection, query: Select[Any], *, after: Place | None, limit: int) -> Sequence[Row[Any]]:
    table = capsules.c
    place: list[tuple[ColumnElement[Any], Any]] = []
    if after is not None:
        place = [(table.document, after.document), (table.version, after.version), (table.role, after.role.value)]
    return connection.execute(
        query.where(_is_behind(place)).order_by(table.document, table.version, table.role).limit(limit)
    ).all()


def _load_personal(
    connection: Connection, query: Select[Any], *, after: Place | None, limit: int, now: int
) -> Sequence[Row[Any]]:
    table = personal_capsules.c
    place: list[tuple[ColumnElement[Any], Any]] = []
    if after is not None:
        place = [
            (table.document, after.document),
            (table.version, after.version),
            (table.grant, after.grant),
            (table.role, after.role.value),
        ]
    return connection.execute(
        query.join(grants, grants.c.hash == table.grant)
        .where(_is_behind(place), grants.c.ended.is_(None), grants.c.expires > now)
        .order_by(table.document, table.version, table.grant, table.role)
        .limit(limit)
    ).all()


def _query(table: Table, record: RecordId, document: DocumentId | None) -> Select[Any]:
    query = (
        select(table, versions.c.suite, documents.c.author)
        .join(
            versions,
            and_(
                versions.c.record == table.c.record,
                versions.c.document == table.c.document,
                versions.c.version == table.c.version,
            ),
        )
        .join(documents, and_(documents.c.record == table.c.record, documents.c.document == table.c.document))
        .where(table.c.record == record, documents.c.tombstoned_at.is_(None))
    )
    return query if document is None else query.where(table.c.document == document)


def _is_behind(place: Sequence[tuple[ColumnElement[Any], Any]]) -> ColumnElement[bool]:
    """Whether columns, compared one after the other, come after the values beside them; with none, always.

    That the first is not before its value says nothing new, but it is where an index begins to read.
    """
    if not place:
        return true()
    (column, value), *rest = place
    after: ColumnElement[bool] = column > value
    begins: ColumnElement[bool] = column >= value
    return and_(begins, or_(after, _is_behind(rest))) if rest else after
