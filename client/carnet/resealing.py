"""Sealed keys of many patients on their way to the key service: write, read back, then let the older copies go.

    job = Resealing(session, reader, on_step)
    for patient in patients: job.add(patient, keys)
    outcome = job.finish()

A key that does not open for its reader, or is not the one that the patient signed, is never sent. What is read back is
compared byte by byte with what was opened here; only then the key service is told to delete the copies for older keys.
Each grant stands by itself: what is wrong with one is named and holds up none of the others.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from carnet.boxes import open_compartment_key
from carnet.errors import DataError, VerificationError
from carnet.patients import Patient, SkippedGrant
from carnet.progress import OnStep, Progress, Step
from carnet.session import Session
from carnet_protocol.api import OpenedKey, OpenedKeys, ResealedKeys, SealedKey, SealedKeysPage, StandingKeys
from carnet_protocol.ids import RecordId, Sha256Digest, StatementHash
from carnet_protocol.statements import Identity, Signed

SEALED_KEYS_PATH: Final = "/v1/inbox/sealed-keys"
OPENED_PATH: Final = "/v1/inbox/sealed-keys/opened"
_KEYS_AT_ONCE: Final = 200
"""A fifth of what a request may carry: whoever else writes at the key service waits for one request at a time."""

_NOT_KEPT: Final = "the key service does not keep keys under this grant any more: the patient may have ended it"
_LOST: Final = "the key service does not give back a key that it was just given: the older copies stay; run this again"
_INCOMPLETE: Final = (
    "the patient renewed keys since, and one of them is not here: ask for a new handover file, or the patient to let "
    "you in again"
)

_Place = tuple[StatementHash, StatementHash]
"""The grant and the compartment statement of a sealed key."""


@dataclass(slots=True)
class ResealingOutcome:
    """How many grants are open to the new keys, how many of these needed nothing new, and which are not."""

    done: int = 0
    already: int = 0
    skipped: list[SkippedGrant] = field(default_factory=list)


@dataclass(slots=True)
class _Grant:
    """A grant of the job: which keys its reader opened here, and what is wrong with it."""

    record: RecordId
    opened: dict[StatementHash, SealedKey]
    is_new: bool = False
    problem: str | None = None


class Resealing:
    """One job, for the reader's own newest keys."""

    __slots__ = ("_grants", "_on_step", "_reader", "_sent", "_session", "_total", "_waiting")

    def __init__(self, session: Session, reader: Signed[Identity], on_step: OnStep) -> None:
        """Nothing is sent yet; `reader` is this person's newest identity statement."""
        self._session = session
        self._reader = reader
        self._on_step = on_step
        self._grants: dict[StatementHash, _Grant] = {}
        self._waiting: list[SealedKey] = []
        self._sent = 0
        self._total: int | None = None

    def add(self, patient: Patient, keys: Sequence[SealedKey]) -> None:
        """Take in `keys` of the grant of `patient`, sealed to the reader, and what stands for the reader already.

        1. What stands and opens needs not be sent again.
        2. Each other opens, and is the key whose public half the epoch's statement shows.
        3. No epoch is left without a key.

        Raises a `TransportError` where enough are together to be sent.
        """
        grant = self._grants[patient.grant] = _Grant(patient.record, {})
        # 1
        for key in patient.sealed_to(self._reader).values():
            with suppress(DataError):
                self._take(grant, key, patient)
        # 2
        try:
            new = [key for key in keys if key.compartment_statement not in grant.opened]
            new = [key for key in new if self._take(grant, key, patient)]
        except DataError as error:
            grant.opened.clear()
            grant.problem = str(error)
            return
        grant.is_new = bool(new)
        # 3
        if set(patient.epochs) != set(grant.opened):
            grant.problem = _INCOMPLETE
        self._waiting += new
        if len(self._waiting) >= _KEYS_AT_ONCE:
            self._send()

    def finish(self) -> ResealingOutcome:
        """Send the rest, read everything back, let older copies go. Raises a `TransportError` or a `DataError`."""
        self._total = self._sent + len(self._waiting)
        self._send()
        self._read_back()
        self._settle()
        outcome = ResealingOutcome()
        for name, grant in self._grants.items():
            if grant.problem is not None:
                outcome.skipped.append(SkippedGrant(grant.record, name, grant.problem))
            else:
                outcome.done += 1
                outcome.already += not grant.is_new
        return outcome

    def _take(self, grant: _Grant, key: SealedKey, patient: Patient) -> bool:
        """Open `key` and note it; False for one of an epoch that was closed since. Raises a `DataError`."""
        epoch = patient.epochs.get(key.compartment_statement)
        if epoch is None:
            return False
        account_kem_key = self._session.keyring.account_kem_key(self._reader.hash)
        if key.grant != patient.grant or key.reader_statement != self._reader.hash or account_kem_key is None:
            raise VerificationError("a key is sealed to other keys than your newest: ask for a new handover file")
        open_compartment_key(key, compartment=epoch, account_kem_key=account_kem_key)
        grant.opened[key.compartment_statement] = key
        return True

    def _send(self) -> None:
        """Give the key service what waits."""
        for start in range(0, len(self._waiting), _KEYS_AT_ONCE):
            batch = self._waiting[start : start + _KEYS_AT_ONCE]
            request = ResealedKeys(sealed_keys=tuple(batch))
            answer = self._session.keyservice.post(SEALED_KEYS_PATH, request, StandingKeys)
            _check_count(answer, len(batch))
            for key, stands in zip(batch, answer.standing, strict=True):
                if not stands and key.grant is not None:
                    self._fail(key.grant, key.compartment_statement, _NOT_KEPT)
            self._sent += len(batch)
            self._on_step(Progress(Step.RESEAL, self._sent, self._total))
        self._waiting = []

    def _read_back(self) -> None:
        """Compare what the key service keeps with what was opened here."""
        kept: dict[_Place, bytes] = {}
        after: str | None = None
        while True:
            page = self._session.keyservice.get(SEALED_KEYS_PATH, SealedKeysPage, query={"after": after})
            kept |= {(key.grant, key.compartment_statement): key.sealed for key in page.sealed_keys if key.grant}
            self._on_step(
                Progress(Step.READ_BACK, len(kept), sum(len(grant.opened) for grant in self._grants.values()))
            )
            if page.next is None:
                break
            if page.next == after:
                raise VerificationError("the key service shows the same page of keys again and again")
            after = page.next
        for name, grant in self._grants.items():
            for statement, key in list(grant.opened.items()):
                if kept.get((name, statement)) != key.sealed:
                    self._fail(name, statement, _LOST)

    def _settle(self) -> None:
        """Let the copies for older keys go, where the new one was read back."""
        settled = [
            OpenedKey(compartment_statement=statement, grant=name, digest=Sha256Digest.of(key.sealed))
            for name, grant in self._grants.items()
            for statement, key in grant.opened.items()
        ]
        for start in range(0, len(settled), _KEYS_AT_ONCE):
            batch = settled[start : start + _KEYS_AT_ONCE]
            answer = self._session.keyservice.post(OPENED_PATH, OpenedKeys(keys=tuple(batch)), StandingKeys)
            _check_count(answer, len(batch))
            for key, stands in zip(batch, answer.standing, strict=True):
                if not stands:
                    self._fail(key.grant, key.compartment_statement, _NOT_KEPT)

    def _fail(self, name: StatementHash, statement: StatementHash, problem: str) -> None:
        grant = self._grants[name]
        grant.opened.pop(statement, None)
        grant.problem = grant.problem or problem


def _check_count(answer: StandingKeys, count: int) -> None:
    if len(answer.standing) != count:
        raise VerificationError(
            "the key service answers for another number of keys than it was given: ask its operator"
        )
