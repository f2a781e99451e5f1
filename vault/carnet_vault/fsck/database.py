"""Everything in the database, on one snapshot."""

from collections.abc import Iterator

from sqlalchemy import Connection

from carnet_protocol.statements import Lock
from carnet_server.deployment import Deployment
from carnet_server.fsck import (
    Finding,
    RowRule,
    Signers,
    check_erased,
    check_log,
    check_rows,
    check_rule,
    check_statements,
    survive,
)
from carnet_vault.fsck.capsules import check_capsules
from carnet_vault.fsck.documents import check_documents
from carnet_vault.fsck.versions import check_versions
from carnet_vault.tables import locks, metadata

_LOCKS = RowRule(Lock, locks, ("record", "version", "expires"))


def check_database(connection: Connection, deployment: Deployment) -> Iterator[Finding]:
    """Every check that needs no store.

    1. The log, the statements, and the rows of the shared nouns; nothing else of an erased record.
    2. Rows of lock statements.
    3. Each version is what its manifest or its newest reseal says.
    4. Each document is what its versions, filings and tombstones make it.
    5. Each version has its capsules, each capsule its right place.

    A row that cannot even be read cuts its own check short, and no other.
    """
    # 1
    yield from survive(check_log(connection, deployment.fingerprint), "log")
    yield from survive(_check_statements(connection, deployment), "statements")
    yield from survive(check_rows(connection), "rows of the shared nouns")
    yield from survive(check_erased(connection, metadata), "erased records")
    # 2
    yield from survive(check_rule(connection, _LOCKS), "lock statements")
    # 3
    yield from survive(check_versions(connection), "versions")
    # 4
    yield from survive(check_documents(connection), "documents")
    # 5
    yield from survive(check_capsules(connection), "capsules")


def _check_statements(connection: Connection, deployment: Deployment) -> Iterator[Finding]:
    yield from check_statements(connection, Signers.load(connection, deployment))
