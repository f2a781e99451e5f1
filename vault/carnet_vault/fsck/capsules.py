"""Capsules: every version has its two, and each is where it may be."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Table, and_, func, or_, select

from carnet_protocol.ids import Sha256Digest
from carnet_protocol.tuples import KeyRole
from carnet_server.errors import BadRequestError
from carnet_server.fsck import Finding
from carnet_server.tables import compartments, grant_documents, grants
from carnet_vault.capsules.decide import check_box
from carnet_vault.documents.views import view_capsule
from carnet_vault.tables import capsules, documents, locks, personal_capsules, versions

_ROWS_AT_ONCE: Final = 200


def check_capsules(connection: Connection) -> Iterator[Finding]:
    """Every capsule of a document without a tombstone.

    1. Each version has one for each of its two keys.
    2. Each has the digest and the form of one, and a lock statement of its record.
    3. Each is under a statement of its record and compartment that is not closed.
    4. Each personal one is under a grant of its record that names its document and its grantee, and was not ended.
    """
    # 1
    for row in connection.execute(_incomplete()):
        yield Finding("version_without_its_capsules", f"version {row.version} of document {row.document}")
    shared = select(
        capsules,
        compartments.c.record.label("of_record"),
        compartments.c.compartment.label("of_compartment"),
        compartments.c.closed,
        locks.c.record.label("lock_record"),
    ).outerjoin(compartments, compartments.c.hash == capsules.c.compartment_statement)
    for row in connection.execute(_alive(shared, capsules)).yield_per(_ROWS_AT_ONCE):
        where = f"{row.role} capsule of version {row.version} of document {row.document}"
        # 2
        yield from _check_form(row, where)
        # 3
        if (row.of_record, row.of_compartment) != (row.record, row.compartment):
            yield Finding("capsule_in_another_compartment", where)
        if row.closed is not None:
            yield Finding("capsule_under_a_closed_epoch", where)
    personal = (
        select(
            personal_capsules,
            grants.c.record.label("of_record"),
            grants.c.grantee.label("of_grantee"),
            grants.c.ended,
            grant_documents.c.document.label("of_document"),
            locks.c.record.label("lock_record"),
        )
        .outerjoin(grants, grants.c.hash == personal_capsules.c.grant)
        .outerjoin(
            grant_documents,
            and_(
                grant_documents.c.grant == personal_capsules.c.grant,
                grant_documents.c.document == personal_capsules.c.document,
            ),
        )
    )
    for row in connection.execute(_alive(personal, personal_capsules)).yield_per(_ROWS_AT_ONCE):
        where = f"personal {row.role} capsule of version {row.version} of document {row.document}"
        # 2
        yield from _check_form(row, where)
        # 4
        if (row.of_record, row.of_grantee, row.of_document) != (row.record, row.grantee, row.document):
            yield Finding("personal_capsule_of_another_grant", where)
        if row.ended is not None:
            yield Finding("personal_capsule_of_an_ended_grant", where)


def _incomplete() -> Select[Any]:
    """Versions that do not have exactly one capsule for each role."""
    return (
        select(versions.c.document, versions.c.version)
        .join(documents, and_(documents.c.record == versions.c.record, documents.c.document == versions.c.document))
        .outerjoin(
            capsules,
            and_(
                capsules.c.record == versions.c.record,
                capsules.c.document == versions.c.document,
                capsules.c.version == versions.c.version,
                or_(*(capsules.c.role == role.value for role in KeyRole)),
            ),
        )
        .where(documents.c.tombstoned_at.is_(None))
        .group_by(versions.c.record, versions.c.document, versions.c.version)
        .having(func.count(capsules.c.role) != len(KeyRole))
    )


def _alive(query: Select[Any], table: Table) -> Select[Any]:
    return (
        query.outerjoin(locks, locks.c.hash == table.c.lock_statement)
        .join(documents, and_(documents.c.record == table.c.record, documents.c.document == table.c.document))
        .where(documents.c.tombstoned_at.is_(None))
    )


def _check_form(row: Row[Any], where: str) -> Iterator[Finding]:
    if Sha256Digest.of(row.sealed) != row.digest:
        yield Finding("capsule_of_another_digest", where)
    try:
        check_box(view_capsule(row))
    except (BadRequestError, ValueError):  # the second for a role or a suite that is none
        yield Finding("capsule_malformed", where)
    if row.lock_record != row.record:
        yield Finding("capsule_under_another_lock", where)
