"""`carnet list`."""

from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.documents import describe_document, describe_problems, tabulate, warn
from carnet.cli.exits import Exit
from carnet.cli.times import format_span, format_time
from carnet.cli.whose_record import Found, RecordOption, find_compartment, list_all, open_own, open_readable
from carnet.documents.listing import Listing
from carnet.short_ids import shorten


@command
def list_documents(
    desk: Desk,
    *,
    part: Annotated[str | None, Option("--compartment", metavar="NAME", help="Only this part of the record.")] = None,
    removed: Annotated[bool, Option("--removed", help="For patients: what was removed instead.")] = False,
    record: RecordOption = None,
) -> Answer:
    r"""List the documents that you may see, newest first.

    \b
    Examples:
      carnet list
      carnet list --compartment laboratory
      carnet list --record "Mrs Meier"
    """
    with desk.open_session() as session:
        if removed:
            return _answer_removed(list_all(session, [open_own(session)])[1])
        accesses = open_readable(session, record)
        documents, listings = list_all(session, accesses)
        if part is not None:
            wanted = {find_compartment(access, part) for access in accesses if access.compartments}
            documents = [found for found in documents if found.document.compartment in wanted]
        ends = [access.grant.body.expires for access in accesses if access.grant is not None]
        return _answer(documents, listings, seconds_left=min(ends) - session.clock() if ends else None)


def _answer(documents: list[Found], listings: list[Listing], *, seconds_left: int | None) -> Answer:
    problems = describe_problems(listings)
    shown: list[RenderableType] = [tabulate(documents) if documents else Text("There is no document here.")]
    if seconds_left is not None:
        shown.append(Text(f"Your access ends in {format_span(seconds_left)}.", style="dim"))
    if problems:
        shown += [Text("These did not verify, and were not opened:", style="bold red"), *warn(listings)]
    return Answer(
        {"documents": [describe_document(found) for found in documents], "problems": problems},
        shown,
        Exit.REFUSED if problems else Exit.DONE,
    )


def _answer_removed(listings: list[Listing]) -> Answer:
    tombstones = [tombstone.body for listing in listings for tombstone in listing.tombstones]
    return Answer(
        {
            "removed": [
                {
                    "document": str(body.document),
                    "by": str(body.by),
                    "reason": body.reason.value,
                    "issued_at": body.issued_at,
                }
                for body in tombstones
            ]
        },
        [Text(f"{shorten(body.document)}  {format_time(body.issued_at)}  {body.reason.value}") for body in tombstones]
        or [Text("Nothing was removed.")],
    )
