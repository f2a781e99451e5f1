"""What is still under which suite at the key service: a floor can be raised once nothing is below it. Never commits.

Counted is what somebody may still seal to, or open: locks that are not retired, account keys that people have now,
epochs that are not closed, and the keys sealed to their readers, by the header of each box.
"""

from typing import Final

from sqlalchemy import Connection, Executable, and_, func, select

from carnet_keyservice.tables import record_locks, sealed_keys
from carnet_protocol.suites import Suite
from carnet_server.tables import compartments, identities, people

_IS_OPEN: Final = and_(compartments.c.closed.is_(None), compartments.c.superseded.is_(None))
_HEADER_SUITE: Final = func.substr(sealed_keys.c.sealed, 7, 2)
"""Bytes 7 and 8 of a sealed box (spec `keys.md`, "Sealed boxes")."""


def count_locks(connection: Connection) -> dict[Suite, int]:
    """Record locks that are not retired, by suite."""
    return _count(
        connection,
        select(record_locks.c.suite, func.count())
        .where(record_locks.c.retired.is_(None))
        .group_by(record_locks.c.suite),
    )


def count_account_keys(connection: Connection) -> dict[Suite, int]:
    """The account keys that people have now, by suite."""
    return _count(
        connection,
        select(identities.c.suite, func.count())
        .join(people, people.c.current == identities.c.hash)
        .group_by(identities.c.suite),
    )


def count_epochs(connection: Connection) -> dict[Suite, int]:
    """Epochs of compartments that are not closed, by suite."""
    return _count(connection, select(compartments.c.suite, func.count()).where(_IS_OPEN).group_by(compartments.c.suite))


def count_sealed_keys(connection: Connection) -> dict[Suite, int]:
    """Keys of such epochs, by the suite under which they are sealed to a reader."""
    rows = connection.execute(
        select(_HEADER_SUITE, func.count())
        .select_from(sealed_keys)
        .join(compartments, compartments.c.hash == sealed_keys.c.compartment_statement)
        .where(_IS_OPEN)
        .group_by(_HEADER_SUITE)
    )
    return _with_zeros({int.from_bytes(bytes(suite), "big"): count for suite, count in rows})


def count_by_suite(connection: Connection) -> dict[str, int]:
    """All of these by name, such as `locks_under_suite_1`; suites of which nothing is left are there with 0."""
    kinds = {
        "locks": count_locks(connection),
        "account_keys": count_account_keys(connection),
        "epochs": count_epochs(connection),
        "sealed_keys": count_sealed_keys(connection),
    }
    return {f"{kind}_under_suite_{suite:d}": count for kind, counts in kinds.items() for suite, count in counts.items()}


def _count(connection: Connection, query: Executable) -> dict[Suite, int]:
    return _with_zeros({row[0]: row[1] for row in connection.execute(query)})


def _with_zeros(counts: dict[int, int]) -> dict[Suite, int]:
    return {suite: counts.get(int(suite), 0) for suite in Suite}
