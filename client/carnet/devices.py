"""A person's devices: listing them, shutting a lost one out (attack 14)."""

from dataclasses import dataclass

from carnet.errors import UnlockError, UsageError
from carnet.identity import fetch_own, open_own_device_name, renew_account_key
from carnet.keys import RecoverySecret
from carnet.session import Session
from carnet.slots import Slot
from carnet_protocol.authority import Person, verify_person
from carnet_protocol.errors import SignatureError
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Removal, Signed


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A device of this person. `name` is None if it was sealed under an account key that this device never had."""

    device: StatementHash
    name: str | None
    enrolled_at: int
    void_from: int | None
    is_this: bool


def list_devices(session: Session) -> list[OwnDevice]:
    """Every device of this person, oldest first. Raises a `DataError` or a `TransportError`."""
    person = fetch_own(session)
    return [
        OwnDevice(
            device=name,
            name=open_own_device_name(session, enrolled.statement),
            enrolled_at=enrolled.statement.body.issued_at,
            void_from=enrolled.void_from,
            is_this=name == session.device,
        )
        for name, enrolled in person.devices.items()
    ]


def remove_device(
    session: Session, device: StatementHash, recovery_secret: RecoverySecret, *, since: int
) -> tuple[Slot, ...]:
    """Shut `device` out, with what it enrolled and granted since the time `since`, and renew the account key.

    A patient's compartments have to be renewed too, for a thief may hold their keys: `revocation.remove_lost_device`
    does both. Returns the ways to unlock that fell away.

    1. The device is one of this person's.
    2. This device is still one afterwards.
    3. The removal goes out together with the new account key.

    Raises `UsageError`, `UnlockError`, a `DataError` or a `TransportError`.
    """
    person = fetch_own(session)
    # 1
    if device not in person.devices:
        raise UsageError("there is no such device: see `carnet device list`")
    removal = Signed.sign(
        Removal(identity=session.identity, device=device, since=since, issued_at=session.clock()),
        recovery_secret.derive_root_signer(),
    )
    # 2
    after = verify_person(
        person.identity,
        person.chain,
        [enrolled.statement for enrolled in person.devices.values()],
        [*person.removals, _check_root(removal, person)],
    )
    if after.devices[session.device].void_from is not None:
        raise UsageError(
            "this very device falls with that one, which enrolled it: restore with the words in a new home, and remove "
            "the lost device from there"
        )
    # 3
    return renew_account_key(session, recovery_secret, removal=removal)


def _check_root(removal: Signed[Removal], person: Person) -> Signed[Removal]:
    try:
        removal.verify(person.root_key)
    except SignatureError as error:
        raise UnlockError("these words are not those of this identity's newest kit: take the newest page") from error
    return removal
