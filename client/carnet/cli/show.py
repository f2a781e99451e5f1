"""`carnet show`."""

from typing import Annotated

from typer import Argument

from carnet.cli.command import Answer, Desk, command
from carnet.cli.documents import describe_document, detail
from carnet.cli.whose_record import RecordOption, find_document, open_readable

DocumentArgument = Annotated[
    str, Argument(metavar="DOCUMENT", help="The beginning of its id, as `carnet list` shows it, or of its title.")
]


@command
def show(desk: Desk, document: DocumentArgument, *, record: RecordOption = None) -> Answer:
    """Show what is known of one document, without opening it."""
    with desk.open_session() as session:
        found = find_document(session, open_readable(session, record), document)
        return Answer(describe_document(found), [detail(found)])
