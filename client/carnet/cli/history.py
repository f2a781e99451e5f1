"""`carnet history`."""

from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument

from carnet.access import RecordAccess
from carnet.cli.command import Answer, Desk, command
from carnet.cli.documents import describe_document, describe_problems, warn
from carnet.cli.exits import Exit
from carnet.cli.grantees import name_grantee
from carnet.cli.happenings import Known, tell
from carnet.cli.plain import plain
from carnet.cli.terminal import format_size, table
from carnet.cli.times import format_time
from carnet.cli.whose_record import (
    Found,
    RecordOption,
    compartment_names,
    find_document,
    list_all,
    open_own,
    open_readable,
)
from carnet.documents.listing import list_versions
from carnet.events import SeenEvent, load_events
from carnet.grant_book import load_grants
from carnet.session import Session


@command
def history(
    desk: Desk,
    document: Annotated[
        str | None, Argument(metavar="DOCUMENT", help="The beginning of its id, or of its title.")
    ] = None,
    *,
    record: RecordOption = None,
) -> Answer:
    r"""Show the versions of a document, or what happened to your record: who let whom in, who read what, when.

    Both servers' logs are read, and each entry is checked against what the server committed to.

    \b
    Examples:
      carnet history
      carnet history Kq3zR8tw
    """
    with desk.open_session() as session:
        if document is None:
            return _show_events(session)
        found = find_document(session, open_readable(session, record), document)
        return _show_versions(session, found)


def _show_versions(session: Session, found: Found) -> Answer:
    listing = list_versions(session, found.access, found.document.id)
    lines = table("Version", "Deposited", "Title", "By", "Size", right=("Version", "Size"))
    for version in listing.documents:
        lines.add_row(
            str(version.version.number),
            format_time(version.version.manifest.body.created_at),
            plain(version.metadata.title),
            plain(version.metadata.author_name),
            format_size(version.metadata.size),
        )
    described = [describe_document(Found(found.access, version)) for version in listing.documents]
    problems = describe_problems([listing])
    return Answer(
        {"document": str(found.document.id), "versions": described, "problems": problems},
        [lines, *warn([listing])],
        Exit.REFUSED if problems else Exit.DONE,
    )


def _show_events(session: Session) -> Answer:
    access = open_own(session)
    events = [*load_events(session, session.vault), *load_events(session, session.keyservice)]
    events.sort(key=lambda event: (event.time, event.server, event.index))
    lines = table("When", "Where", "Who", "What")
    for one in tell(events, _known(session, access)):
        lines.add_row(format_time(one.time), one.where, plain(one.who), plain(one.text))
    shown: list[RenderableType] = [lines if events else Text("Nothing has happened yet.")]
    return Answer({"events": [_describe(event) for event in events]}, shown)


def _known(session: Session, access: RecordAccess) -> Known:
    """What the record as it is now says of the ids in its history."""
    found = list_all(session, [access])[0]
    titles = {str(one.document.id): one.document.metadata.title for one in found}
    titles |= {str(one.document.version.manifest.hash): one.document.metadata.title for one in found}
    names = _Names(session)
    return Known(
        name_of=names.of,
        titles=titles,
        parts={
            str(epoch.hash): f"gave the part {name} new keys" if epoch.body.epoch > 1 else f"made the part {name}"
            for part, name in compartment_names(access).items()
            for epoch in access.compartments[part].chain
        },
        grantees={
            str(grant.hash): names.of(str(grant.body.grantee)) for grant in load_grants(session, access).accepted
        },
    )


class _Names:
    """Who did something: you, or a practitioner by the attested name; each is asked for once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, str] = {str(session.identity): "you"}

    def of(self, person: str) -> str:
        if person not in self._known:
            self._known[person] = name_grantee(self._session, type(self._session.identity).parse(person))
        return self._known[person]


def _describe(event: SeenEvent) -> dict[str, object]:
    return {
        "server": event.server.value,
        "index": event.index,
        "time": event.time,
        **event.body.model_dump(mode="json"),
    }
