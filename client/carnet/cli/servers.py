"""What became at each server of what only restricts, and of what waited to be sent, in words and as JSON."""

from collections.abc import Iterator, Mapping

from rich.text import Text

from carnet.cli.exits import Exit, exit_code
from carnet.cli.plain import plain
from carnet.errors import CarnetError, PartialError
from carnet.outbox import Restriction, Unsent
from carnet.short_ids import shorten
from carnet.transport import ServerName
from carnet_protocol.statements import Erasure, Receipt, Revocation, Signed

Outcomes = Mapping[ServerName, Signed[Receipt] | CarnetError]


def describe_outcomes(outcomes: Outcomes) -> tuple[dict[str, object], list[Text], Exit]:
    """The members for `--json`, the lines for a person, and how the command ends."""
    members: dict[str, object] = {}
    shown: list[Text] = []
    code = Exit.DONE
    for server, outcome in outcomes.items():
        member = server.replace(" ", "")
        if isinstance(outcome, CarnetError):
            next_step = "" if isinstance(outcome, PartialError) else "; run the same command again"
            shown.append(Text(f"The {server} does not know it yet: {plain(str(outcome))}{next_step}", style="yellow"))
            members[member] = None
            code = exit_code(outcome)
        else:
            members[member] = {"index": outcome.body.index, "time": outcome.body.time}
    return members, shown, code


def describe_unsent(unsent: Unsent) -> Iterator[str]:
    """What a person is to know of `unsent`: all that is given up; of what waits on, what only restricts."""
    for restriction in unsent.restrictions:
        what, again = _describe_restriction(restriction)
        if unsent.is_kept:
            yield f"{what} still waits to be sent: {unsent.error}"
        else:
            yield f"{what} was refused and is not kept any more: {unsent.error}; run {again} again"
    if not (unsent.is_kept or unsent.restrictions):
        yield f"what an earlier command could not send was refused and is not kept any more: {unsent.error}"


def _describe_restriction(restriction: Restriction) -> tuple[str, str]:
    """What it is, and the command that makes it."""
    if isinstance(restriction, Revocation):
        name = shorten(restriction.grant_id)
        return f"the revocation of grant {name}", f"`carnet revoke {name}`"
    if isinstance(restriction, Erasure):
        return "the erasure of your record", "`carnet erase`"
    name = shorten(restriction.device)
    return f"the removal of device {name}", f"`carnet device remove {name}`"
