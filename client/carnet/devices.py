"""A person's devices: listing them, shutting a lost one out (attack 14)."""

from dataclasses import dataclass

from carnet.errors import CarnetError, UnfinishedError, UnlockError, UsageError
from carnet.identity import PEOPLE_PATH, fetch_own, open_own_device_name
from carnet.keys import RecoverySecret
from carnet.restrictions import find_own_person, tell_each
from carnet.session import Session
from carnet_protocol.api import PeopleUpdate
from carnet_protocol.authority import Person, verify_person
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Receipt, Removal, Signed


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """A device of this person. `name` is None if it was sealed under an account key that this device never had."""

    device: StatementHash
    name: str | None
    enrolled_at: int
    void_from: int | None
    is_this: bool


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """What became of a removal at each server: its receipt, or the error; what failed is sent again later."""

    removal: Signed[Removal]
    vault: Signed[Receipt] | CarnetError
    keyservice: Signed[Receipt] | CarnetError

    @property
    def is_everywhere(self) -> bool:
        """Whether both servers took it."""
        return isinstance(self.vault, Signed) and isinstance(self.keyservice, Signed)


def list_devices(session: Session) -> list[OwnDevice]:
    """Every device of this person, oldest first. Raises a `DataError` or a `TransportError`."""
    return describe_devices(session, fetch_own(session))


def describe_devices(session: Session, person: Person) -> list[OwnDevice]:
    """Every device of `person`, who is this session's, oldest first."""
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


def shut_out(session: Session, device: StatementHash, recovery_secret: RecoverySecret, *, since: int) -> RemovalReport:
    """Shut `device` out, with what it enrolled and granted since the time `since`, at each server that can be told.

    The root key's signature suffices, so nothing is asked of the two servers together. What the device may hold has to
    be renewed too: `revocation.remove_lost_device` does both. Run again, the same removal is sent.

    1. The device is one of this person's, as far as the keyring or a server proves.
    2. The words are those of the newest root key.
    3. This device is still one afterwards.
    4. Both servers are told at the same time, each by itself.

    Raises `UsageError` or `UnlockError`.
    """
    # 1
    person = find_own_person(session, [session.keyservice])
    if device not in person.devices:
        person = find_own_person(session, [session.keyservice, session.vault])
    if device not in person.devices:
        raise UsageError("there is no such device: see `carnet device list`")
    # 2
    root = recovery_secret.derive_root_signer()
    if root.public_key != person.root_key:
        raise UnlockError("these words are not those of this identity's newest kit: take the newest page")
    # 3
    standing = [one for one in person.removals if one.body.device == device and one.body.since <= since]
    body = Removal(identity=session.identity, device=device, since=since, issued_at=session.clock())
    removal = standing[0] if standing else Signed.sign(body, root)
    after = verify_person(
        person.identity,
        person.chain,
        [enrolled.statement for enrolled in person.devices.values()],
        [*person.removals, removal],
    )
    if after.devices[session.device].void_from is not None:
        raise UsageError(
            "this very device falls with that one, which enrolled it: restore with the words in a new home, and remove "
            "the lost device from there"
        )
    # 4
    outcomes = tell_each(session, PEOPLE_PATH, PeopleUpdate(statements=(removal.text,)))
    return RemovalReport(removal, outcomes.vault, outcomes.keyservice)


def check_keys_are_own(person: Person) -> None:
    """Check that the account key was renewed since the last device was shut out, which may hold the one before.

    Until then nothing new is to be sealed to it. Raises `UnfinishedError`.
    """
    if any(removal.body.issued_at > person.current.body.issued_at for removal in person.removals):
        raise UnfinishedError(
            "a device was shut out and your own keys are still those that it knows: run `carnet device remove` for it "
            "again, with the words of your recovery kit"
        )
