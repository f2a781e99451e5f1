"""What happened to one's own record, as each server's log tells it (spec `log.md`; promise P07 as far as it goes yet).

    for event in load_events(session, session.vault).events: ...

Each event is opened and checked against its commitment, and what receipts promised must stand where they said. That a
server shows every event to everybody alike is for the tree and its witnesses to prove, in a later version.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, ValidationError

from carnet.errors import RollbackError, VerificationError
from carnet.receipts import kept_receipts
from carnet.session import Session
from carnet.transport import ServerClient, ServerName
from carnet_protocol.api import EventsPage
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.errors import MalformedError, ProtocolError
from carnet_protocol.ids import (
    DocumentId,
    RecordId,
    Sha256Digest,
    StatementHash,
    derive_event_commitment,
    pack_event_leaf,
)
from carnet_protocol.statements import Receipt, Signed
from carnet_protocol.tuples import KeyRole
from carnet_protocol.wire import WireModel

_LEAF_PREFIX: Final = b"\0"


class _EventDocument(WireModel):
    document: DocumentId
    role: Annotated[KeyRole, Field(strict=False)]
    version: Annotated[int, Field(ge=1)]


class EventBody(WireModel):
    """What an event says. `by` is a person, or an officer's fingerprint, as text."""

    kind: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z.-]*$")]
    record: RecordId | None
    by: Annotated[str, Field(max_length=64)] | None
    device: StatementHash | None
    grant: StatementHash | None
    statement: StatementHash | None
    documents: Annotated[tuple[_EventDocument, ...], Field(strict=False)] | None
    detail: dict[str, str | int] | None


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """A verified event of the log of `server`."""

    server: ServerName
    index: int
    time: int
    body: EventBody


def load_events(session: Session, server: ServerClient) -> list[SeenEvent]:
    """Every event of the patient's record in the log of `server`, oldest first.

    1. Each opens its commitment, and says what an event says, of this record.
    2. Indices rise, times never fall.
    3. What a kept receipt of this server promised stands where it said.

    Raises `VerificationError`, `RollbackError` or a `TransportError`.
    """
    seen: list[SeenEvent] = []
    leaves: dict[int, Sha256Digest] = {}
    for page in _pages(session, server):
        for event in page.events:
            # 1
            if not hmac.compare_digest(derive_event_commitment(event.salt, event.body).raw, event.commitment.raw):
                raise VerificationError(f"an event of the {server.name} does not open its commitment: ask its operator")
            body = _parse_body(event.body, session.record)
            # 2
            if seen and (event.index <= seen[-1].index or event.time < seen[-1].time):
                raise VerificationError(f"the {server.name} shows its log out of order: ask its operator")
            leaf = pack_event_leaf(server.fingerprint, event.index, event.time, event.commitment)
            leaves[event.index] = Sha256Digest(hashlib.sha256(_LEAF_PREFIX + leaf).digest())
            seen.append(SeenEvent(server.name, event.index, event.time, body))
    # 3
    for receipt in _receipts(session, server):
        if leaves.get(receipt.index) != receipt.leaf:
            raise RollbackError(
                f"the log of the {server.name} lacks an event that it gave a receipt for: keep this home and ask its "
                "operator, for the receipt proves it"
            )
    return seen


def _pages(session: Session, server: ServerClient) -> Iterator[EventsPage]:
    after: str | None = None
    while True:
        page = server.get(f"/v1/records/{session.record}/events", EventsPage, query={"after": after})
        yield page
        if page.next is None:
            return
        if page.next == after:
            raise VerificationError(f"the {server.name} shows the same page of its log again and again")
        after = page.next


def _parse_body(text: bytes, record: RecordId) -> EventBody:
    try:
        body = EventBody.model_validate(parse_canonical_json(text))
    except (MalformedError, ValidationError):
        raise VerificationError("an event is not one that this program knows: update Carnet") from None
    if body.record != record:
        raise VerificationError("a server shows an event of another record as yours: ask its operator")
    return body


def _receipts(session: Session, server: ServerClient) -> Iterator[Receipt]:
    """The kept receipts of `server`; those of a server that this home has no card of any more prove nothing here."""
    for text in kept_receipts(session.state):
        try:
            receipt = Signed.parse(text, Receipt)
        except ProtocolError as error:
            raise AssertionError("internal: a kept receipt that is none") from error
        if receipt.body.server == server.fingerprint:
            yield receipt.body
