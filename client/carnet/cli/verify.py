"""`carnet verify`."""

from rich.text import Text

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.plain import plain
from carnet.cli.terminal import count, format_size
from carnet.cli.whose_record import RecordOption, open_readable
from carnet.documents.listing import Document
from carnet.documents.verification import Verification, verify_record


@command
def verify(desk: Desk, *, record: RecordOption = None) -> Answer:
    """Fetch everything that you may see and check it all: signatures, digests, every byte. Writes nothing.

    Ends with 1 if anything does not verify.
    """
    with desk.open_session() as session, desk.terminal.tally("Verifying") as tally:

        def tell(document: Document, place: int, count: int) -> None:
            tally(document.metadata.title, place, count)

        reports = [verify_record(session, access, on_verified=tell) for access in open_readable(session, record)]
    return _answer(reports)


def _answer(reports: list[Verification]) -> Answer:
    versions, size = sum(report.versions for report in reports), sum(report.size for report in reports)
    problems = [problem for report in reports for problem in report.problems]
    counted = count(versions, "version")
    shown = [Text(f"{counted}, {format_size(size)}: every byte is as its author left it.")]
    if not versions:
        shown = [Text("There is nothing to verify.")]
    if problems:
        shown = [Text(f"Verified: {counted}. Not in order: {count(len(problems), 'thing')}.", style="bold red")]
        shown += [Text(plain(problem), style="red") for problem in problems]
    return Answer(
        {"versions": versions, "size": size, "problems": problems, "verified": not problems},
        shown,
        Exit.REFUSED if problems else Exit.DONE,
    )
