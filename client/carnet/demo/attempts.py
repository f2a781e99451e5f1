"""Attempts that should fail: made with the right signature, but past the checks of the client itself.

An honest client would not even ask. What is shown here is that the servers refuse somebody whose program does ask.
"""

from collections.abc import Callable, Iterable
from typing import Final

from carnet.connections import open_http
from carnet.errors import RefusedError, UnauthenticatedError
from carnet.session import Session
from carnet.transport import ServerClient
from carnet_protocol.api import (
    AccessView,
    DocumentsPage,
    OpenedVersion,
    ReleaseAnswer,
    ReleaseItem,
    ReleaseKind,
    ReleaseRequest,
)
from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.requests import KeyId, sign_request

REFUSED: Final = "refused"
OPENED: Final = "opened"


def ask_all(attempts: Iterable[Callable[[], object]]) -> str:
    """`refused` if every attempt is refused by a server, `opened` if any succeeds; other errors are raised."""
    for attempt in attempts:
        try:
            attempt()
        except (RefusedError, UnauthenticatedError):
            continue
        return OPENED
    return REFUSED


def look_in(session: Session, record: RecordId, grant: StatementHash | None) -> list[Callable[[], object]]:
    """Attempts to get keys to `record` under `grant`, at each server, and then its list."""
    query = {"grant": None if grant is None else str(grant)}
    path = f"/v1/records/{record}/access"
    return [
        lambda: session.keyservice.get(path, AccessView, query=query),
        lambda: session.vault.get(path, AccessView, query=query),
        *list_in(session, record, grant),
    ]


def list_in(session: Session, record: RecordId, grant: StatementHash | None) -> list[Callable[[], object]]:
    """An attempt to list `record` under `grant`."""
    query = {"grant": None if grant is None else str(grant)}
    return [lambda: session.vault.get(f"/v1/records/{record}/documents", DocumentsPage, query=query)]


def fetch(
    session: Session, record: RecordId, document: DocumentId, grant: StatementHash | None
) -> list[Callable[[], object]]:
    """An attempt to fetch the newest version of `document` from the vault."""
    query = {"grant": None if grant is None else str(grant)}
    path = f"/v1/records/{record}/documents/{document}/versions/newest"
    return [lambda: session.vault.get(path, OpenedVersion, query=query)]


def release(
    session: Session, record: RecordId, items: Iterable[ReleaseItem], grant: StatementHash | None
) -> list[Callable[[], object]]:
    """Attempts to have the key service take the outer lock off each of `items`, which somebody kept."""

    def ask(item: ReleaseItem) -> Callable[[], object]:
        request = ReleaseRequest(grant=grant, kind=ReleaseKind.OPEN, items=(item,))
        return lambda: session.keyservice.post(f"/v1/records/{record}/releases", request, ReleaseAnswer)

    return [ask(item) for item in items]


def look_closely(session: Session, server: ServerClient, path: str) -> tuple[int, bytes, dict[str, str]]:
    """What `server` answers to a signed GET of `path`: status, body, and every header but its date."""
    target = server.origin + path
    headers = sign_request(
        method="GET",
        target=target,
        body=b"",
        server=server.fingerprint,
        key_id=KeyId(session.device.raw),
        created=session.clock(),
        sign=session.keyring.body.device_signer.sign,
    )
    with open_http(server.origin) as http:
        response = http.get(target, headers=headers)
        seen = {name.lower(): value for name, value in response.headers.items() if name.lower() != "date"}
        return response.status_code, response.content, seen
