"""Rows as the models of `carnet_protocol.api`.

Everything in these rows was checked when it was deposited. `model_construct` does not check it once more for each
reader, which would cost more than the query.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from carnet_protocol.api import Capsule, VersionEntry
from carnet_protocol.api.capsules import CompartmentRecipient, PersonalRecipient
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole


def view_capsule(row: Row[Any]) -> Capsule:
    """The capsule in a row that has the columns of `capsules` or of `personal_capsules`."""
    compartment = personal = None
    if "grant" in row._fields:
        personal = PersonalRecipient.model_construct(
            grant=row.grant, grantee=row.grantee, grantee_statement=row.grantee_statement
        )
    else:
        compartment = CompartmentRecipient.model_construct(
            compartment=row.compartment, compartment_statement=row.compartment_statement
        )
    return Capsule.model_construct(
        document=row.document,
        version=row.version,
        role=KeyRole(row.role),
        compartment=compartment,
        personal=personal,
        lock_statement=row.lock_statement,
        inner_suite=Suite(row.inner_suite),
        outer_suite=Suite(row.outer_suite),
        sealed=row.sealed,
    )


def view_entry(row: Row[Any], filings: Sequence[str]) -> VersionEntry:
    """The version in a row of `queries`."""
    return VersionEntry.model_construct(
        manifest=row.manifest,
        reseal=row.reseal,
        metadata=row.metadata,
        metadata_capsule=view_capsule(row),
        filings=tuple(filings),
    )
