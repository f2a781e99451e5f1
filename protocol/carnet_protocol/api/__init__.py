"""Bodies of requests and answers of both servers (spec `api.md`). Defined here and nowhere else."""

from carnet_protocol.api.access import AccessView, GrantsView, Inbox, InboxEntry
from carnet_protocol.api.capsules import Capsule, CapsulesPage, CapsuleSwap
from carnet_protocol.api.documents import (
    Deposit,
    DepositReceipts,
    Deposits,
    DocumentsPage,
    OpenedVersion,
    OwnDepositsPage,
    ResealDeposit,
    ResealDeposits,
    VersionEntry,
    VersionsView,
)
from carnet_protocol.api.events import Event, EventsPage
from carnet_protocol.api.officers import OfficerEntry, OfficerUpdate, ServerStatus
from carnet_protocol.api.people import DirectoryUpdate, PeopleUpdate, PersonBundle, PersonView, RecoveryView
from carnet_protocol.api.releases import ReleaseAnswer, ReleaseItem, ReleaseKind, ReleaseRequest
from carnet_protocol.api.service import Accepted, CardView, ErrorAnswer, ErrorBody
from carnet_protocol.api.statements import ErasureUpdate, LockView, RecordUpdate, SealedKey, SealedKeysView
from carnet_protocol.api.uploads import PartUrl, UploadRequest, UploadsAnswer, UploadView

__all__ = [
    "Accepted",
    "AccessView",
    "Capsule",
    "CapsuleSwap",
    "CapsulesPage",
    "CardView",
    "Deposit",
    "DepositReceipts",
    "Deposits",
    "DirectoryUpdate",
    "DocumentsPage",
    "ErasureUpdate",
    "ErrorAnswer",
    "ErrorBody",
    "Event",
    "EventsPage",
    "GrantsView",
    "Inbox",
    "InboxEntry",
    "LockView",
    "OfficerEntry",
    "OfficerUpdate",
    "OpenedVersion",
    "OwnDepositsPage",
    "PartUrl",
    "PeopleUpdate",
    "PersonBundle",
    "PersonView",
    "RecordUpdate",
    "RecoveryView",
    "ReleaseAnswer",
    "ReleaseItem",
    "ReleaseKind",
    "ReleaseRequest",
    "ResealDeposit",
    "ResealDeposits",
    "SealedKey",
    "SealedKeysView",
    "ServerStatus",
    "UploadRequest",
    "UploadView",
    "UploadsAnswer",
    "VersionEntry",
    "VersionsView",
]
