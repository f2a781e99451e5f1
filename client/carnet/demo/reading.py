"""The chapter of the doctor: refused before, let in, reading, refused outside and after, finding nothing hidden."""

import filecmp
import secrets
import time

from carnet.access import RecordAccess, open_access
from carnet.demo.attempts import ask_all, fetch, look_closely, look_in
from carnet.demo.canaries import Needle
from carnet.demo.opening import part
from carnet.demo.stage import ALICE, BOB, Kept, Stage
from carnet.demo.step import Chapter, Step
from carnet.documents.listing import list_documents, metadata_item
from carnet.documents.reading import open_document
from carnet.grants import make_grant, plan_reading, visible_documents
from carnet.inbox import load_inbox
from carnet.profiles import ProfileName, find_profile
from carnet_protocol.api import ReleaseItem
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Purpose, Signed

_HOUR = 3600
_SHORT_SECONDS = 2
_PROBE_BYTES = 4096
_NOTE = "Alice, rendez-vous de 14 heures"


def read_without_grant(stage: Stage) -> str:
    """A signed request of an attested doctor, but no grant."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    attempts = [*look_in(bob, record, None), *fetch(bob, record, stage.papers["letter"].id, None)]
    return ask_all(attempts)


def read_before(stage: Stage) -> str:
    """A grant that begins in an hour opens nothing now."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    grant = _let_read(stage, ["general"], seconds=_HOUR, in_seconds=_HOUR)
    return ask_all([*look_in(bob, record, grant.hash), *fetch(bob, record, stage.papers["letter"].id, grant.hash)])


def let_in(stage: Stage) -> str:
    """Alice sees the exact list first, then signs a grant of half an hour."""
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    profile = find_profile(ProfileName.CONSULTATION)
    plan = plan_reading(
        session,
        access,
        stage.sessions[BOB].identity,
        compartments=[part(access, name) for name in profile.compartments],
        seconds=profile.seconds,
        purpose=profile.purpose,
        note=_NOTE,
    )
    stage.needles.append(Needle("note in a grant", _NOTE.encode()))
    shown = {document.id for document in visible_documents(plan, list_documents(session, access).documents)}
    stage.grants[BOB] = make_grant(session, access, plan)
    return "granted" if shown == _ids(stage, "letter", "results") else "wrong list"


def read_all(stage: Stage) -> str:
    """Bob finds Alice in his inbox, lists what she let him see, and reads it."""
    bob = stage.sessions[BOB]
    received = next(one for one in load_inbox(bob).grants if one.grant.hash == stage.grants[BOB].hash)
    if received.note != _NOTE:
        return "another note"
    access = open_access(bob, received.record, received.grant.hash)
    listing = list_documents(bob, access)
    if {document.id for document in listing.documents} != _ids(stage, "letter", "results") or listing.problems:
        return "another list"
    kept = Kept(access, [])
    stage.kept[BOB] = kept
    for name in ("letter", "results"):
        if not _read(stage, access, name, kept):
            return "other bytes"
    return "identical"


def read_outside(stage: Stage) -> str:
    """The CT study lies in a part that the grant does not cover."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    return ask_all(fetch(bob, record, stage.papers["study"].id, stage.grants[BOB].hash))


def let_read_study(stage: Stage) -> str:
    """Alice adds a grant for one single document."""
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    plan = plan_reading(
        session,
        access,
        stage.sessions[BOB].identity,
        documents=[stage.papers["study"].id],
        seconds=_HOUR // 2,
        purpose=Purpose.CONSULTATION,
    )
    stage.grants["study"] = make_grant(session, access, plan)
    return "granted"


def read_study(stage: Stage) -> str:
    """Bob reads the large document, whole and a piece out of its middle."""
    bob = stage.sessions[BOB]
    access = open_access(bob, stage.sessions[ALICE].record, stage.grants["study"].hash)
    source = stage.papers["study"].sample.path
    opened = open_document(bob, access, stage.papers["study"].id)
    offset = secrets.randbelow(opened.metadata.size - _PROBE_BYTES)
    with source.open("rb") as file:
        file.seek(offset)
        piece = file.read(_PROBE_BYTES)
    if opened.read_range(offset=offset, length=_PROBE_BYTES) != piece:
        return "other bytes"
    return "identical" if _read(stage, access, "study", Kept(access, [])) else "other bytes"


def read_after(stage: Stage) -> str:
    """A grant of two seconds: it opens within them, and not after."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    grant = _let_read(stage, ["general"], seconds=_SHORT_SECONDS)
    attempts = [*look_in(bob, record, grant.hash), *fetch(bob, record, stage.papers["letter"].id, grant.hash)]
    while bob.clock() < grant.body.expires:
        time.sleep(max(0.05, grant.body.expires - time.time()))
    return ask_all(attempts)


def look_for_hidden(stage: Stage) -> str:
    """Asked for the hidden document, both servers answer as for one that never was: same status, body and headers."""
    bob, record = stage.sessions[BOB], stage.sessions[ALICE].record
    grant = stage.grants[BOB].hash
    never = DocumentId(secrets.token_bytes(DocumentId.SIZE))
    answers = [
        look_closely(bob, bob.vault, f"/v1/records/{record}/documents/{document}{tail}?grant={grant}")
        for tail in ("", "/versions/newest")
        for document in (stage.papers["tracing"].id, never)
    ]
    is_alike = answers[0] == answers[1] and answers[2] == answers[3]
    listed = {document.id for document in list_documents(bob, open_access(bob, record, grant)).documents}
    return "no trace" if is_alike and listed == _ids(stage, "letter", "results") else "a trace"


def _let_read(stage: Stage, parts: list[str], *, seconds: int, in_seconds: int = 0) -> Signed[Grant]:
    session = stage.sessions[ALICE]
    access = open_access(session, session.record)
    plan = plan_reading(
        session,
        access,
        stage.sessions[BOB].identity,
        compartments=[part(access, name) for name in parts],
        seconds=seconds,
        purpose=Purpose.CONSULTATION,
        not_before=session.clock() + in_seconds,
    )
    return make_grant(session, access, plan)


def _read(stage: Stage, access: RecordAccess, name: str, kept: Kept) -> bool:
    """Whether Bob's copy of a document is the file that was deposited, byte for byte."""
    paper = stage.papers[name]
    opened = open_document(stage.sessions[BOB], access, paper.id)
    place = stage.path / "read-by-bob" / paper.sample.path.name
    place.parent.mkdir(mode=0o700, exist_ok=True)
    opened.save(place)
    body = opened.version.manifest.body
    kept.locked += [
        metadata_item(opened.version),
        ReleaseItem(suite=body.suite, author=body.author, capsule=opened.content_capsule),
    ]
    stage.needles += [
        Needle(f"content key of the {name}", opened.content_key.reveal()),
        Needle(f"metadata key of the {name}", opened.metadata_key.reveal()),
    ]
    return filecmp.cmp(place, paper.sample.path, shallow=False)


def _ids(stage: Stage, *names: str) -> set[DocumentId]:
    return {stage.papers[name].id for name in names}


CONSULTATION = Chapter(
    "A doctor, for half an hour",
    "Dr Bob is refused before and outside his grant and after it ends; within it he reads what Alice saw in the list "
    "before she signed, and no more.",
    (
        Step(BOB, "tries to read without a grant", "refused", read_without_grant),
        Step(BOB, "tries to read before a grant begins", "refused", read_before),
        Step(ALICE, "lets Dr Bob in for half an hour", "granted", let_in),
        Step(BOB, "reads the letter and the results", "identical", read_all),
        Step(BOB, "tries to open the CT study", "refused", read_outside),
        Step(ALICE, "lets Dr Bob read the CT study alone", "granted", let_read_study),
        Step(BOB, "reads the CT study, 52 MiB", "identical", read_study),
        Step(BOB, "tries to read after a grant's end", "refused", read_after),
        Step(BOB, "looks for a hidden document", "no trace", look_for_hidden),
    ),
)
