"""Everything that a person or a server decides, as signed statements (spec `statements.md`).

>>> from carnet_protocol.statements import Grant, Signed
>>> signed = Signed.parse(text, Grant)  # doctest: +SKIP
"""

from carnet_protocol.statements._base import Signed, Statement
from carnet_protocol.statements.deployment import Receipt, Server, ServiceCard, Witness
from carnet_protocol.statements.directory import Attestation, Profession, RevocationList, Succession
from carnet_protocol.statements.documents import Manifest, Reseal, Tombstone, TombstoneReason
from carnet_protocol.statements.grants import Grant, Permission, Purpose, Revocation
from carnet_protocol.statements.operations import Count, Destruction, RotationReport
from carnet_protocol.statements.people import Device, Identity, Recovery, Removal, Role
from carnet_protocol.statements.records import Closing, Compartment, Erasure, Filing, Lock

KINDS: dict[str, type[Statement]] = {
    kind.typ(): kind
    for kind in (
        Identity,
        Device,
        Removal,
        Recovery,
        Attestation,
        RevocationList,
        Succession,
        Compartment,
        Closing,
        Lock,
        Filing,
        Erasure,
        Manifest,
        Tombstone,
        Reseal,
        Grant,
        Revocation,
        ServiceCard,
        Receipt,
        RotationReport,
        Destruction,
    )
}

__all__ = [
    "KINDS",
    "Attestation",
    "Closing",
    "Compartment",
    "Count",
    "Destruction",
    "Device",
    "Erasure",
    "Filing",
    "Grant",
    "Identity",
    "Lock",
    "Manifest",
    "Permission",
    "Profession",
    "Purpose",
    "Receipt",
    "Recovery",
    "Removal",
    "Reseal",
    "Revocation",
    "RevocationList",
    "Role",
    "RotationReport",
    "Server",
    "ServiceCard",
    "Signed",
    "Statement",
    "Succession",
    "Tombstone",
    "TombstoneReason",
    "Witness",
]
