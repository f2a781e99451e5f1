"""Which statements about people a server accepts (spec `statements.md`, "People"). Values in, verdict out.

The signature was checked before anything is decided here: what these refusals say of a person, only those learn who
hold a key of theirs.
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
from carnet_server.people.standing import Standing


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


def decide_founding(signed: Signed[Identity], *, now: int) -> None:
    """A founding statement proves itself. That others named its root key as theirs before is nothing against it."""
    require_past(signed.body.issued_at, now=now)


def decide_successor(signed: Signed[Identity], person: PersonRow, *, now: int) -> None:
    """A later statement follows the newest one, by compare-and-set.

    Its root key need not be free: whoever names one without holding it gains nothing (spec `statements.md`, "People").
    """
    body = signed.body
    require_past(body.issued_at, now=now)
    if body.role is not person.role:
        raise InvalidStatementError("role_changed")
    if body.previous != person.current or body.serial != person.serial + 1:
        raise ConflictError("identity_not_newest")
    if body.serial >= MAX_IDENTITIES:
        raise TooLargeError("identities")


def decide_device(signed: Signed[Device], person: PersonRow, standing: Standing, *, now: int) -> None:
    """A device is enrolled by the root key, or by a device of the same person that was not shut out."""
    body = signed.body
    # Half of the room is the root key's alone: a thief's device that enrols others cannot lock the owner out.
    if len(standing.devices) >= (MAX_DEVICES if body.enrolled_by is None else MAX_DEVICES // 2):
        raise TooLargeError("devices")
    if body.enrolled_by is None:
        require_past(body.issued_at, now=now)
        return
    require_fresh(body.issued_at, now=now)
    require_device(standing.devices.get(body.enrolled_by), person)


def decide_removal(signed: Signed[Removal], standing: Standing, *, now: int) -> None:
    """A removal names a device of the person and a time that is not to come."""
    require_past(signed.body.issued_at, now=now)
    require_past(signed.body.since, now=now)
    if signed.body.device not in standing.devices:
        raise InvalidStatementError("device_unknown")
    if standing.known_removals >= MAX_REMOVALS:
        raise TooLargeError("removals")


def require_device(device: DeviceRow | None, person: PersonRow) -> Ed25519PublicKey:
    """The key of `device`, if it is one of `person` and was not shut out. Raises `InvalidStatementError`."""
    if device is None or device.identity != person.identity:
        raise InvalidStatementError("device_unknown")
    if device.is_void:
        raise InvalidStatementError("device_void")
    return device.device_key
