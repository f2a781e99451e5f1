"""P13: a clinician who has not seen it before cannot tell whether the patient hides something.

Two patients do the same things in the same order; one of them hides. Everything that both servers ever answer to the
clinician has the same members, counts, orders and lengths. Refusals: attacks 18 and 19.
"""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from carnet.access import RecordAccess, open_access
from carnet.documents.filing import move_document
from carnet.documents.listing import list_documents, list_versions
from carnet.documents.reading import open_document
from carnet.errors import RefusedError
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.inbox import load_inbox
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.api import DocumentsPage, OpenedVersion, VersionsView
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Purpose
from tests.support.client import ClientWorld, find_compartment, put_document
from tests.support.copies import ask_release, items_in_vault
from tests.support.story import Seen, Story, watching
from tests.support.traffic import payload_of

Shape = Any
_SHOWN = 3


def shape(value: Any) -> Shape:
    """The members, counts and lengths of `value`; a statement is its kind and the shape of its payload."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str) and value.startswith("eyJ") and value.count(".") == 2:
        typ, payload = payload_of(value)
        return [typ, shape(payload)]
    return len(value) if isinstance(value, str) else type(value).__name__


def _fill(world: ClientWorld, lab: Session, name: str, folder: Path, *, is_hiding: bool) -> Session:
    """A record with three documents to be shown; `is_hiding` puts more of every kind where nobody is let in."""
    patient = world.patient(name)
    access = open_record(patient)
    # All by one author: ids are random, and which of them comes first must not matter.
    _deposit(lab, patient, access, folder, "general", count=_SHOWN)
    if is_hiding:
        put_document(patient, access, folder, "private 1", compartment="private")
        _deposit(lab, patient, access, folder, "laboratory")
        moved = put_document(patient, access, folder, "moved", compartment="general")
        document = next(one for one in list_documents(patient, access).documents if one.id == moved)
        move_document(patient, access, document, find_compartment(access, "private"))
    return patient


def _deposit(
    lab: Session, patient: Session, access: RecordAccess, folder: Path, compartment: str, *, count: int = 1
) -> None:
    plan = plan_depositing(
        patient,
        access,
        lab.identity,
        compartment=find_compartment(access, compartment),
        seconds=600,
        purpose=Purpose.DIAGNOSTICS,
    )
    grant = make_grant(patient, access, plan)
    theirs = open_access(lab, patient.record, grant.hash)
    for number in range(count):
        put_document(lab, theirs, folder, f"result {number}", compartment=compartment, content=b"the same")


def _look(world: ClientWorld, patient: Session, reader: Session) -> list[Shape]:
    """Everything that a clinician can be answered about a record, in the order of asking."""
    access = open_record(patient)
    plan = plan_reading(
        patient,
        access,
        reader.identity,
        compartments=[find_compartment(access, "general")],
        seconds=600,
        purpose=Purpose.CONSULTATION,
    )
    grant = make_grant(patient, access, plan)
    query = {"grant": str(grant.hash)}
    path = f"/v1/records/{patient.record}/documents"
    with watching(world.vault, world.keyservice) as seen:
        load_inbox(reader)
        theirs = open_access(reader, patient.record, grant.hash)
        listing = list_documents(reader, theirs)
        assert len(listing.documents) == _SHOWN
        assert listing.problems == ()
        for document in sorted(listing.documents, key=lambda one: one.id.raw):
            list_versions(reader, theirs, document.id)
            open_document(reader, theirs, document.id).check()
        after: str | None = None
        for _ in range(_SHOWN + 1):
            page = reader.vault.get(path, DocumentsPage, query=query | {"limit": 1, "after": after})
            after = page.next
            if after is None:
                break
        with pytest.raises(RefusedError):
            reader.vault.get(f"{path}/{DocumentId(secrets.token_bytes(32))}", VersionsView, query=query)
    return sorted((_shape_of(answer) for answer in seen), key=repr)


def _shape_of(answer: Seen) -> list[Shape]:
    """Path without ids, status, headers, and the body's shape."""
    path = [part for part in answer.path.split("/") if len(part) < 22]
    return ["/".join(path), answer.status, list(answer.headers), _body(answer.body)]


def _body(body: bytes) -> Shape:
    try:
        return shape(json.loads(body))
    except ValueError:
        return len(body)


def test_everything_that_is_answered_has_the_same_shape(story: Story) -> None:
    world = story.world
    shapes: list[list[Shape]] = []
    for name, is_hiding in (("open", False), ("hiding", True)):
        folder = story.folder / name
        folder.mkdir()
        patient = _fill(world, story.lab, name, folder, is_hiding=is_hiding)
        reader = world.practitioner(f"reader of {name}")
        shapes.append(_look(world, patient, reader))
    assert len(shapes[0]) > 15
    assert shapes[0] == shapes[1]


def test_a_document_too_many_would_show(story: Story) -> None:
    """The comparison sees what it is for: a record with one more document has another shape."""
    world = story.world
    folder = story.folder / "more"
    folder.mkdir()
    patient = _fill(world, story.lab, "more", folder, is_hiding=False)
    with watching(world.vault) as seen:
        list_documents(patient, open_record(patient))
    before = [shape(json.loads(answer.body)) for answer in seen if answer.path.endswith("/documents")]
    put_document(patient, open_record(patient), folder, "one more", compartment="general")
    with watching(world.vault) as seen:
        list_documents(patient, open_record(patient))
    assert before != [shape(json.loads(answer.body)) for answer in seen if answer.path.endswith("/documents")]


def test_hidden_and_absent_are_refused_with_the_same_bytes(story: Story) -> None:
    query = {"grant": str(story.read_grant.hash)}
    answers = set()
    with watching(story.world.vault) as seen:
        for document in (story.secret, DocumentId(secrets.token_bytes(32))):
            for path in (f"{document}", f"{document}/versions/1", f"{document}/versions/newest"):
                with pytest.raises(RefusedError):
                    story.bob.vault.get(
                        f"/v1/records/{story.alice.record}/documents/{path}", OpenedVersion, query=query
                    )
    answers = {(answer.status, answer.headers, answer.body) for answer in seen}
    assert len(seen) == 6
    assert len(answers) == 1


def test_the_key_service_tells_hidden_and_absent_apart_no_more(story: Story) -> None:
    """Asked with real capsules of what is hidden, and with the same under an invented document id."""
    hidden = [
        item for item in items_in_vault(story.world.root, story.alice.record) if item.capsule.document == story.secret
    ]
    absent = [
        item.model_copy(
            update={"capsule": item.capsule.model_copy(update={"document": DocumentId(secrets.token_bytes(32))})}
        )
        for item in hidden
    ]
    with watching(story.world.keyservice) as seen:
        for items in (hidden, absent):
            assert ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash) == {}
    assert len({(answer.status, answer.headers, answer.body) for answer in seen}) == 1
