"""Which statements about people a server accepts (spec `statements.md`, "People"). Values in, verdict out.

Each function returns the key that must have signed, or raises: the caller checks the signature before it acts.
"""

from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.limits import (
    ADMISSION_WINDOW_SECONDS,
    CLOCK_SKEW_SECONDS,
    MAX_DEVICES,
    MAX_IDENTITIES,
    MAX_REMOVALS,
    STATEMENT_WINDOW_SECONDS,
)
from carnet_protocol.statements import Device, Identity, Removal, Signed
from carnet_server.errors import ConflictError, InvalidStatementError, TooLargeError
from carnet_server.people.queries import DeviceRow, PersonRow


def require_recent(issued_at: int, *, now: int) -> None:
    """Refuse a device's statement that is older than 30 days or from the future. Raises `InvalidStatementError`."""
    if issued_at < now - STATEMENT_WINDOW_SECONDS:
        raise InvalidStatementError("issued_too_long_ago")
    require_past(issued_at, now=now)


def require_fresh(issued_at: int, *, now: int) -> None:
    """Refuse what a device signed to let somebody in if it is older than a day or from the future.

    Clients judge a shut-out device by the times that it wrote: they must lie close to those at which servers heard.
    Raises `InvalidStatementError`.
    """
    if issued_at < now - ADMISSION_WINDOW_SECONDS:
        raise InvalidStatementError("issued_too_long_ago")
    require_past(issued_at, now=now)


def require_past(issued_at: int, *, now: int) -> None:
    """Refuse a statement from the future. Raises `InvalidStatementError`."""
    if issued_at > now + CLOCK_SKEW_SECONDS:
        raise InvalidStatementError("issued_in_the_future")


def decide_founding(signed: Signed[Identity], *, same_root: PersonRow | None, now: int) -> Ed25519PublicKey:
    """A founding statement proves itself; its root key founds one person alone."""
    require_past(signed.body.issued_at, now=now)
    if same_root is not None:
        raise ConflictError("root_key_in_use")
    return signed.body.root_key


def decide_successor(
    signed: Signed[Identity], person: PersonRow, *, same_root: PersonRow | None, now: int
) -> Ed25519PublicKey:
    """A later statement follows the newest one, by compare-and-set, and is signed by its root key."""
    body = signed.body
    require_past(body.issued_at, now=now)
    if body.role is not person.role:
        raise InvalidStatementError("role_changed")
    if body.previous != person.current or body.serial != person.serial + 1:
        raise ConflictError("identity_not_newest")
    if same_root is not None and same_root.identity != person.identity:
        raise ConflictError("root_key_in_use")
    if body.serial >= MAX_IDENTITIES:
        raise TooLargeError("identities")
    return person.root_key


def decide_device(
    signed: Signed[Device], person: PersonRow, *, enroller: DeviceRow | None, known_devices: int, now: int
) -> Ed25519PublicKey:
    """A device is enrolled by the root key, or by a device of the same person that was not shut out."""
    body = signed.body
    # Half of the room is the root key's alone: a thief's device that enrols others cannot lock the owner out.
    if known_devices >= (MAX_DEVICES if body.enrolled_by is None else MAX_DEVICES // 2):
        raise TooLargeError("devices")
    if body.enrolled_by is None:
        require_past(body.issued_at, now=now)
        return person.root_key
    require_fresh(body.issued_at, now=now)
    return require_device(enroller, person)


def decide_removal(
    signed: Signed[Removal], person: PersonRow, *, device: DeviceRow | None, known_removals: int, now: int
) -> Ed25519PublicKey:
    """A removal names a device of the person and a time that is not to come."""
    require_past(signed.body.issued_at, now=now)
    require_past(signed.body.since, now=now)
    if device is None or device.identity != person.identity:
        raise InvalidStatementError("device_unknown")
    if known_removals >= MAX_REMOVALS:
        raise TooLargeError("removals")
    return person.root_key


def require_device(device: DeviceRow | None, person: PersonRow) -> Ed25519PublicKey:
    """The key of `device`, if it is one of `person` and was not shut out. Raises `InvalidStatementError`."""
    if device is None or device.identity != person.identity:
        raise InvalidStatementError("device_unknown")
    if device.is_void:
        raise InvalidStatementError("device_void")
    return device.device_key
