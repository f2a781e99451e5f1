"""`carnet remove`."""

from typing import Annotated

from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, Desk, command
from carnet.cli.exits import Exit
from carnet.cli.plain import plain
from carnet.cli.show import DocumentArgument
from carnet.cli.whose_record import is_patient, list_all, open_own, open_under_grant, pick_document
from carnet.documents.listing import list_own_deposits
from carnet.documents.removal import find_newest, remove_document
from carnet.errors import NotFoundError, UsageError, VerificationError
from carnet.session import Session
from carnet.short_ids import is_beginning
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Manifest, Signed, TombstoneReason


@command
def remove(
    desk: Desk,
    document: DocumentArgument,
    *,
    reason: Annotated[
        TombstoneReason | None, Option("--reason", metavar="REASON", help=f"One of {', '.join(TombstoneReason)}.")
    ] = None,
    grant: Annotated[
        str | None,
        Option("--grant", metavar="GRANT", help="For practitioners: under which it was deposited."),
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    r"""Take a document, with all its versions, out of a record for good.

    A patient removes any document; its author, what they deposited by mistake. It cannot be undone: fetch the document
    first if you may want it back. A document that does not verify, or does not open, is removed by its id.

    \b
    Examples:
      carnet remove Kq3zR8tw
      carnet remove Kq3zR8tw --grant x7Qm --reason misfiled
    """
    with desk.open_session() as session:
        if is_patient(session):
            manifest, title = _find_own(session, document)
            why = reason or TombstoneReason.PATIENT_REQUEST
        else:
            manifest = _find_deposit(session, document, grant)
            title = f"document {manifest.body.document}"
            why = reason or TombstoneReason.MISFILED
        question = f"Remove “{plain(title)}” for good?"
        if not desk.terminal.agrees(question, is_said=yes):
            desk.terminal.say("Nothing was removed.")
            return Answer({"document": str(manifest.body.document), "removed": False}, exit=Exit.REFUSED)
        tombstone = remove_document(session, manifest, reason=why)
    return Answer(
        {"document": str(manifest.body.document), "removed": True, "statement": str(tombstone.hash)},
        [Text(f"{plain(title)} was removed.")],
    )


def _find_own(session: Session, text: str) -> tuple[Signed[Manifest], str]:
    """The newest manifest of the document in one's own record that `text` names, and what to call it."""
    access = open_own(session)
    documents, listings = list_all(session, [access])
    listed = {str(found.document.id) for found in documents}
    unread = {problem.document for listing in listings for problem in listing.problems} - listed
    named = [name for name in (*listed, *unread) if is_beginning(text, name)]
    if len(named) != 1 or named[0] in listed:
        found = pick_document(documents, text)
        return found.document.version.manifest, found.document.metadata.title
    return find_newest(session, access, _parse(named[0])), f"document {named[0]}"


def _parse(name: str) -> DocumentId:
    """The id that the vault gave a document which does not open. Raises `VerificationError`."""
    try:
        return DocumentId.parse(name)
    except MalformedError as error:
        raise VerificationError("the vault shows a document without an id: ask its operator") from error


def _find_deposit(session: Session, document: str, grant: str | None) -> Signed[Manifest]:
    if grant is None:
        raise UsageError("name the grant under which you deposited it with --grant, see `carnet inbox`")
    deposits = list_own_deposits(session, open_under_grant(session, grant))
    newest = {str(manifest.body.document): manifest for manifest in deposits}
    found = [manifest for name, manifest in newest.items() if is_beginning(document, name)]
    if len(found) != 1:
        raise NotFoundError("no deposit of yours, or more than one, begins like this: `carnet add` showed its id")
    return found[0]
