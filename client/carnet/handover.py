"""A clinician's keys change hands: to own new keys after a renewal, or to a successor (DESIGN section 8).

Compartment keys that patients sealed to the old keys are sealed to the new ones, by whoever holds the old ones; the
patients need not be there, and see it. What is sealed for single documents stays with the old keys, which the keyring
keeps; a successor gets it when the patient's client next makes new locks, as well as every new epoch (`readers`).
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from carnet.access import RecordAccess, open_access
from carnet.boxes import seal_compartment_key
from carnet.errors import CarnetError, DataError, UnlockError, UsageError
from carnet.grant_book import statements_path
from carnet.identity import fetch_own
from carnet.inbox import load_inbox
from carnet.keys import RecoverySecret
from carnet.outbox import Step
from carnet.session import Session
from carnet.transport import ServerName
from carnet_protocol.api import Accepted, DirectoryUpdate, RecordUpdate, SealedKey
from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import RecordId
from carnet_protocol.statements import Identity, Permission, Signed, Succession
from carnet_protocol.wire import WireModel

DIRECTORY_PATH = "/v1/directory"


class _HandedOver(WireModel):
    record: RecordId
    sealed_keys: Annotated[tuple[SealedKey, ...], Field(strict=False)]


class _HandoverFile(WireModel):
    format: Literal["carnet.handover.v1"]
    records: Annotated[tuple[_HandedOver, ...], Field(strict=False)]


def reseal_own(session: Session) -> tuple[int, list[str]]:
    """Seal every compartment key that patients gave to this practitioner to their newest account key.

    To be run after the account key was renewed and the registrar attested it. Returns how many records were done, and
    what could not be. Raises a `DataError` or a `TransportError`.
    """
    reader = fetch_own(session).current
    done = 0
    problems: list[str] = []
    for record, sealed_keys in _reseal_all(session, reader, problems):
        _post(session, record, sealed_keys)
        done += 1
    return done, problems


def hand_over(
    session: Session, successor: Signed[Identity], recovery_secret: RecoverySecret
) -> tuple[bytes, list[str]]:
    """Let `successor`, verified, take over this practitioner's grants, and seal the compartment keys to them.

    Returns a file for the successor's `take_over`, which they alone can use, and what could not be handed over. Raises
    `UnlockError` for other words than the newest, a `DataError` or a `TransportError`.
    """
    person = fetch_own(session)
    root = recovery_secret.derive_root_signer()
    if root.public_key != person.root_key:
        raise UnlockError("these words are not those of this identity's newest recovery kit: take the newest page")
    founding = successor.body.founding
    body = Succession(
        predecessor=person.identity,
        successor=type(person.identity)(successor.hash.raw) if founding is None else founding,
        successor_statement=successor.hash,
        issued_at=session.clock(),
    )
    problems: list[str] = []
    records = tuple(
        _HandedOver(record=record, sealed_keys=sealed_keys)
        for record, sealed_keys in _reseal_all(session, successor, problems)
    )
    update = DirectoryUpdate(statements=(Signed.sign(body, root).text,))
    session.outbox.send(
        [Step(ServerName.KEYSERVICE, DIRECTORY_PATH, update), Step(ServerName.VAULT, DIRECTORY_PATH, update)]
    )
    file = _HandoverFile(format="carnet.handover.v1", records=records)
    return format_canonical_json(file.model_dump(mode="json")), problems


def take_over(session: Session, handover: bytes) -> tuple[int, list[str]]:
    """Give the key service what `hand_over` sealed to this successor, once the registrar attested the succession.

    Returns how many records were taken over, and what was refused. Raises `UsageError` for another file.
    """
    try:
        file = _HandoverFile.model_validate(parse_canonical_json(handover))
    except (MalformedError, ValidationError) as error:
        raise UsageError("this is not a handover file: ask the one who hands over for it") from error
    done = 0
    problems: list[str] = []
    for entry in file.records:
        try:
            _post(session, entry.record, entry.sealed_keys)
        except CarnetError as error:
            problems.append(str(error))
        else:
            done += 1
    return done, problems


def _reseal_all(
    session: Session, reader: Signed[Identity], problems: list[str]
) -> Iterable[tuple[RecordId, tuple[SealedKey, ...]]]:
    session.require_suite(reader.body.suite, "the keys that would take over")
    inbox = load_inbox(session)
    problems += inbox.problems
    for received in inbox.grants:
        if received.grant.body.permission is not Permission.READ or not received.grant.body.compartments:
            continue
        try:
            # What is sealed to old keys of a suite below the floor is read once more, to be sealed to the new ones.
            with session.lifting():
                access = open_access(session, received.record, received.grant.hash)
        except (DataError, CarnetError) as error:
            problems.append(str(error))
            continue
        yield received.record, _reseal(access, reader)


def _reseal(access: RecordAccess, reader: Signed[Identity]) -> tuple[SealedKey, ...]:
    return tuple(
        seal_compartment_key(compartment.keys[epoch.hash], compartment=epoch, grant=access.grant_hash, reader=reader)
        for compartment in access.compartments.values()
        for epoch in compartment.open_epochs
        if epoch.hash in compartment.keys
    )


def _post(session: Session, record: RecordId, sealed_keys: tuple[SealedKey, ...]) -> None:
    update = RecordUpdate(statements=(), sealed_keys=sealed_keys, capsules=())
    session.keyservice.post(statements_path(record), update, Accepted)
