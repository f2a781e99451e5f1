"""A practitioner's patients: the grants to them that have not ended, as both servers show them."""

from dataclasses import dataclass

from carnet.access import verify_grant
from carnet.boxes import open_note
from carnet.errors import DataError, DecryptionError, VerificationError
from carnet.identity import ask_as_registered
from carnet.session import Both, Session
from carnet.transport import ServerClient
from carnet_protocol.api import Inbox, PersonBundle
from carnet_protocol.authority import Person
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import RecordId
from carnet_protocol.statements import Grant, Signed


@dataclass(frozen=True, slots=True)
class ReceivedGrant:
    """A verified grant to this practitioner, or to whom they succeed. `note` is the patient's word, if there is one."""

    record: RecordId
    patient: Person
    grant: Signed[Grant]
    note: str | None


@dataclass(frozen=True, slots=True)
class ReceivedGrants:
    """What the inbox holds, newest first; `problems` says what was shown and could not be believed."""

    grants: tuple[ReceivedGrant, ...]
    problems: tuple[str, ...]


def load_inbox(session: Session) -> ReceivedGrants:
    """The grants to this practitioner that have not ended.

    One that a single server shows is left out: the other would refuse its use. Entries that prove nothing are named in
    `problems` and do not hide the others. Raises a `TransportError`.
    """
    entries = ask_as_registered(session, lambda: session.ask_both(load_shown))
    problems: list[str] = []
    received: list[ReceivedGrant] = []
    for text in entries.keyservice:
        if text not in entries.vault:
            continue
        try:
            received.append(_verify(session, text, Both(entries.vault[text], entries.keyservice[text])))
        except (DataError, ProtocolError) as error:
            problems.append(str(error))
    received.sort(key=lambda entry: entry.grant.body.issued_at, reverse=True)
    return ReceivedGrants(tuple(received), tuple(problems))


def load_shown(server: ServerClient) -> dict[str, PersonBundle]:
    """The patients' statements, as `server` shows them, by grant (JWS). Raises a `TransportError`."""
    entries: dict[str, PersonBundle] = {}
    after: str | None = None
    while True:
        page = server.get("/v1/inbox", Inbox, query={"after": after})
        entries |= {entry.grant: page.patients[entry.patient] for entry in page.entries}
        if page.next is None:
            return entries
        if page.next == after:
            raise VerificationError(f"the {server.name} shows the same page of grants again and again")
        after = page.next


def _verify(session: Session, text: str, bundles: Both[PersonBundle]) -> ReceivedGrant:
    grant = Signed.parse(text, Grant)
    record = grant.body.record
    patient = session.people.verify_both(record.patient(), vault=bundles.vault, keyservice=bundles.keyservice)
    verified = verify_grant(grant.text, patient)
    return ReceivedGrant(record, patient, verified, _open_note(session, verified))


def _open_note(session: Session, grant: Signed[Grant]) -> str | None:
    """The note, None if it is empty or was written to keys that this keyring does not hold."""
    account_kem_key = session.keyring.account_kem_key(grant.body.grantee_statement)
    if account_kem_key is None:
        return None
    try:
        return open_note(grant.body, account_kem_key) or None
    except DecryptionError:
        return None
