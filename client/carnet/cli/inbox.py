"""`carnet inbox`."""

from rich.console import RenderableType
from rich.text import Text

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.plain import plain
from carnet.cli.terminal import count, table
from carnet.cli.times import format_span, format_time
from carnet.cli.whose_record import is_patient
from carnet.errors import UsageError
from carnet.inbox import ReceivedGrant, load_inbox
from carnet.short_ids import shorten


@command
def inbox(desk: Desk) -> Answer:
    """List the patients who let you in: their word to you, what you may do, and for how long."""
    with desk.open_session() as session:
        if is_patient(session):
            raise UsageError("an inbox is for practitioners; see `carnet grants` for whom you let in")
        received = load_inbox(session)
        now = session.clock()
    lines = table("Record", "Note", "May", "Scope", "Time left", "Grant")
    for entry in received.grants:
        body = entry.grant.body
        is_coming = now < body.not_before
        lines.add_row(
            Text(shorten(entry.record), style="cyan"),
            plain(entry.note or "-"),
            body.permission.value,
            _scope(entry),
            f"from {format_time(body.not_before)}" if is_coming else format_span(max(0, body.expires - now)),
            shorten(body.id),
        )
    shown: list[RenderableType] = [lines if received.grants else Text("No patient lets you in at present.")]
    shown += [Text(plain(problem), style="red") for problem in received.problems]
    return Answer(
        {"grants": [_describe(entry, now) for entry in received.grants], "problems": list(received.problems)},
        shown,
        Exit.REFUSED if received.problems else Exit.DONE,
    )


def _scope(entry: ReceivedGrant) -> str:
    body = entry.grant.body
    return count(len(body.documents), "document") if body.documents else count(len(body.compartments), "part")


def _describe(entry: ReceivedGrant, now: int) -> dict[str, object]:
    body = entry.grant.body
    return {
        "record": str(entry.record),
        "grant": str(body.id),
        "grant_hash": str(entry.grant.hash),
        "note": entry.note,
        "permission": body.permission.value,
        "purpose": body.purpose.value,
        "compartments": [str(name) for name in body.compartments],
        "documents": [str(name) for name in body.documents],
        "not_before": body.not_before,
        "expires": body.expires,
        "seconds_left": max(0, body.expires - now),
    }
