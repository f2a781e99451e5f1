"""Capsules in the database. Never commits."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, Update, and_, bindparam, delete, func, insert, select, update

from carnet_protocol.api import Capsule
from carnet_protocol.ids import CompartmentId, DocumentId, RecordId, Sha256Digest, StatementHash
from carnet_protocol.tuples import KeyRole
from carnet_server.tables import compartments, grant_documents, grants, people
from carnet_vault.capsules.decide import AcceptedSwap, DocumentGrant, Place, Standing
from carnet_vault.prepared_lists import PreparedList
from carnet_vault.tables import capsules, documents, personal_capsules

_later: Final = compartments.alias("later")
_OF_DOCUMENT: Final = and_(documents.c.record == capsules.c.record, documents.c.document == capsules.c.document)
_NEWEST: Final = PreparedList(
    select(compartments.c.compartment, compartments.c.hash).where(
        compartments.c.record == bindparam("of"),
        compartments.c.superseded.is_(None),
        compartments.c.epoch
        == select(func.max(_later.c.epoch))
        .where(
            _later.c.record == compartments.c.record,
            _later.c.compartment == compartments.c.compartment,
            _later.c.superseded.is_(None),
        )
        .scalar_subquery(),
    ),
    compartments.c.compartment,
)
_INSERT: Final = insert(capsules)
_INSERT_PERSONAL: Final = insert(personal_capsules)
# The record goes first: it says in which partition to look.
_DELETE_OF_GRANT: Final = delete(personal_capsules).where(
    personal_capsules.c.record == select(grants.c.record).where(grants.c.hash == bindparam("which")).scalar_subquery(),
    personal_capsules.c.grant == bindparam("which"),
)
_NEW: Final = "new_"


def _replacement(table: Table, place: Sequence[str]) -> Update:
    return (
        update(table)
        .where(*(table.c[name] == bindparam(_NEW + name) for name in place))
        .values({column.name: bindparam(_NEW + column.name) for column in table.c if column.name not in place})
    )


_REPLACE: Final = _replacement(capsules, ("record", "document", "version", "role"))
_REPLACE_PERSONAL: Final = _replacement(personal_capsules, ("record", "document", "version", "grant", "role"))


def load_newest(
    connection: Connection, record: RecordId, wanted: Collection[CompartmentId]
) -> dict[CompartmentId, StatementHash]:
    """The newest statement of each compartment in `wanted` that the record has."""
    rows = _NEWEST.rows(connection, list(wanted), of=record.raw)
    return {CompartmentId(compartment): StatementHash(name) for compartment, name in rows}


def insert_capsules(connection: Connection, record: RecordId, new: Sequence[Capsule]) -> None:
    """Keep capsules where none stand."""
    for table, rows in (
        (_INSERT, [_values(record, item) for item in new if item.personal is None]),
        (_INSERT_PERSONAL, [_values(record, item) for item in new if item.personal is not None]),
    ):
        if rows:
            connection.execute(table, rows)


def replace_capsules(connection: Connection, record: RecordId, swaps: Sequence[AcceptedSwap]) -> None:
    """Put the capsules of `swaps` where their places are, each over the one that stands there, if one does."""
    insert_capsules(connection, record, [swap.capsule for swap in swaps if swap.is_new])
    for table, statement in ((capsules, _REPLACE), (personal_capsules, _REPLACE_PERSONAL)):
        rows = [
            {f"{_NEW}{name}": value for name, value in _values(record, swap.capsule).items()}
            for swap in swaps
            if not swap.is_new and (swap.capsule.personal is None) == (table is capsules)
        ]
        if rows:
            connection.execute(statement, rows)


def load_standing(connection: Connection, record: RecordId, wanted: Collection[DocumentId]) -> dict[Place, Standing]:
    """What stands in every place of the documents `wanted`."""
    standing: dict[Place, Standing] = {}
    for row in connection.execute(
        select(
            capsules.c.document, capsules.c.version, capsules.c.role, capsules.c.digest, capsules.c.compartment
        ).where(capsules.c.record == record, capsules.c.document.in_(wanted))
    ):
        place = Place(row.document, row.version, KeyRole(row.role), None)
        standing[place] = Standing(row.digest, row.compartment)
    personal = personal_capsules.c
    for row in connection.execute(
        select(personal.document, personal.version, personal.role, personal.grant, personal.digest).where(
            personal.record == record, personal.document.in_(wanted)
        )
    ):
        place = Place(row.document, row.version, KeyRole(row.role), row.grant)
        standing[place] = Standing(row.digest, None)
    return standing


def delete_personal_capsules(connection: Connection, grant: StatementHash) -> None:
    """Delete every personal capsule of `grant`, which has ended: nobody may fetch one any more."""
    connection.execute(_DELETE_OF_GRANT, {"which": grant})


def load_filed(
    connection: Connection, record: RecordId, wanted: Collection[DocumentId]
) -> dict[DocumentId, CompartmentId]:
    """Where those of the documents `wanted` are filed that are there and have no tombstone."""
    rows = connection.execute(
        select(documents.c.document, documents.c.compartment).where(
            documents.c.record == record, documents.c.document.in_(wanted), documents.c.tombstoned_at.is_(None)
        )
    )
    return {row.document: row.compartment for row in rows}


def load_document_grants(
    connection: Connection, record: RecordId, wanted: Collection[StatementHash], *, now: int
) -> dict[StatementHash, DocumentGrant]:
    """Those of the grants `wanted` that are of `record`, cover single documents and are not over."""
    rows = connection.execute(
        select(
            grants.c.hash, grants.c.grantee, grants.c.grantee_statement, people.c.current, grant_documents.c.document
        )
        .join(grant_documents, grant_documents.c.grant == grants.c.hash)
        .join(people, people.c.identity == grants.c.grantee)
        .where(grants.c.record == record, grants.c.hash.in_(wanted), grants.c.ended.is_(None), grants.c.expires > now)
    ).all()
    covered: dict[StatementHash, set[DocumentId]] = {}
    for row in rows:
        covered.setdefault(row.hash, set()).add(row.document)
    return {
        row.hash: DocumentGrant(
            row.grantee, frozenset({row.grantee_statement, row.current}), frozenset(covered[row.hash])
        )
        for row in rows
    }


def find_listed(connection: Connection, record: RecordId, wanted: Collection[DocumentId]) -> dict[DocumentId, int]:
    """The newest version of each document in `wanted` whose capsules are both where the document is filed."""
    rows = connection.execute(
        select(capsules.c.document, capsules.c.version)
        .join(documents, _OF_DOCUMENT)
        .where(
            capsules.c.record == record,
            capsules.c.document.in_(wanted),
            capsules.c.compartment == documents.c.compartment,
        )
        .group_by(capsules.c.document, capsules.c.version)
        .having(func.count() == len(KeyRole))
        .order_by(capsules.c.document, capsules.c.version)
    )
    return {row.document: row.version for row in rows}


def find_split(connection: Connection, record: RecordId, wanted: Collection[DocumentId]) -> bool:
    """Whether a version of a document in `wanted` has its two capsules in two compartments."""
    return (
        connection.execute(
            select(capsules.c.document)
            .where(capsules.c.record == record, capsules.c.document.in_(wanted))
            .group_by(capsules.c.document, capsules.c.version)
            .having(func.count(capsules.c.compartment.distinct()) > 1)
            .limit(1)
        ).first()
        is not None
    )


def find_elsewhere(connection: Connection, record: RecordId, wanted: Collection[DocumentId]) -> bool:
    """Whether a version of a document in `wanted` has a capsule in another compartment than where it is filed."""
    return (
        connection.execute(
            select(capsules.c.document)
            .join(documents, _OF_DOCUMENT)
            .where(
                capsules.c.record == record,
                capsules.c.document.in_(wanted),
                capsules.c.compartment != documents.c.compartment,
            )
            .limit(1)
        ).first()
        is not None
    )


def is_referred_to(connection: Connection, record: RecordId, compartment_statement: StatementHash) -> bool:
    """Whether a capsule of a document of `record` without a tombstone is under `compartment_statement`."""
    return connection.execute(
        select(
            select(capsules.c.role)
            .join(documents, _OF_DOCUMENT)
            .where(
                capsules.c.record == record,
                capsules.c.compartment_statement == compartment_statement,
                documents.c.tombstoned_at.is_(None),
            )
            .exists()
        )
    ).scalar_one()


def _values(record: RecordId, capsule: Capsule) -> dict[str, Any]:
    """The row of `capsule`, in whichever of the two tables it belongs."""
    shared = {
        "record": record,
        "document": capsule.document,
        "version": capsule.version,
        "role": capsule.role.value,
        "lock_statement": capsule.lock_statement,
        "inner_suite": int(capsule.inner_suite),
        "outer_suite": int(capsule.outer_suite),
        "digest": Sha256Digest.of(capsule.sealed),
        "sealed": capsule.sealed,
    }
    if capsule.compartment is not None:
        recipient = capsule.compartment
        return {
            **shared,
            "compartment": recipient.compartment,
            "compartment_statement": recipient.compartment_statement,
        }
    if capsule.personal is None:
        raise AssertionError("internal: a capsule without a recipient")
    personal = capsule.personal
    return {
        **shared,
        "grant": personal.grant,
        "grantee": personal.grantee,
        "grantee_statement": personal.grantee_statement,
    }
