"""Erasing one's whole record, for good (spec `statements.md`, "Records").

It is signed by the root key alone, and only restricts: each server is told by itself, and the one that could not be
told is told with the next command. Before any server hears of it, this home notes that its record is erased.
"""

from dataclasses import dataclass
from typing import Final

from carnet.errors import CarnetError, UnlockError, UsageError, VerificationError
from carnet.keys import RecoverySecret
from carnet.progress import OnStep, Progress, Step, ignore_progress
from carnet.restrictions import find_own_person, tell_each
from carnet.session import Session
from carnet.state import LocalState
from carnet_protocol.api import ErasureUpdate
from carnet_protocol.errors import ProtocolError
from carnet_protocol.limits import ERASURE_WINDOW_SECONDS
from carnet_protocol.statements import Erasure, Receipt, Role, Signed

_NOTE: Final = "erasure"
_FORMAT: Final = "carnet.erasure.v1"


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What became of an erasure at each server: its receipt, or the error; what failed is sent again later."""

    erasure: Signed[Erasure]
    vault: Signed[Receipt] | CarnetError
    keyservice: Signed[Receipt] | CarnetError

    @property
    def is_everywhere(self) -> bool:
        """Whether both servers took it."""
        return isinstance(self.vault, Signed) and isinstance(self.keyservice, Signed)


def find_erasure(state: LocalState) -> Signed[Erasure] | None:
    """The erasure that this home made of its record. Raises `VerificationError` if the note of it was changed."""
    note = state.load(_NOTE)
    if note is None:
        return None
    try:
        if note.get("format") != _FORMAT:
            raise VerificationError("this home notes an erasure in the words of a newer Carnet: update Carnet")
        return Signed.parse(str(note.get("erasure")), Erasure)
    except ProtocolError as error:
        raise VerificationError("the note that this record is erased was changed: run `carnet erase` again") from error


def needs_words(session: Session) -> bool:
    """Whether an erasure has to be signed: none was made here yet, or it is so old that no server takes it."""
    made = find_erasure(session.state)
    return made is None or session.clock() - made.body.issued_at >= ERASURE_WINDOW_SECONDS


def erase_record(
    session: Session, recovery_secret: RecoverySecret | None, *, on_step: OnStep = ignore_progress
) -> ErasureReport:
    """Erase the record of this person at each server that can be told. Run again, it goes on.

    1. This is a patient, and where an erasure has to be signed, the words are those of the newest root key.
    2. This home notes the erasure; an earlier one that servers still take is sent again.
    3. Both servers are told at the same time, each by itself.

    Raises `UsageError` or `UnlockError`.
    """
    # 1
    if session.keyring.body.role is not Role.PATIENT:
        raise UsageError("a practitioner has no record of their own to erase")
    signed = find_erasure(session.state)
    if signed is None or needs_words(session):
        signed = _sign(session, recovery_secret)
    # 2
    session.state.store(_NOTE, {"format": _FORMAT, "erasure": signed.text})
    # 3
    on_step(Progress(Step.ERASE, 0, None))
    path = f"/v1/records/{session.record}/erasure"
    outcomes = tell_each(session, path, ErasureUpdate(statements=(signed.text,)))
    return ErasureReport(signed, outcomes.vault, outcomes.keyservice)


def _sign(session: Session, recovery_secret: RecoverySecret | None) -> Signed[Erasure]:
    if recovery_secret is None:
        raise UsageError("an erasure is signed with the words of the recovery kit")
    root = recovery_secret.derive_root_signer()
    person = find_own_person(session, session.servers.values())
    if root.public_key != person.root_key:
        raise UnlockError("these words are not those of this identity's newest kit: take the newest page")
    body = Erasure(
        record=session.record,
        vault=session.vault.fingerprint,
        keyservice=session.keyservice.fingerprint,
        issued_at=session.clock(),
    )
    return Signed.sign(body, root)
