"""`carnet revoke`."""

from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.completion import describe_completion
from carnet.cli.exits import Exit, exit_code
from carnet.cli.grantees import name_grantee
from carnet.cli.plain import plain
from carnet.cli.servers import describe_outcomes
from carnet.cli.steps import showing_steps
from carnet.cli.whose_record import open_own, require_patient
from carnet.devices import check_keys_are_own
from carnet.documents.reencryption import reencrypt_record
from carnet.errors import CarnetError, UsageError
from carnet.restrictions import find_own_grant
from carnet.revocation import RevocationReport, begin_renewal, complete, complete_revocation, is_under_way
from carnet.revocation import revoke as end_grant
from carnet.session import Session
from carnet.short_ids import shorten
from carnet.transport import ServerName


@command
def revoke(
    desk: Desk,
    grant: Annotated[
        str | None, Argument(metavar="GRANT", help="The beginning of its id, as `carnet grants` shows it.")
    ] = None,
    *,
    completely: Annotated[
        bool, Option("--complete", help="Renew the keys as well; without GRANT, go on with what was begun.")
    ] = False,
    reencrypt: Annotated[
        bool, Option("--reencrypt", help="With --complete: encrypt the documents anew as well; takes long.")
    ] = False,
) -> Answer:
    r"""End a grant. From the moment that a server has it, it hands out nothing more under that grant.

    Each server is told by itself, so that none keeps it from the other; one that could not be told is told with the
    next command.

    With --complete, new keys are made and every lock remade, so that nothing which the reader may have kept fits any
    more. What they read already cannot be called back. All of it can be interrupted and run again. Documents that open
    for nobody bar nothing: they are named, for you to remove.

    \b
    Examples:
      carnet revoke x7QmP2ab
      carnet revoke x7QmP2ab --complete
      carnet revoke --complete
    """
    if reencrypt and not completely:
        raise UsageError("--reencrypt goes with --complete")
    if grant is None and not completely:
        raise UsageError("name the grant to end, see `carnet grants`")
    with desk.open_session() as session:
        if grant is None:
            return _go_on(desk, session, is_reencrypting=reencrypt)
        return _end(desk, session, grant, is_complete=completely, is_reencrypting=reencrypt)


def _end(desk: Desk, session: Session, grant: str, *, is_complete: bool, is_reencrypting: bool) -> Answer:
    """End the grant first, which needs no server to agree with the other; the rest may fail then."""
    require_patient(session)
    signed, book = find_own_grant(session, grant)
    report = end_grant(session, book, signed)
    members, shown, code = _describe(report, name_grantee(session, signed.body.grantee))
    again = f"`carnet revoke {shorten(signed.body.id)} --complete`"
    if not is_complete or not report.is_everywhere:
        return Answer(members, [*shown, Text(f"To renew the keys as well: {again}.", style="dim")], code)
    desk.terminal.show(*shown)
    try:
        with showing_steps(desk.terminal) as on_step:
            done = complete_revocation(
                session, signed, on_step=on_step, reencrypt=reencrypt_record if is_reencrypting else None
            )
    except CarnetError as error:
        unfinished = Text(f"The keys are not renewed: {plain(str(error))}. To go on: {again}.", style="yellow")
        return Answer({**members, "complete": False, "reason": str(error)}, [unfinished], exit_code(error))
    more, lines, code = describe_completion(session, done)
    return Answer({**members, **more}, lines, code)


def _go_on(desk: Desk, session: Session, *, is_reencrypting: bool) -> Answer:
    """Go on with what was begun here; else with what another device, or a document that opens for nobody, left open."""
    access = open_own(session)
    check_keys_are_own(access.patient)
    if not is_under_way(session):
        if all(len(compartment.open_epochs) == 1 for compartment in access.compartments.values()):
            return Answer({"complete": True, "remade": 0}, [Text("Nothing is left to do.")])
        begin_renewal(session, ())
    with showing_steps(desk.terminal) as on_step:
        done = complete(session, on_step=on_step, reencrypt=reencrypt_record if is_reencrypting else None)
    return Answer(*describe_completion(session, done))


def _describe(report: RevocationReport, name: str) -> tuple[dict[str, object], list[Text], Exit]:
    """What became of a revocation; a server that did not hear of it is told with the next command."""
    members, lines, code = describe_outcomes({ServerName.VAULT: report.vault, ServerName.KEYSERVICE: report.keyservice})
    described = {
        "revocation": str(report.revocation.hash),
        "grant": str(report.revocation.body.grant_id),
        "grantee_name": name,
    }
    return {**described, **members}, [Text(f"The grant to {plain(name)} is ended."), *lines], code
