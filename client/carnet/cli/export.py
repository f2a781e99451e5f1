"""`carnet export`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.plain import plain
from carnet.cli.terminal import count
from carnet.cli.whose_record import open_own
from carnet.documents.export import export_record
from carnet.documents.listing import Document


@command
def export(
    desk: Desk,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="A new folder.")],
) -> Answer:
    """Write your whole record into a new folder that opens without any server.

    It holds the documents as plain files, an index, everything sealed as the vault has it, and the keys: whoever has
    the folder has the record. Keep it where you keep what is dear to you.
    """
    with desk.open_session() as session:
        open_own(session)
        with desk.terminal.tally("Exporting") as tally:

            def tell(document: Document, place: int, count: int) -> None:
                tally(document.metadata.title, place, count)

            report = export_record(session, folder, on_exported=tell)
    shown = [
        Text(
            f"Written into {plain(str(folder))}: {count(report.versions, 'version')}. Keep the folder as you keep the "
            "documents."
        )
    ]
    shown += [Text(plain(problem), style="red") for problem in report.problems]
    return Answer(
        {"folder": str(folder), "versions": report.versions, "problems": list(report.problems)},
        shown,
        Exit.REFUSED if report.problems else Exit.DONE,
    )
