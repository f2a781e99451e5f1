"""Grants: who may read or deposit what, until when (spec `statements.md`, "Grants")."""

from carnet_server.grants.access import Access, authorise, authorise_asking, authorise_patient, require_own_record
from carnet_server.grants.queries import GrantRow, find_grant

__all__ = [
    "Access",
    "GrantRow",
    "authorise",
    "authorise_asking",
    "authorise_patient",
    "find_grant",
    "require_own_record",
]
