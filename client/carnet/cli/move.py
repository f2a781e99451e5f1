"""`carnet move`."""

from typing import Annotated

from rich.text import Text
from typer import Argument

from carnet.cli.command import Answer, Desk, command
from carnet.cli.plain import plain
from carnet.cli.show import DocumentArgument
from carnet.cli.whose_record import find_compartment, find_document, open_own
from carnet.documents.filing import move_document


@command
def move(
    desk: Desk,
    document: DocumentArgument,
    compartment: Annotated[str, Argument(metavar="PART", help="The part of the record to put it in.")],
) -> Answer:
    r"""Move a document, with all its versions, to another part of your record.

    Whoever does not read that part no longer sees the document, and cannot tell that there is one. Somebody whom you
    let read this one document goes on reading it. What was fetched before cannot be called back.

    \b
    Example, to hide a document:
      carnet move Kq3zR8tw private
    """
    with desk.open_session() as session:
        access = open_own(session)
        target = find_compartment(access, compartment)
        found = find_document(session, [access], document)
        title = plain(found.document.metadata.title)
        if found.document.compartment == target and not found.document.is_filed_apart:
            return Answer(
                {"document": str(found.document.id), "compartment": str(target), "moved": False},
                [Text(f"{title} is in {plain(compartment)} already.")],
            )
        filing = move_document(session, access, found.document, target)
        return Answer(
            {
                "document": str(found.document.id),
                "compartment": str(target),
                "moved": True,
                "statement": str(filing.hash),
            },
            [Text(f"{title} is now in {plain(compartment)}.")],
        )
