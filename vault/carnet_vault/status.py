"""The vault in numbers, for its officers: rows, and what is still under which suite. Never commits.

A floor can be raised once nothing is below it. Counted is what somebody may still open: versions and capsules of
documents without a tombstone, personal capsules of grants that are not over.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Executable, and_, func, select

from carnet_protocol.suites import Suite
from carnet_server.counting import count_rows
from carnet_server.tables import grants
from carnet_vault.tables import capsules, documents, erased_objects, objects, personal_capsules, uploads, versions

_COUNTED: Final = (documents, versions, objects, uploads, erased_objects)
_INNER: Final = (capsules.c.inner_suite, personal_capsules.c.inner_suite)
_OUTER: Final = (capsules.c.outer_suite, personal_capsules.c.outer_suite)


def count_all(connection: Connection, now: int) -> dict[str, int]:
    """The counts, by name, such as `versions` and `outer_locks_under_suite_1`."""
    counts = {table.name: count_rows(connection, table) for table in _COUNTED}
    kinds = {
        "digests": count_digests(connection),
        "inner_locks": count_capsules(connection, _INNER, now=now),
        "outer_locks": count_capsules(connection, _OUTER, now=now),
    }
    for kind, by_suite in kinds.items():
        counts |= {f"{kind}_under_suite_{suite:d}": by_suite.get(suite, 0) for suite in Suite}
    return counts


def count_digests(connection: Connection) -> dict[int, int]:
    """Versions by the suite of the digest in force, that of the manifest or of the newest reseal."""
    return _count(
        connection,
        select(versions.c.digest_suite, func.count())
        .join(
            documents,
            and_(documents.c.record == versions.c.record, documents.c.document == versions.c.document),
        )
        .where(documents.c.tombstoned_at.is_(None))
        .group_by(versions.c.digest_suite),
    )


def count_capsules(
    connection: Connection, columns: tuple[ColumnElement[int], ColumnElement[int]], *, now: int
) -> dict[int, int]:
    """Capsules, shared and personal ones together, by the suite in the column of each table."""
    shared, personal = columns
    found = _count(
        connection,
        select(shared, func.count())
        .join(
            documents,
            and_(documents.c.record == capsules.c.record, documents.c.document == capsules.c.document),
        )
        .where(documents.c.tombstoned_at.is_(None))
        .group_by(shared),
    )
    table = personal_capsules.c
    more = _count(
        connection,
        select(personal, func.count())
        .join(documents, and_(documents.c.record == table.record, documents.c.document == table.document))
        .join(grants, grants.c.hash == table.grant)
        .where(documents.c.tombstoned_at.is_(None), grants.c.ended.is_(None), grants.c.expires > now)
        .group_by(personal),
    )
    return {suite: found.get(suite, 0) + more.get(suite, 0) for suite in found.keys() | more.keys()}


def _count(connection: Connection, query: Executable) -> dict[int, int]:
    return {row[0]: row[1] for row in connection.execute(query)}
