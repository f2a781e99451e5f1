"""A clinician's keys change hands: to own new keys after a renewal, or to a successor (DESIGN section 8).

Compartment keys that patients sealed to the old keys are sealed to the new ones, by whoever holds the old ones; the
patients need not be there, and see it. What is sealed for single documents stays with the old keys, which the keyring
keeps; a successor gets it when the patient's client next makes new locks, as well as every new epoch (`readers`).

Hundreds of patients go in a few requests. What is done is what stands at the key service, so a job that was cut is run
again: it finds what stands and does the rest. One grant that ended, or does not verify, is named and bars no other.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from carnet.boxes import seal_compartment_key
from carnet.errors import UnlockError, UsageError
from carnet.identity import fetch_own
from carnet.keys import RecoverySecret
from carnet.outbox import Step
from carnet.patients import Patient, SkippedGrant, load_at_vault, load_patients
from carnet.people import parse_succession
from carnet.progress import OnStep, Progress, ignore_progress
from carnet.progress import Step as Phase
from carnet.resealing import Resealing, ResealingOutcome
from carnet.session import Session
from carnet.succession import ask_person
from carnet.transport import ServerName
from carnet_protocol.api import DirectoryUpdate, SealedKey
from carnet_protocol.authority import Person
from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Identity, Signed, Succession
from carnet_protocol.wire import WireModel

DIRECTORY_PATH = "/v1/directory"


class _HandedOver(WireModel):
    record: RecordId
    sealed_keys: Annotated[tuple[SealedKey, ...], Field(strict=False)]


class _HandoverFile(WireModel):
    format: Literal["carnet.handover.v1"]
    records: Annotated[tuple[_HandedOver, ...], Field(strict=False)]


@dataclass(frozen=True, slots=True)
class HandoverReport:
    """How many grants are open to the new keys, how many of them were before, and which are not, and why."""

    done: int
    already: int
    skipped: Sequence[SkippedGrant]


def reseal_own(session: Session, *, on_step: OnStep = ignore_progress) -> HandoverReport:
    """Seal every compartment key that patients gave to this practitioner to their newest account key.

    To be run after the account key was renewed and the registrar attested it; cut anywhere, run it again. Raises a
    `DataError` or a `TransportError`.
    """
    reader = fetch_own(session).current
    session.require_suite(reader.body.suite, "your own keys")
    job = Resealing(session, reader, on_step)
    patients = _Round(session, on_step, expected=load_at_vault(session))
    for patient in patients:
        job.add(patient, _reseal(session, patient, reader, without=patient.sealed_to(reader)))
    patients.name_missing(_WITHHELD)
    return _report(job.finish(), patients.skipped)


def hand_over(
    session: Session,
    successor: Signed[Identity],
    recovery_secret: RecoverySecret,
    *,
    store: Callable[[bytes], None],
    on_step: OnStep = ignore_progress,
) -> HandoverReport:
    """Let `successor`, verified, take over this practitioner's grants, and seal the compartment keys to them.

    1. The words are the newest, and nobody else took over already.
    2. The keys are sealed to the successor, into a file for their `take_over`, which they alone can use.
    3. `store` has put it on disk before any server hears of the succession: there is no second one.
    4. Both servers have the succession.

    Raises `UnlockError` for other words than the newest, `UsageError` for another successor than before, a `DataError`
    or a `TransportError`; cut anywhere, run it again.
    """
    # 1
    session.require_suite(successor.body.suite, "the successor's keys")
    person = fetch_own(session)
    root = recovery_secret.derive_root_signer()
    if root.public_key != person.root_key:
        raise UnlockError("these words are not those of this identity's newest recovery kit: take the newest page")
    succession = _sign_succession(session, person, successor, root)
    # 2
    patients, done, already = _Round(session, on_step, expected=load_at_vault(session)), 0, 0
    records: list[_HandedOver] = []
    for patient in patients:
        taken = patient.sealed_to(successor)
        sealed_keys = _reseal(session, patient, successor, without=taken)
        if sealed_keys:
            records.append(_HandedOver(record=patient.record, sealed_keys=sealed_keys))
        if {*taken, *(key.compartment_statement for key in sealed_keys)} >= set(patient.epochs):
            done += 1
            already += not sealed_keys
        else:
            patients.skipped.append(SkippedGrant(patient.record, patient.grant, _NOT_HELD))
    patients.name_missing(_WITHHELD)
    # 3
    file = _HandoverFile(format="carnet.handover.v1", records=tuple(records))
    store(format_canonical_json(file.model_dump(mode="json")))
    # 4
    update = DirectoryUpdate(statements=(succession,))
    session.outbox.send(
        [Step(ServerName.KEYSERVICE, DIRECTORY_PATH, update), Step(ServerName.VAULT, DIRECTORY_PATH, update)]
    )
    return HandoverReport(done, already, patients.skipped)


def _sign_succession(session: Session, person: Person, successor: Signed[Identity], root: Signer) -> str:
    """The succession to `successor`: the one that a server has already, or a new one. Raises `UsageError`."""
    founding = successor.body.founding
    identity = IdentityHash(successor.hash.raw) if founding is None else founding
    views = ask_person(session, person.identity)
    known = views.keyservice.succession or views.vault.succession
    if known is not None:
        signed = parse_succession(known, predecessor=person, root_keys=[person.root_key])
        if signed.body.successor != identity:
            raise UsageError("you handed over to somebody else before: nobody hands over twice")
        return known
    body = Succession(
        predecessor=person.identity,
        successor=identity,
        successor_statement=successor.hash,
        issued_at=session.clock(),
    )
    return Signed.sign(body, root).text


def take_over(session: Session, handover: bytes, *, on_step: OnStep = ignore_progress) -> HandoverReport:
    """Give the key service what `hand_over` sealed to this successor, once the registrar attested the succession.

    Raises `UsageError` for another file, a `DataError` or a `TransportError`; cut anywhere, run it again.
    """
    try:
        file = _HandoverFile.model_validate(parse_canonical_json(handover))
    except (MalformedError, ValidationError) as error:
        raise UsageError("this is not a handover file: ask the one who hands over for it") from error
    reader = fetch_own(session).current
    given: dict[StatementHash, list[SealedKey]] = {}
    records: dict[StatementHash, RecordId] = {}
    for entry in file.records:
        for key in entry.sealed_keys:
            if key.grant is None:
                raise UsageError("this is not a handover file: ask the one who hands over for it")
            given.setdefault(key.grant, []).append(key)
            records[key.grant] = entry.record
    job = Resealing(session, reader, on_step)
    patients = _Round(session, on_step, expected=records)
    for patient in patients:
        if patient.grant in given:
            job.add(patient, given[patient.grant])
    patients.name_missing(_GONE)
    return _report(job.finish(), patients.skipped)


_GONE: Final = "the patient ended this grant, or no registrar attests that you took over: nothing was taken over"
_WITHHELD: Final = (
    "the key service does not show this grant, which the vault shows: run this again, then ask its operator"
)
_NOT_HELD: Final = "no key to a part of this record is sealed to you: ask the patient to let you in again"


class _Round:
    """One look at all patients, one after the other; those with whom nothing can be done are `skipped`."""

    def __init__(self, session: Session, on_step: OnStep, *, expected: Mapping[StatementHash, RecordId]) -> None:
        """Nobody was looked at yet; the grants `expected` are to come."""
        self._session = session
        self._on_step = on_step
        self._expected = dict(expected)
        self.skipped: list[SkippedGrant] = []

    def __iter__(self) -> Iterator[Patient]:
        """Look. Raises as `load_patients`."""
        total = len(self._expected)
        for number, found in enumerate(load_patients(self._session), 1):
            self._on_step(Progress(Phase.PATIENTS, number, max(number, total)))
            if isinstance(found, SkippedGrant):
                self.skipped.append(found)
            else:
                self._expected.pop(found.grant, None)
                yield found

    def name_missing(self, reason: str) -> None:
        """Name, with `reason`, what was expected and did not come."""
        self.skipped += [SkippedGrant(record, grant, reason) for grant, record in self._expected.items()]


def _reseal(
    session: Session, patient: Patient, reader: Signed[Identity], *, without: Container[StatementHash] = ()
) -> tuple[SealedKey, ...]:
    """The keys of the epochs that are not closed, but those in `without`, sealed to `reader`."""
    return tuple(
        seal_compartment_key(key, compartment=patient.epochs[name], grant=patient.grant, reader=reader)
        for name, key in patient.open_keys(session).items()
        if name not in without
    )


def _report(outcome: ResealingOutcome, skipped: list[SkippedGrant]) -> HandoverReport:
    return HandoverReport(outcome.done, outcome.already, skipped + outcome.skipped)
