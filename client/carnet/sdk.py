"""The public names of the SDK, from the modules where they live. `import carnet` brings them when they are used."""

from carnet.access import RecordAccess, open_access
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import Document, Listing, list_documents, list_versions
from carnet.documents.metadata import DocumentKind, Metadata
from carnet.documents.reading import OpenedDocument, open_document
from carnet.documents.spool import deposit_large
from carnet.erasure import erase_record, find_erasure
from carnet.errors import CarnetError
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.inbox import load_inbox
from carnet.records import open_record
from carnet.revocation import complete_revocation, revoke
from carnet.session import Session, open_session

__all__ = [
    "CarnetError",
    "Document",
    "DocumentKind",
    "Listing",
    "Metadata",
    "NewVersion",
    "OpenedDocument",
    "RecordAccess",
    "Session",
    "complete_revocation",
    "deposit_large",
    "deposit_small",
    "erase_record",
    "find_erasure",
    "list_documents",
    "list_versions",
    "load_inbox",
    "make_grant",
    "open_access",
    "open_document",
    "open_record",
    "open_session",
    "plan_depositing",
    "plan_reading",
    "revoke",
]
