"""Who may be given personal capsules now: grantees of single documents, and who took over from them. Never commits."""

from collections.abc import Collection
from dataclasses import replace

from carnet_protocol.ids import RecordId, StatementHash
from carnet_server.deployment import Moment
from carnet_server.grants.readers import find_reader_statements
from carnet_vault.capsules.decide import DocumentGrant
from carnet_vault.capsules.queries import load_document_grants


def load_readers(
    moment: Moment, record: RecordId, wanted: Collection[StatementHash]
) -> dict[StatementHash, DocumentGrant]:
    """Those of the grants `wanted` that are of `record`, cover single documents and are not over."""
    grants = load_document_grants(moment.connection, record, wanted, now=moment.now)
    statements = {
        grantee: find_reader_statements(moment.connection, grantee, pinned=moment.deployment.pinned, now=moment.now)
        for grantee in {grant.grantee for grant in grants.values()}
    }
    return {
        name: replace(grant, grantee_statements=grant.grantee_statements | statements[grant.grantee])
        for name, grant in grants.items()
    }
