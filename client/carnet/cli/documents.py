"""How documents are shown: in tables, in detail, and as JSON."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from carnet.cli.plain import plain, plain_lines
from carnet.cli.terminal import facts, format_size, table
from carnet.cli.times import format_day, format_time
from carnet.cli.whose_record import Found, compartment_names
from carnet.documents.listing import Listing
from carnet.short_ids import shorten
from carnet_protocol.ids import CompartmentId


def describe_document(found: Found) -> dict[str, object]:
    """A document as JSON shows it."""
    document, body = found.document, found.document.version.manifest.body
    compartment = document.compartment
    return {
        "document": str(document.id),
        "version": document.version.number,
        "title": document.metadata.title,
        "kind": document.metadata.kind.model_dump(mode="json"),
        "care_date": document.metadata.care_date,
        "author": str(body.author),
        "author_name": document.metadata.author_name,
        "created_at": body.created_at,
        "media_type": document.metadata.media_type,
        "size": document.metadata.size,
        "file_name": document.metadata.file_name,
        "comment": document.metadata.comment,
        "compartment": None if compartment is None else str(compartment),
        "compartment_name": name_of(found),
    }


def name_of(found: Found) -> str | None:
    """The name of the compartment in which a document is filed, if this person may know it."""
    return _lookup(compartment_names(found.access), found.document.compartment)


def tabulate(documents: Iterable[Found]) -> Table:
    """A table of documents."""
    made = table("Id", "Of", "Title", "Part", "By", "Size", right=("Size",))
    for found in documents:
        metadata = found.document.metadata
        made.add_row(
            Text(shorten(found.document.id), style="cyan"),
            format_day(metadata.care_date),
            plain(metadata.title),
            plain(name_of(found) or "-"),
            plain(metadata.author_name),
            format_size(metadata.size),
        )
    return made


def detail(found: Found) -> Table:
    """All that is known of one document."""
    document, metadata = found.document, found.document.metadata
    body = document.version.manifest.body
    pairs: list[tuple[str, RenderableType]] = [
        ("Title", Text(plain(metadata.title), style="bold")),
        ("Document", Text(str(document.id), style="cyan")),
        ("Version", str(document.version.number)),
        ("Kind", plain(f"{metadata.kind.display} ({metadata.kind.code})")),
        ("Date of care", format_day(metadata.care_date)),
        ("By", plain(metadata.author_name)),
        ("Signed by", str(body.author)),
        ("Deposited", format_time(body.created_at)),
        ("Part", plain(name_of(found) or "-")),
        ("Size", f"{format_size(metadata.size)} ({metadata.size} bytes), {metadata.media_type}"),
        ("File name", plain(metadata.file_name or "-")),
    ]
    if metadata.comment:
        pairs.append(("Comment", plain_lines(metadata.comment)))
    return facts(*pairs)


def describe_problems(listings: Iterable[Listing]) -> list[dict[str, str]]:
    """What did not verify, as JSON."""
    return [
        {"document": problem.document, "reason": problem.reason} for listing in listings for problem in listing.problems
    ]


def warn(listings: Sequence[Listing]) -> list[Text]:
    """A line for each document that did not verify."""
    return [
        Text(f"{shorten(problem.document)}  {plain(problem.reason)}", style="red")
        for listing in listings
        for problem in listing.problems
    ]


def _lookup(names: Mapping[CompartmentId, str], compartment: CompartmentId | None) -> str | None:
    return None if compartment is None else names.get(compartment)
