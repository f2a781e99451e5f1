"""`carnet revoke`."""

from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.completion import describe_completion
from carnet.cli.exits import Exit, exit_code
from carnet.cli.grantees import name_grantee
from carnet.cli.plain import plain
from carnet.cli.steps import showing_steps
from carnet.cli.whose_record import open_own
from carnet.documents.reencryption import reencrypt_record
from carnet.errors import CarnetError, UsageError
from carnet.grant_book import load_grants
from carnet.revocation import RevocationReport, begin_renewal, complete, complete_revocation, is_under_way
from carnet.revocation import revoke as end_grant
from carnet.session import Session
from carnet.short_ids import shorten


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
    access = open_own(session)
    book = load_grants(session, access)
    signed = book.find(grant)
    name = plain(name_grantee(session, signed.body.grantee))
    report = end_grant(session, book, signed)
    members, shown, code = _describe(report, name)
    if not is_complete or not report.is_everywhere:
        hint = f"To renew the keys as well: `carnet revoke {shorten(signed.body.id)} --complete`."
        return Answer(members, [*shown, Text(hint, style="dim")], code)
    desk.terminal.show(*shown)
    with showing_steps(desk.terminal) as on_step:
        done = complete_revocation(
            session, signed, on_step=on_step, reencrypt=reencrypt_record if is_reencrypting else None
        )
    more, lines, code = describe_completion(session, done)
    return Answer({**members, **more}, lines, code)


def _go_on(desk: Desk, session: Session, *, is_reencrypting: bool) -> Answer:
    """Go on with what was begun here; else with what another device, or a document that opens for nobody, left open."""
    access = open_own(session)
    if not is_under_way(session):
        if all(len(compartment.open_epochs) == 1 for compartment in access.compartments.values()):
            return Answer({"complete": True, "remade": 0}, [Text("Nothing is left to do.")])
        begin_renewal(session, ())
    with showing_steps(desk.terminal) as on_step:
        done = complete(session, on_step=on_step, reencrypt=reencrypt_record if is_reencrypting else None)
    return Answer(*describe_completion(session, done))


def _describe(report: RevocationReport, name: str) -> tuple[dict[str, object], list[Text], Exit]:
    """What became of a revocation; a server that did not hear of it is told with the next command."""
    members: dict[str, object] = {
        "revocation": str(report.revocation.hash),
        "grant": str(report.revocation.body.grant_id),
        "grantee_name": name,
    }
    shown = [Text(f"The grant to {name} is ended.")]
    code = Exit.DONE
    for server, outcome in (("vault", report.vault), ("key service", report.keyservice)):
        if isinstance(outcome, CarnetError):
            shown.append(Text(f"The {server} does not know it yet: {outcome}", style="yellow"))
            members[server.replace(" ", "")] = None
            code = exit_code(outcome)
        else:
            members[server.replace(" ", "")] = {"index": outcome.body.index, "time": outcome.body.time}
    return members, shown, code
