"""`carnet grants`."""

from rich.text import Text

from carnet.access import RecordAccess
from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import exit_code
from carnet.cli.grantees import Grantee, look_up_grantee
from carnet.cli.plain import plain
from carnet.cli.terminal import count, table
from carnet.cli.times import format_span, format_time
from carnet.cli.whose_record import compartment_names, open_own
from carnet.errors import CarnetError, DataError, TransportError
from carnet.grant_book import load_grants
from carnet.grants import GrantState, GrantStatus, list_grants
from carnet.restrictions import load_shown_grants
from carnet.revocation import is_under_way
from carnet.short_ids import shorten
from carnet_protocol.ids import CompartmentId

_STYLES = {
    GrantState.IN_FORCE: "green",
    GrantState.COMING: "cyan",
    GrantState.EXPIRED: "dim",
    GrantState.REVOKED: "dim",
    GrantState.INCOMPLETE: "yellow",
}


@command
def grants(desk: Desk) -> Answer:
    """List everybody whom you let in, now or ever: what they may do, and until when.

    While one server is away, or contradicts the other, the list is what one of them shows, and so it is told.
    """
    access: RecordAccess | None = None
    failure: CarnetError | None = None
    with desk.open_session() as session:
        try:
            access = open_own(session)
            book = load_grants(session, access)
        except (DataError, TransportError) as error:
            book, failure = load_shown_grants(session), error
        statuses = list_grants(book, now=session.clock())
        grantees = {name: look_up_grantee(session, name) for name in {status.grant.body.grantee for status in statuses}}
        unfinished = is_under_way(session)
    lines = table("Grant", "Who", "May", "Scope", "State", "Until")
    for status in statuses:
        body = status.grant.body
        lines.add_row(
            Text(shorten(body.id), style="cyan"),
            plain(str(grantees[body.grantee])),
            body.permission.value,
            plain(scope(status, access)),
            Text(status.state.value, style=_STYLES[status.state]),
            format_time(body.expires) + (f" ({format_span(status.seconds_left)})" if status.seconds_left else ""),
        )
    shown = [lines if statuses else Text("You have not let anybody in.")]
    if unfinished:
        shown.append(Text("A revocation is not complete yet: run `carnet revoke --complete`.", style="yellow"))
    members: dict[str, object] = {
        "grants": [_describe(status, grantees[status.grant.body.grantee], access) for status in statuses],
        "unfinished": unfinished,
    }
    if failure is None:
        return Answer(members, shown)
    told = f"Only one server shows this: {plain(str(failure))}. `carnet revoke ID` ends a grant all the same."
    return Answer(members | {"reason": str(failure)}, [*shown, Text(told, style="yellow")], exit_code(failure))


def scope(status: GrantStatus, access: RecordAccess | None) -> str:
    """What a grant covers, in the patient's own words, which are known with an access alone."""
    body = status.grant.body
    if body.documents:
        return count(len(body.documents), "document")
    names = _compartment_names(access)
    return ", ".join(sorted(names.get(name, "?") for name in body.compartments))


def _compartment_names(access: RecordAccess | None) -> dict[CompartmentId, str]:
    return {} if access is None else compartment_names(access)


def _describe(status: GrantStatus, grantee: Grantee, access: RecordAccess | None) -> dict[str, object]:
    body, names = status.grant.body, _compartment_names(access)
    return {
        "grant": str(body.id),
        "grant_hash": str(status.grant.hash),
        "grantee": str(body.grantee),
        "grantee_name": grantee.name,
        "grantee_attested": grantee.is_attested,
        "permission": body.permission.value,
        "purpose": body.purpose.value,
        "compartments": [str(one) for one in body.compartments],
        "compartment_names": [names.get(one) for one in body.compartments],
        "documents": [str(one) for one in body.documents],
        "not_before": body.not_before,
        "expires": body.expires,
        "state": status.state.value,
        "seconds_left": status.seconds_left,
    }
