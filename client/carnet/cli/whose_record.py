"""Which record a command is about: one's own, or, for a practitioner, that of a patient who let them in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from carnet.access import RecordAccess, open_access
from carnet.cli.plain import plain
from carnet.cli.times import format_time
from carnet.documents.listing import Document, Listing, list_documents
from carnet.errors import GrantEndedError, NotFoundError, UsageError
from carnet.inbox import ReceivedGrant, load_inbox
from carnet.session import Session
from carnet.short_ids import is_beginning
from carnet_protocol.ids import CompartmentId
from carnet_protocol.statements import Permission, Role

RecordOption = Annotated[
    str | None,
    Option(
        "--record",
        metavar="PATIENT",
        help="For practitioners, whose record: the beginning of its id, or words of the patient's note.",
    ),
]


@dataclass(frozen=True, slots=True)
class Found:
    """A document, and the access through which it was found."""

    access: RecordAccess
    document: Document


def is_patient(session: Session) -> bool:
    """Whether this person is a patient, who has a record of their own."""
    return session.keyring.body.role is Role.PATIENT


def open_own(session: Session) -> RecordAccess:
    """The patient's own record. Raises `UsageError` for a practitioner, else as `open_access`."""
    require_patient(session)
    return open_access(session, session.record)


def require_patient(session: Session) -> None:
    """Refuse a practitioner. Raises `UsageError`."""
    if not is_patient(session):
        raise UsageError("this is for patients: a practitioner has no record of their own")


def open_readable(session: Session, named: str | None) -> list[RecordAccess]:
    """Every access to read the record that is meant: one's own, or those under each grant of the patient `named`.

    Raises `UsageError`, `NotFoundError`, `GrantEndedError` or what opening raises.
    """
    if is_patient(session):
        return [_own_unless_named(session, named)]
    return [
        open_access(session, received.record, received.grant.hash)
        for received in find_grants(session, named, Permission.READ)
    ]


def open_for_deposit(session: Session, named: str | None) -> RecordAccess:
    """The access to deposit into the record that is meant. Raises as `open_readable`."""
    if is_patient(session):
        return _own_unless_named(session, named)
    grants = find_grants(session, named, Permission.DEPOSIT)
    if len(grants) > 1:
        raise UsageError("this patient lets you deposit in several places: name one with --grant, see `carnet inbox`")
    return open_access(session, grants[0].record, grants[0].grant.hash)


def open_under_grant(session: Session, text: str) -> RecordAccess:
    """The access under the received grant whose id begins with `text`. Raises `NotFoundError` or as opening."""
    found = [received for received in load_inbox(session).grants if is_beginning(text, received.grant.body.id)]
    if len(found) != 1:
        raise NotFoundError("no grant to you, or more than one, begins like this: see `carnet inbox`")
    return open_access(session, found[0].record, found[0].grant.hash)


def find_grants(session: Session, named: str | None, permission: Permission) -> list[ReceivedGrant]:
    """The grants in force of `permission`, all of one patient. Raises as `open_readable`."""
    received = [entry for entry in load_inbox(session).grants if entry.grant.body.permission is permission]
    if not received:
        raise GrantEndedError(f"no patient lets you {permission.value} at present: ask them for a grant")
    if named is not None:
        received = [entry for entry in received if _is_meant(entry, named)]
    if not received:
        raise NotFoundError("no patient who lets you do this is named so: see `carnet inbox`")
    if len({entry.record for entry in received}) > 1:
        raise UsageError("several patients let you in: say whose record with --record, see `carnet inbox`")
    now = session.clock()
    in_force = [entry for entry in received if entry.grant.body.not_before <= now]
    if not in_force:
        begins = min(entry.grant.body.not_before for entry in received)
        raise GrantEndedError(f"this grant begins on {format_time(begins)}: try again then")
    return in_force


def list_all(session: Session, accesses: Sequence[RecordAccess]) -> tuple[list[Found], list[Listing]]:
    """Every document of `accesses`, newest first, each once, and the listings it came from."""
    listings = [list_documents(session, access) for access in accesses]
    found = {
        document.id: Found(access, document)
        for access, listing in zip(accesses, listings, strict=True)
        for document in listing.documents
    }
    ordered = sorted(found.values(), key=lambda one: _age(one.document), reverse=True)
    return ordered, listings


def find_document(session: Session, accesses: Sequence[RecordAccess], text: str) -> Found:
    """The one document that `text` names, as `pick_document` says. Raises `NotFoundError`."""
    return pick_document(list_all(session, accesses)[0], text)


def pick_document(documents: Sequence[Found], text: str) -> Found:
    """The one of `documents` whose id begins with `text`, whose title it is, or begins with it, tried in this order.

    Raises `NotFoundError`.
    """
    wanted = text.strip().casefold()
    titles = [(found, found.document.metadata.title.casefold()) for found in documents]
    tried = (
        [found for found in documents if is_beginning(text, found.document.id)],
        [found for found, title in titles if title == wanted],
        [found for found, title in titles if wanted and title.startswith(wanted)],
    )
    for matches in tried:
        if len(matches) == 1:
            return matches[0]
    reason = "several documents have" if any(tried) else "no document has"
    raise NotFoundError(f"{reason} an id or a title that begins with {plain(text)!r}: see `carnet list`")


def find_compartment(access: RecordAccess, name: str) -> CompartmentId:
    """The patient's compartment called `name`. Raises `NotFoundError`, naming those there are."""
    names = compartment_names(access)
    if not names:
        raise NotFoundError("your record has no parts yet: run `carnet record open`")
    for compartment, known in names.items():
        if known.casefold() == name.casefold():
            return compartment
    raise NotFoundError(f"the record has no part called {name!r}; it has {', '.join(sorted(names.values()))}")


def compartment_names(access: RecordAccess) -> dict[CompartmentId, str]:
    """The compartments of `access` and their names; those whose name this person cannot read are left out."""
    return {id_: held.name for id_, held in access.compartments.items() if held.name is not None}


def _own_unless_named(session: Session, named: str | None) -> RecordAccess:
    if named is not None and not is_beginning(named, session.record):
        raise UsageError("a patient's home holds one record, their own: leave --record away")
    return open_access(session, session.record)


def _is_meant(entry: ReceivedGrant, named: str) -> bool:
    words = named.strip().casefold()
    return is_beginning(named, entry.record) or (words != "" and words in (entry.note or "").casefold())


def _age(document: Document) -> tuple[str, int, str]:
    return document.metadata.care_date or "", document.version.manifest.body.created_at, str(document.id)
