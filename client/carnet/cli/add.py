"""`carnet add`."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Argument, Option

from carnet.access import RecordAccess
from carnet.cli.command import Answer, Desk, command
from carnet.cli.deposits import Wish, collect_files, deposit_all, plan_deposit
from carnet.cli.plain import plain
from carnet.cli.terminal import format_size, table
from carnet.cli.whose_record import (
    RecordOption,
    find_compartment,
    find_document,
    is_patient,
    open_for_deposit,
    open_under_grant,
)
from carnet.documents.deposit import NewVersion
from carnet.documents.listing import list_own_deposits
from carnet.documents.spool import forget_unfinished
from carnet.errors import NotFoundError, UsageError
from carnet.session import Session
from carnet.short_ids import is_beginning, shorten
from carnet.succession import fetch_practitioner
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.statements import Manifest, Signed


@command
def add(
    desk: Desk,
    files: Annotated[list[Path], Argument(metavar="FILE", help="Files; of a folder, every file in it.")],
    *,
    title: Annotated[str | None, Option("--title", metavar="TEXT", help="Its title; guessed, if not given.")] = None,
    kind: Annotated[
        str | None,
        Option(
            "--kind", metavar="KIND", help="What it is: letter, laboratory, imaging, ... or a LOINC code and a name."
        ),
    ] = None,
    care_date: Annotated[
        str | None, Option("--date", metavar="YYYY-MM-DD", help="The day of care that it is about.")
    ] = None,
    comment: Annotated[str | None, Option("--comment", metavar="TEXT", help="A word on it.")] = None,
    author: Annotated[str | None, Option("--author", metavar="NAME", help="The name shown beside it.")] = None,
    compartment: Annotated[
        str | None, Option("--compartment", metavar="PART", help="The part of the record; by its kind, if not given.")
    ] = None,
    correct: Annotated[
        str | None, Option("--new-version-of", metavar="DOCUMENT", help="It corrects this document of yours.")
    ] = None,
    record: RecordOption = None,
    grant: Annotated[
        str | None, Option("--grant", metavar="GRANT", help="For practitioners: under which grant, see `carnet inbox`.")
    ] = None,
) -> Answer:
    r"""Put files into your record, or, as a practitioner, into that of a patient who lets you deposit.

    Each file is encrypted on this machine. Type, kind, title and date are guessed from PDF, DICOM, FHIR and the file's
    name where you do not give them. A command that was cut is simply run again, and goes on where it was.

    \b
    Examples:
      carnet add letter.pdf
      carnet add scan.dcm --title "Chest CT" --date 2026-09-09
      carnet add results/ --kind laboratory
      carnet add report.pdf --record "Mrs Meier"
    """
    wish = Wish(title=title, kind=kind, care_date=care_date, comment=comment)
    sources = collect_files(files)
    if len(sources) > 1 and (title is not None or correct is not None):
        raise UsageError("--title and --new-version-of are for one file: give one")
    with desk.open_session() as session:
        forget_unfinished(session)  # what a kill left behind; what can be gone on with stays
        access = open_under_grant(session, grant) if grant else open_for_deposit(session, record)
        previous = None if correct is None else _find_own(session, access, correct)
        part = _choose_part(session, access, compartment)
        name = author or _author_name(session)
        versions = [
            plan_deposit(source, wish, access, part=part, author_name=name, previous=previous) for source in sources
        ]
        documents = deposit_all(desk.terminal, session, access, versions)
    return _answer(versions, documents)


def _choose_part(session: Session, access: RecordAccess, name: str | None) -> CompartmentId | None:
    if is_patient(session):
        return None if name is None else find_compartment(access, name)
    if name is not None:
        raise UsageError("the patient's grant says where you deposit: leave --compartment away")
    return next(iter(access.compartments))


def _find_own(session: Session, access: RecordAccess, text: str) -> Signed[Manifest]:
    """The newest manifest of the document that `text` names, deposited by this person."""
    if access.grant is None:
        return find_document(session, [access], text).document.version.manifest
    newest = {str(manifest.body.document): manifest for manifest in list_own_deposits(session, access)}
    found = [manifest for name, manifest in newest.items() if is_beginning(text, name)]
    if len(found) != 1:
        raise NotFoundError("no deposit of yours, or more than one, begins like this: `carnet add` showed its id")
    return found[0]


def _author_name(session: Session) -> str:
    """What readers see beside a document: a practitioner's attested name."""
    if is_patient(session):
        return "Patient"
    return fetch_practitioner(session, session.identity).attestation.body.name


def _answer(versions: list[NewVersion], documents: list[DocumentId]) -> Answer:
    lines = table("Id", "Title", "Kind", "Size", right=("Size",))
    added: list[dict[str, object]] = []
    for version, document in zip(versions, documents, strict=True):
        size = version.source.stat().st_size
        lines.add_row(
            Text(shorten(document), style="cyan"), plain(version.title), plain(version.kind.display), format_size(size)
        )
        added.append(
            {
                "path": str(version.source),
                "document": str(document),
                "version": 1 if version.previous is None else version.previous.body.version + 1,
                "title": version.title,
                "kind": version.kind.model_dump(mode="json"),
                "care_date": version.care_date,
                "media_type": version.media_type,
                "size": size,
                "compartment": str(version.compartment),
            }
        )
    return Answer({"added": added}, [lines])
