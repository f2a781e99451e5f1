"""Which versions a principal may see: one query per kind of principal. Never commits.

What is hidden, has a tombstone or never was is left out by the query itself, so that an answer, its length and its
cursor are made of visible rows alone. A reader sees a version through the capsule that is theirs: the one for the
compartment where the document is filed, or the personal one of a single-document grant.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, FromClause, Join, Row, Select, Subquery, and_, func, select

from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.tuples import KeyRole
from carnet_server.tables import filings, grant_compartments, grant_documents, statements, tombstones
from carnet_vault.tables import capsules, documents, personal_capsules, versions

EntryRow: TypeAlias = Row[Any]
"""What `answers` makes a `VersionEntry` of: manifest, reseal, metadata and the columns of its metadata capsule."""

Key: TypeAlias = tuple[DocumentId, int]
"""A version by its document and number."""

_manifests: Final = statements.alias("manifests")
_reseals: Final = statements.alias("reseals")

_IS_ALIVE: Final = documents.c.tombstoned_at.is_(None)
_IS_FILED_HERE: Final = capsules.c.compartment == documents.c.compartment
_newest = personal_capsules.alias("newest")
_IS_NEWEST_PERSONAL: Final = versions.c.version == (
    select(func.max(_newest.c.version))
    .where(
        _newest.c.record == personal_capsules.c.record,
        _newest.c.document == personal_capsules.c.document,
        _newest.c.grant == personal_capsules.c.grant,
        _newest.c.role == KeyRole.METADATA.value,
    )
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A query for one version of each document, and its column by which pages are cut."""

    query: Select[Any]
    document: ColumnElement[DocumentId]


def listed_for_patient(record: RecordId) -> Listing:
    """The head of every document without a tombstone."""
    query = _versions_of(documents, capsules).where(versions.c.version == documents.c.head)
    return Listing(query.where(documents.c.record == record, _IS_ALIVE), documents.c.document)


def listed_for_compartments(record: RecordId, grant: StatementHash) -> Listing:
    """The newest version with a capsule there, of every document filed in a compartment of `grant`."""
    visible = _in_order(record, _in_compartments(grant))
    query = _versions_of(visible, capsules).where(versions.c.version == visible.c.listed)
    return Listing(_within(query, record, capsules), visible.c.document)


def listed_for_documents(record: RecordId, grant: StatementHash) -> Listing:
    """The newest version with a personal capsule of `grant`, of every document that it names."""
    visible = _in_order(record, _in_documents(grant))
    query = _versions_of(visible, personal_capsules).where(personal_capsules.c.grant == grant, _IS_NEWEST_PERSONAL)
    return Listing(_within(query, record, personal_capsules), visible.c.document)


def versions_for_patient(record: RecordId, document: DocumentId) -> Select[Any]:
    """The versions of a document."""
    return _of_document(_versions_of(documents, capsules), record, document)


def versions_for_compartments(record: RecordId, grant: StatementHash, document: DocumentId) -> Select[Any]:
    """Those versions that a reader of compartments sees."""
    query = _versions_of(_joined(_in_compartments(grant)), capsules).where(_IS_FILED_HERE)
    return _of_document(query, record, document)


def versions_for_documents(record: RecordId, grant: StatementHash, document: DocumentId) -> Select[Any]:
    """Those versions that a reader of single documents sees."""
    query = _versions_of(_joined(_in_documents(grant)), personal_capsules).where(personal_capsules.c.grant == grant)
    return _of_document(query, record, document)


def load_documents(
    connection: Connection, listing: Listing, *, after: DocumentId | None, limit: int
) -> Sequence[EntryRow]:
    """At most `limit` rows of `listing`, by document id, from behind `after`."""
    return connection.execute(_between_documents(listing, after, None).limit(limit)).all()


def list_documents(
    connection: Connection, listing: Listing, *, after: DocumentId | None, until: DocumentId | None, limit: int
) -> list[Key]:
    """Only the keys of what `load_documents` would load up to `until`."""
    return _keys(connection, _between_documents(listing, after, until).limit(limit))


def load_versions(connection: Connection, query: Select[Any], *, after: int, limit: int) -> Sequence[EntryRow]:
    """At most `limit` rows of a query for versions, oldest first, from behind `after`."""
    return connection.execute(_between_versions(query, after, None).limit(limit)).all()


def list_versions(
    connection: Connection, query: Select[Any], *, after: int, until: int | None, limit: int
) -> list[Key]:
    """Only the keys of what `load_versions` would load up to `until`."""
    return _keys(connection, _between_versions(query, after, until).limit(limit))


def find_version(connection: Connection, query: Select[Any], version: int | None) -> EntryRow | None:
    """One row of a query for versions: that of `version`, or of the newest."""
    query = query.order_by(versions.c.version.desc()).limit(1)
    if version is not None:
        query = query.where(versions.c.version == version)
    return connection.execute(query).first()


def find_content(
    connection: Connection, record: RecordId, document: DocumentId, version: int, *, grant: StatementHash | None
) -> Row[Any] | None:
    """Object, leaf list and content capsule of a version: the compartment's, or the personal one of `grant`."""
    table = capsules if grant is None else personal_capsules
    query = (
        select(versions.c.object, versions.c.leaf_digests, *_capsule_columns(table))
        .join(table, _is_capsule_of_version(table, KeyRole.CONTENT))
        .where(versions.c.record == record, versions.c.document == document, versions.c.version == version)
    )
    if grant is not None:
        query = query.where(personal_capsules.c.grant == grant)
    return connection.execute(query).one_or_none()


def load_filings(
    connection: Connection, record: RecordId, wanted: Sequence[DocumentId]
) -> dict[DocumentId, tuple[str, ...]]:
    """The filings of each document in `wanted`, oldest first."""
    rows = connection.execute(
        select(filings.c.document, statements.c.jws)
        .join(statements, statements.c.hash == filings.c.hash)
        .where(filings.c.record == record, filings.c.document.in_(wanted))
        .order_by(filings.c.document, filings.c.serial)
    )
    found: dict[DocumentId, tuple[str, ...]] = {}
    for document, jws in rows:
        found[document] = (*found.get(document, ()), jws)
    return found


def load_deposit_grants(connection: Connection, wanted: Collection[StatementHash]) -> tuple[str, ...]:
    """The grants `wanted`, by hash."""
    rows = connection.execute(select(statements.c.jws).where(statements.c.hash.in_(wanted)).order_by(statements.c.hash))
    return tuple(rows.scalars())


def load_tombstones(
    connection: Connection, record: RecordId, *, after: DocumentId | None, until: DocumentId | None
) -> tuple[str, ...]:
    """The tombstones of documents behind `after` and up to `until`, by document."""
    query = (
        select(statements.c.jws)
        .join(tombstones, tombstones.c.hash == statements.c.hash)
        .where(tombstones.c.record == record)
        .order_by(tombstones.c.document, statements.c.event)
    )
    if after is not None:
        query = query.where(tombstones.c.document > after)
    if until is not None:
        query = query.where(tombstones.c.document <= until)
    return tuple(connection.execute(query).scalars())


def _versions_of(source: FromClause, table: FromClause) -> Select[Any]:
    """Versions with their metadata capsule from `table`, of the documents in `source`."""
    document = documents if isinstance(source, Join) else source
    joined = (
        source.join(versions, and_(versions.c.record == document.c.record, versions.c.document == document.c.document))
        .join(table, _is_capsule_of_version(table, KeyRole.METADATA))
        .join(_manifests, _manifests.c.hash == versions.c.manifest)
        .outerjoin(_reseals, _reseals.c.hash == versions.c.reseal)
    )
    return select(
        _manifests.c.jws.label("manifest"),
        _reseals.c.jws.label("reseal"),
        versions.c.grant.label("deposit_grant"),
        versions.c.metadata,
        *_capsule_columns(table),
    ).select_from(joined)


def _in_order(record: RecordId, scope: tuple[FromClause, ColumnElement[bool]]) -> Subquery:
    """The documents in `scope`, by document id.

    Sorted here, and not with all that hangs on them: what a page costs must hardly grow with the record. PostgreSQL
    keeps a sorted query as it stands, and goes on from row to row until the page is full. Left to itself it believes
    that next to no document is in scope, joins everything to all of them, and then sorts.
    """
    columns = (documents.c.record, documents.c.document, documents.c.head, documents.c.listed)
    query = select(*columns).select_from(_joined(scope)).where(documents.c.record == record, _IS_ALIVE)
    return query.order_by(documents.c.document).subquery("visible")


def _joined(scope: tuple[FromClause, ColumnElement[bool]]) -> Join:
    return documents.join(*scope)


def _in_compartments(grant: StatementHash) -> tuple[FromClause, ColumnElement[bool]]:
    return grant_compartments, and_(
        grant_compartments.c.grant == grant, grant_compartments.c.compartment == documents.c.compartment
    )


def _in_documents(grant: StatementHash) -> tuple[FromClause, ColumnElement[bool]]:
    return grant_documents, and_(grant_documents.c.grant == grant, grant_documents.c.document == documents.c.document)


def _is_capsule_of_version(table: FromClause, role: KeyRole) -> ColumnElement[bool]:
    return and_(
        table.c.record == versions.c.record,
        table.c.document == versions.c.document,
        table.c.version == versions.c.version,
        table.c.role == role.value,
    )


def _capsule_columns(table: FromClause) -> Sequence[ColumnElement[Any]]:
    return [column for column in table.c if column.name not in {"record", "digest"}]


def _within(query: Select[Any], record: RecordId, table: FromClause) -> Select[Any]:
    """The query, with the record said of each table: a sorted query does not pass on whose documents it is about."""
    return query.where(versions.c.record == record, table.c.record == record)


def _of_document(query: Select[Any], record: RecordId, document: DocumentId) -> Select[Any]:
    return query.where(documents.c.record == record, documents.c.document == document, _IS_ALIVE)


def _between_documents(listing: Listing, after: DocumentId | None, until: DocumentId | None) -> Select[Any]:
    query = listing.query
    if after is not None:
        query = query.where(listing.document > after)
    if until is not None:
        query = query.where(listing.document <= until)
    return query.order_by(listing.document)


def _between_versions(query: Select[Any], after: int, until: int | None) -> Select[Any]:
    query = query.where(versions.c.version > after)
    if until is not None:
        query = query.where(versions.c.version <= until)
    return query.order_by(versions.c.version)


def _keys(connection: Connection, query: Select[Any]) -> list[Key]:
    rows = connection.execute(query.with_only_columns(versions.c.document, versions.c.version))
    return [(document, version) for document, version in rows]
