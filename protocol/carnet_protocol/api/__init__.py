"""Bodies of requests and answers of both servers (spec `api.md`). Defined here and nowhere else."""

from carnet_protocol.api.access import AccessesPage, AccessView, GrantsView, Inbox, InboxEntry
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
from carnet_protocol.api.sealed_keys import OpenedKey, OpenedKeys, ResealedKeys, SealedKeysPage, StandingKeys
from carnet_protocol.api.service import Accepted, CardView, ErrorAnswer, ErrorBody
from carnet_protocol.api.statements import LockView, RecordUpdate, SealedKey, SealedKeysView
from carnet_protocol.api.uploads import PartUrl, UploadRequest, UploadsAnswer, UploadView

__all__ = [
    "Accepted",
    "AccessView",
    "AccessesPage",
    "Capsule",
    "CapsuleSwap",
    "CapsulesPage",
    "CardView",
    "Deposit",
    "DepositReceipts",
    "Deposits",
    "DirectoryUpdate",
    "DocumentsPage",
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
    "OpenedKey",
    "OpenedKeys",
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
    "ResealedKeys",
    "SealedKey",
    "SealedKeysPage",
    "SealedKeysView",
    "ServerStatus",
    "StandingKeys",
    "UploadRequest",
    "UploadView",
    "UploadsAnswer",
    "VersionEntry",
    "VersionsView",
]
