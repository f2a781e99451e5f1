"""`carnet get`."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final

from rich.text import Text
from typer import Argument, Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.documents import describe_document
from carnet.cli.places import check_place, choose_place, file_name, free_place, make_folder, taken_places
from carnet.cli.plain import plain
from carnet.cli.terminal import format_size
from carnet.cli.whose_record import Found, RecordOption, list_all, open_readable, pick_document
from carnet.content import CommitmentKey, is_copy
from carnet.documents.reading import OpenedDocument, open_document
from carnet.errors import UsageError
from carnet.session import Session
from carnet.whole_file import replace_file
from carnet_protocol.suites import parse_suite

_RANGE: Final = re.compile(r"(\d{1,15})-(\d{1,15})?")
_MOST_RANGE_BYTES: Final = 1 << 28
_TOO_LONG: Final = "a range has at most 256 MiB: fetch the whole document instead"


@command
def get(
    desk: Desk,
    documents: Annotated[
        list[str] | None,
        Argument(metavar="DOCUMENT", help="Beginnings of ids, as `carnet list` shows them, or titles."),
    ] = None,
    *,
    everything: Annotated[bool, Option("--all", help="Every document that you may see.")] = False,
    out: Annotated[
        Path | None, Option("--out", metavar="PLACE", help="File, or folder, to write to; here, if not given.")
    ] = None,
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
    version: Annotated[
        int | None, Option("--version", metavar="N", min=1, help="This version, not the newest.")
    ] = None,
    byte_range: Annotated[
        str | None, Option("--range", metavar="FROM-TO", help="Only these bytes, both included, counted from 0.")
    ] = None,
    record: RecordOption = None,
) -> Answer:
    r"""Fetch documents: every byte is checked before a file appears under its name.

    The fetch is written down, and the patient sees it. Where the network is cut it goes on. Of several documents,
    those that are here already are not fetched again.

    \b
    Examples:
      carnet get Kq3zR8tw
      carnet get "Chest CT" --out ~/ct.dcm
      carnet get --all --out folder
      carnet get Kq3zR8tw --range 0-1023 --out head.bin
    """
    wanted = documents or []
    if bool(wanted) == everything:
        raise UsageError("name the documents to fetch, or all of them with --all")
    if (version is not None or byte_range is not None) and len(wanted) != 1:
        raise UsageError("--version and --range are for one document: name it")
    span = None if byte_range is None else _parse_range(byte_range)
    with desk.open_session() as session:
        found, _ = list_all(session, open_readable(session, record))
        chosen = found if everything else [pick_document(found, text) for text in wanted]
        if span is not None:
            return _get_range(session, chosen[0], version, span, out, may_overwrite=force)
        return _get_whole(desk, session, chosen, version, out, may_overwrite=force)


def _get_whole(
    desk: Desk, session: Session, chosen: list[Found], version: int | None, out: Path | None, *, may_overwrite: bool
) -> Answer:
    is_one = len(chosen) == 1
    if not is_one and out is not None:
        make_folder(out)
    written: list[dict[str, object]] = []
    kept: list[dict[str, object]] = []
    shown: list[Text] = []
    places: set[Path] = set()
    for one in chosen:
        place = None if is_one or may_overwrite else _find_copy(one, out or Path(), places)
        if place is not None:
            places.add(place)
            kept.append({**describe_document(one), "version": one.document.version.number, "path": str(place)})
            shown.append(Text(f"{plain(str(place))}  is here already", style="dim"))
            continue
        opened = open_document(session, one.access, one.document.id, version=version)
        if is_one or may_overwrite:
            place = choose_place(out, opened.metadata, may_overwrite=may_overwrite)
        else:
            place = free_place(out or Path(), file_name(opened.metadata))
        _save(desk, opened, place)
        places.add(place)
        written.append({**describe_document(one), "version": opened.version.number, "path": str(place)})
        shown.append(Text(f"{plain(str(place))}  {format_size(opened.metadata.size)}"))
    return Answer({"written": written, "already_here": kept}, shown)


def _find_copy(one: Found, folder: Path, taken: Collection[Path]) -> Path | None:
    """The file in `folder` that an earlier command wrote for this very document and version, if there is one."""
    body, metadata = one.document.version.manifest.body, one.document.metadata
    for place in taken_places(folder, file_name(metadata)):
        if place not in taken and is_copy(
            place,
            parse_suite(body.suite),
            CommitmentKey(metadata.commitment_key.raw),
            true_size=metadata.size,
            plaintext_commitment=body.plaintext_commitment,
        ):
            return place
    return None


def _save(desk: Desk, opened: OpenedDocument, place: Path) -> None:
    with desk.terminal.progress(opened.metadata.title, opened.sealed.ciphertext_size) as bar:
        opened.save(place, on_progress=bar.move)


def _get_range(
    session: Session,
    one: Found,
    version: int | None,
    span: tuple[int, int | None],
    out: Path | None,
    *,
    may_overwrite: bool,
) -> Answer:
    offset, length = span
    if out is None or out.is_dir():
        raise UsageError("a part of a document needs a file name of its own: give one with --out")
    check_place(out, may_overwrite=may_overwrite)
    opened = open_document(session, one.access, one.document.id, version=version)
    if offset >= opened.metadata.size:
        raise UsageError(f"the document has {opened.metadata.size} bytes: take a range inside of it")
    left = opened.metadata.size - offset
    if length is None and left > _MOST_RANGE_BYTES:
        raise UsageError(f"{format_size(left)} are left from there: {_TOO_LONG}")
    piece = opened.read_range(offset=offset, length=left if length is None else min(length, left))
    replace_file(out, piece)
    end = offset + len(piece) - 1
    return Answer(
        {**describe_document(one), "path": str(out), "first": offset, "last": end},
        [Text(f"{plain(os.fspath(out))}  bytes {offset} to {end}")],
    )


def _parse_range(text: str) -> tuple[int, int | None]:
    """First byte and length; None for a range that goes to the end. Raises `UsageError`."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise UsageError('a range is two numbers, such as "0-1023"; "1024-" goes to the end')
    first = int(match[1])
    if not match[2]:
        return first, None
    length = int(match[2]) - first + 1
    if length < 1:
        raise UsageError("a range begins before it ends")
    if length > _MOST_RANGE_BYTES:
        raise UsageError(_TOO_LONG)
    return first, length
