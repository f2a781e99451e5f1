"""The keys that all patients gave this practitioner, page by page, for jobs that seal them anew.

    for found in load_patients(session):
        if isinstance(found, Patient): ...

Only the key service is asked: it alone has sealed keys. Nothing that it says is believed, and nothing needs to be: a
sealed key names its epoch by the hash of the statement, so the statement with that hash is the one that is meant,
whoever shows it; a key that opens is compared with it. Who signed it, and whether both servers show it, is checked
whenever the record is opened. What is wrong with one grant keeps back none of the others.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from carnet.boxes import open_compartment_key
from carnet.errors import DataError, VerificationError
from carnet.identity import ask_as_registered
from carnet.inbox import load_shown
from carnet.sealing import KemPrivateKey
from carnet.session import Session
from carnet_protocol.api import AccessesPage, AccessView, SealedKey
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.statements import Closing, Compartment, Grant, Identity, Permission, Signed

_PATH: Final = "/v1/inbox/access"


@dataclass(frozen=True, slots=True)
class SkippedGrant:
    """A grant with which nothing could be done, and why. `record` and `grant` are None where nobody can tell."""

    record: RecordId | None
    grant: StatementHash | None
    reason: str


@dataclass(frozen=True, slots=True)
class Patient:
    """A grant to read compartments: its epochs that are not closed, and what is sealed under it to whoever reads."""

    record: RecordId
    grant: StatementHash
    epochs: Mapping[StatementHash, Signed[Compartment]]
    sealed_keys: tuple[SealedKey, ...]

    def open_keys(self, session: Session) -> dict[StatementHash, KemPrivateKey]:
        """The keys of the epochs that open with any account key of this person. Those that do not are left out."""
        keys: dict[StatementHash, KemPrivateKey] = {}
        for sealed in self.sealed_keys:
            name = sealed.compartment_statement
            epoch, account_kem_key = self.epochs.get(name), session.keyring.account_kem_key(sealed.reader_statement)
            if epoch is None or account_kem_key is None or sealed.grant != self.grant or name in keys:
                continue
            with suppress(DataError):
                keys[name] = open_compartment_key(sealed, compartment=epoch, account_kem_key=account_kem_key)
        return keys

    def sealed_to(self, reader: Signed[Identity]) -> dict[StatementHash, SealedKey]:
        """What is sealed to `reader`, by epoch."""
        return {key.compartment_statement: key for key in self.sealed_keys if key.reader_statement == reader.hash}


def load_patients(session: Session) -> Iterator[Patient | SkippedGrant]:
    """Every grant to read compartments that has not ended, begun or not, by grant hash.

    The next page is on its way while whoever asks works with one. Raises a `TransportError` or `VerificationError`.
    """
    after: StatementHash | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="carnet-pages") as ahead:
        waiting = ahead.submit(ask_as_registered, session, lambda: _fetch(session, None))
        while True:
            page = waiting.result()
            then = _find_next(page, after)
            if then is not None:
                waiting = ahead.submit(_fetch, session, then)
            for view in page.accesses:
                yield _read(view)
            if then is None:
                return
            after = then


def load_at_vault(session: Session) -> dict[StatementHash, RecordId]:
    """The grants to read compartments that the vault shows, with their records: how many there should be.

    A view of which a part is missing is never taken for the whole. Raises a `TransportError` or `VerificationError`.
    """
    try:
        shown = [Signed.parse(text, Grant) for text in ask_as_registered(session, lambda: load_shown(session.vault))]
    except ProtocolError as error:
        raise VerificationError(f"the vault shows a grant that is none ({error}): ask its operator") from error
    return {
        grant.hash: grant.body.record
        for grant in shown
        if grant.body.permission is Permission.READ and grant.body.compartments
    }


def _fetch(session: Session, after: StatementHash | None) -> AccessesPage:
    return session.keyservice.get(_PATH, AccessesPage, query={"after": None if after is None else str(after)})


def _find_next(page: AccessesPage, after: StatementHash | None) -> StatementHash | None:
    """Where the next page begins; None at the end. Raises `VerificationError`."""
    try:
        then = None if page.next is None else StatementHash.parse(page.next)
    except ProtocolError as error:
        raise VerificationError("the key service shows a page of patients that leads nowhere") from error
    if then is not None and after is not None and not after < then:
        raise VerificationError("the key service shows the same page of patients again and again: ask its operator")
    return then


def _read(view: AccessView) -> Patient | SkippedGrant:
    try:
        grant = Signed.parse(view.grant or "", Grant)
        closed = {Signed.parse(text, Closing).body.compartment_statement for text in view.closings}
        epochs = [Signed.parse(text, Compartment) for text in view.compartments]
    except ProtocolError as error:
        return SkippedGrant(None, None, f"the key service shows a statement that is none ({error}): ask its operator")
    open_epochs = {epoch.hash: epoch for epoch in epochs if epoch.hash not in closed}
    return Patient(grant.body.record, grant.hash, open_epochs, view.sealed_keys)
