"""Rotation of record locks by key service and vault, with no patient present (spec `keys.md`, "Rotation").

    rotator = LockRotator(LockStore(engine, writer, deployment, keys, server_key, clock), vault)
    rotated = rotator.rotate(records, order)
    rotator.retire(rotated, order, grace_seconds=600)

Every step may be done again. A stop between any two leaves each capsule under a lock that opens, and the next run
finishes what was begun.
"""

from carnet_keyservice.lock_rotation.locks import LockStore
from carnet_keyservice.lock_rotation.procedure import LockRotator
from carnet_keyservice.lock_rotation.report import (
    STILL_NEEDED,
    LeftCapsule,
    LeftReason,
    RecordRotation,
    RecordState,
    RotationOrder,
)

__all__ = [
    "STILL_NEEDED",
    "LeftCapsule",
    "LeftReason",
    "LockRotator",
    "LockStore",
    "RecordRotation",
    "RecordState",
    "RotationOrder",
]
