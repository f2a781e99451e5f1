"""`carnet officer destruction` and `report`: what officers sign for a key service, and what it signed for them."""

from pathlib import Path
from typing import Annotated, Final

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.files import read_file
from carnet.cli.officer_home import open_home
from carnet.cli.options import CardOption, FingerprintOption, take_card
from carnet.cli.terminal import facts
from carnet.cli.times import format_time, parse_duration, parse_moment
from carnet.errors import UsageError
from carnet.officer import parse_report
from carnet.session import read_clock
from carnet.whole_file import replace_file

_JOBS: Final = {
    "master": "rotation of the master key",
    "locks": "rotation of record locks",
    "suite": "record locks brought to a newer suite",
    "destruction": "destruction of retired record locks",
}
_SaveOption = Annotated[Path, Option("--save", metavar="FILE", help="Write the signed order to FILE.")]


@command
def destruction(
    desk: Desk,
    *,
    card: CardOption,
    save: _SaveOption,
    master_key: Annotated[
        int | None, Option("--master-key", metavar="VERSION", min=1, help="Destroy this version of the master key.")
    ] = None,
    locks_retired_before: Annotated[
        str | None,
        Option("--locks-retired-before", metavar="TIME", help="Destroy the record locks that were retired before."),
    ] = None,
    good_for: Annotated[str, Option("--for", metavar="SPAN", help="How long the order is good, a week at most.")] = (
        "3 days"
    ),
    fingerprint: FingerprintOption = None,
) -> Answer:
    r"""Sign an order to destroy keys of a key service, for good. It works offline; two officers must order the same.

    Of two officers of whom one enrolled the other, or a third enrolled both, one counts.

    \b
    Examples:
      carnet officer destruction --card card.jws --master-key 1 --save order.jws
      carnet officer destruction --card card.jws --locks-retired-before 2026-09-01 --save order.jws
    Then, on the key service's machine:
      carnet-keyservice keys destroy 1 --order first.jws --order second.jws
      carnet-keyservice keys destroy-locks --order first.jws --order second.jws
    """
    if (master_key is None) == (locks_retired_before is None):
        raise UsageError("say what is to be destroyed: --master-key or --locks-retired-before")
    now = read_clock()
    service = take_card(card, fingerprint)
    opened = open_home(desk)
    order = opened.order_destruction(
        service.body.keyservice.fingerprint(),
        version=master_key,
        retired_before=None if locks_retired_before is None else parse_moment(locks_retired_before, now=now),
        now=now,
        seconds=parse_duration(good_for),
    )
    replace_file(save, f"{order.text}\n".encode("ascii"), mode=0o644)
    body = order.body
    return Answer(
        {**body.model_dump(mode="json"), "saved": str(save)},
        [
            facts(
                ("Destroys", f"master key {body.version}" if body.version else "retired record locks"),
                *((("Retired before", format_time(body.retired_before)),) if body.retired_before is not None else ()),
                ("At the key service", str(body.keyservice)),
                ("Good until", format_time(body.expires)),
            ),
            Text("A second officer must order the same. What is destroyed never comes back.", style="dim"),
        ],
    )


@command
def report(
    desk: Desk,
    file: Annotated[Path, Argument(metavar="FILE", help="What `carnet-keyservice rotate report --save` wrote.")],
    *,
    card: CardOption,
    fingerprint: FingerprintOption = None,
) -> Answer:
    """Check the signed report of a rotation against the service card, and show it. For officers and auditors."""
    del desk
    service = take_card(card, fingerprint)
    body = parse_report(read_file(file), service.body.keyservice).body
    return Answer(
        body.model_dump(mode="json"),
        [
            facts(
                ("Job", _JOBS[body.rotates]),
                ("Outcome", body.outcome),
                ("Begun", format_time(body.begun_at)),
                ("Ended", format_time(body.ended_at)),
                *((("From version", str(body.old_version)),) if body.old_version is not None else ()),
                *((("To version", str(body.new_version)),) if body.new_version is not None else ()),
                ("Items", f"{body.total:,}"),
                *((f"Done in {each.name}", f"{each.count:,}") for each in body.done),
                *(("Skipped", f"{each.count:,}: {each.name}") for each in body.skipped),
                ("Still under the old version", f"{body.old_references:,}"),
            ),
            Text("Signed by the key service in the card.", style="green"),
        ],
    )
