"""Attacks 13, 15 and 17 to 19: when, by whom, twice, and what a refusal tells (P04, P05, P13)."""

import secrets

import httpx2
import pytest

from carnet.access import RecordAccess, open_access, release
from carnet.documents.deposit import begin_uploads
from carnet.documents.listing import list_documents, metadata_item
from carnet.documents.reading import open_document
from carnet.errors import (
    CarnetError,
    GrantEndedError,
    RefusedError,
    ServerFaultError,
    UnauthenticatedError,
    UnavailableError,
)
from carnet.grants import make_grant, plan_reading
from carnet.records import open_record
from carnet.session import Session
from carnet.transport import KeySigner, ServerClient
from carnet_protocol.api import (
    Accepted,
    AccessView,
    DocumentsPage,
    GrantsView,
    LockView,
    OpenedVersion,
    RecordUpdate,
    ReleaseKind,
)
from carnet_protocol.ids import DocumentId, RecordId, StatementHash
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Grant, Purpose, Signed, Tombstone, TombstoneReason
from tests.support.client import find_compartment, put_document
from tests.support.story import Story, watching


def _plan(story: Story, seconds: int) -> Signed[Grant]:
    access = story.access(story.alice)
    plan = plan_reading(
        story.alice,
        access,
        story.bob.identity,
        compartments=[story.compartment("general")],
        seconds=seconds,
        purpose=Purpose.CONSULTATION,
        note="",
    )
    return make_grant(story.alice, access, plan)


def _use(session: Session, access: RecordAccess) -> None:
    """List and release without asking the client whether the grant still lasts."""
    listing = list_documents(session, access)
    if not listing.documents:
        raise listing_failure(listing.problems)
    items = [metadata_item(document.version) for document in listing.documents]
    assert all(inner is not None for inner in release(session, access, ReleaseKind.LIST, items))


def listing_failure(problems: object) -> AssertionError:
    return AssertionError(f"nothing was listed: {problems}")


def test_a_grant_ends_in_the_second_of_its_expiry(own_story: Story) -> None:
    story = own_story
    grant = _plan(story, 100)
    access = open_access(story.bob, story.alice.record, grant.hash)
    items = [metadata_item(document.version) for document in list_documents(story.bob, access).documents]
    for moment, works in ((99, True), (100, False), (101, False)):
        story.world.clock.now = grant.body.not_before + moment
        if works:
            _use(story.bob, access)
            continue
        with pytest.raises(RefusedError):
            list_documents(story.bob, access)
        with pytest.raises(RefusedError):
            release(story.bob, access, ReleaseKind.LIST, items)
        with pytest.raises((RefusedError, GrantEndedError)):
            open_access(story.bob, story.alice.record, grant.hash)


def test_a_grant_has_not_begun_before_its_first_second(own_story: Story) -> None:
    story = own_story
    story.world.clock.now += 1_000
    grant = _plan(story, 100)
    body = grant.body.model_copy(
        update={"not_before": story.world.clock() + 10, "id": type(grant.body.id)(secrets.token_bytes(16))}
    )
    later = story.alice.sign(body)
    update = RecordUpdate(statements=(later.text,), sealed_keys=(), capsules=())
    for server in (story.alice.keyservice, story.alice.vault):
        server.post(f"/v1/records/{story.alice.record}/statements", update, Accepted)
    query = {"grant": str(later.hash)}
    for moment, works in ((9, False), (10, True)):
        story.world.clock.now = body.not_before - 10 + moment
        for server in (story.bob.keyservice, story.bob.vault):
            path = f"/v1/records/{story.alice.record}/access"
            if works:
                server.get(path, AccessView, query=query)
        page = f"/v1/records/{story.alice.record}/documents"
        if works:
            story.bob.vault.get(page, DocumentsPage, query=query)
        else:
            with pytest.raises(RefusedError):
                story.bob.vault.get(page, DocumentsPage, query=query)


def test_a_server_whose_clock_went_back_refuses(own_story: Story) -> None:
    story = own_story
    access = story.access(story.bob)
    with story.unchanged():
        story.world.clock.now -= 3_600
        for server in (story.bob.vault, story.bob.keyservice):
            with pytest.raises(UnavailableError):
                server.get(f"/v1/records/{access.record}/access", AccessView, query={"grant": str(access.grant_hash)})
        story.world.clock.now += 3_600


def test_nobody_uses_the_grant_of_another(story: Story) -> None:
    access = story.access(story.bob)
    items = [metadata_item(document.version) for document in list_documents(story.bob, access).documents]
    with story.unchanged():
        for thief in (story.mallory, story.lab):
            with pytest.raises(RefusedError):
                open_access(thief, story.alice.record, story.read_grant.hash)
            with pytest.raises(RefusedError):
                list_documents(thief, access)
            for kind in ReleaseKind:
                with pytest.raises(RefusedError):
                    release(thief, access, kind, items)


def test_a_deposit_grant_reads_nothing_and_a_read_grant_deposits_nothing(story: Story) -> None:
    deposit, read = story.access(story.lab), story.access(story.bob)
    items = [metadata_item(document.version) for document in list_documents(story.bob, read).documents]
    with story.unchanged():
        with pytest.raises(RefusedError):
            list_documents(story.lab, deposit)
        with pytest.raises(RefusedError):
            open_document(story.lab, deposit, story.result)
        with pytest.raises(RefusedError):
            release(story.lab, deposit, ReleaseKind.LIST, items)
        with pytest.raises(RefusedError):
            begin_uploads(story.bob, read, [16_472])


def test_a_grant_for_one_record_opens_no_other(own_story: Story) -> None:
    story = own_story
    eve = story.world.patient("eve")
    theirs = open_record(eve)
    put_document(eve, theirs, story.folder, "hers", compartment="general")
    access = story.access(story.bob)
    elsewhere = RecordAccess(
        eve.record, theirs.patient, access.grant, theirs.compartments, access.personal_keys, theirs.lock, theirs.floor
    )
    with story.unchanged():
        for use in (list_documents,):
            with pytest.raises(RefusedError):
                use(story.bob, elsewhere)
        items = [metadata_item(document.version) for document in list_documents(eve, theirs).documents]
        with pytest.raises(RefusedError):
            release(story.bob, elsewhere, ReleaseKind.LIST, items)


def test_only_the_patient_changes_who_may_read(story: Story) -> None:
    """Extending, widening, re-delegating: a grant signed by anyone else is no statement, wherever it is sent."""
    record = story.alice.record
    for thief in (story.bob, story.mallory):
        body = story.read_grant.body.model_copy(
            update={
                "grantee": thief.identity,
                "expires": story.read_grant.body.expires + 3_600,
                "id": type(story.read_grant.body.id)(secrets.token_bytes(16)),
            }
        )
        forgeries = [
            thief.sign(body),
            thief.sign(body.model_copy(update={"device": thief.device})),
        ]
        with story.unchanged():
            for forged in forgeries:
                update = RecordUpdate(statements=(forged.text,), sealed_keys=(), capsules=())
                for server in (thief.vault, thief.keyservice):
                    with pytest.raises((RefusedError, ServerFaultError)):
                        server.post(f"/v1/records/{record}/statements", update, Accepted)
            for server in (thief.vault, thief.keyservice):
                with pytest.raises(RefusedError):
                    server.get(f"/v1/records/{record}/grants", GrantsView)
            with pytest.raises(RefusedError):
                thief.keyservice.post_once(f"/v1/records/{record}/locks", None, LockView)


def test_nobody_removes_the_document_of_another(story: Story) -> None:
    """Attack 10: a laboratory signs a tombstone of somebody else's document, or in somebody else's name."""
    listing = list_documents(story.alice, story.access(story.alice))
    letter = next(document for document in listing.documents if document.id == story.letter)
    for thief in (story.lab, story.bob, story.mallory):
        for by in (thief.identity, story.alice.identity):
            tombstone = thief.sign(
                Tombstone(
                    record=story.alice.record,
                    document=story.letter,
                    manifest=letter.version.manifest.hash,
                    by=by,
                    device=thief.device,
                    reason=TombstoneReason.MISFILED,
                    issued_at=story.world.clock(),
                )
            )
            update = RecordUpdate(statements=(tombstone.text,), sealed_keys=(), capsules=())
            with pytest.raises((RefusedError, ServerFaultError)):
                thief.vault.post(f"/v1/records/{story.alice.record}/statements", update, Accepted)
    after = list_documents(story.bob, story.access(story.bob))
    assert story.letter in {document.id for document in after.documents}


def _captured(story: Story) -> httpx2.Request:
    story.world.keyservice.requests.clear()
    items = [
        metadata_item(document.version) for document in list_documents(story.bob, story.access(story.bob)).documents
    ]
    release(story.bob, story.access(story.bob), ReleaseKind.LIST, items)
    return next(request for request in reversed(story.world.keyservice.requests) if request.method == "POST")


def _send(story: Story, request: httpx2.Request, *, to_vault: bool = False) -> int:
    wire = story.world.vault if to_vault else story.world.keyservice
    answer = wire.client.request(
        request.method, str(request.url), content=request.content, headers=dict(request.headers)
    )
    return answer.status_code


def test_a_captured_release_is_good_once_for_one_target_and_one_server(story: Story) -> None:
    captured = _captured(story)
    origin = f"{captured.url.scheme}://{captured.url.host}"
    other = RecordId.of(story.mallory.identity)

    def changed(**members: object) -> httpx2.Request:
        given = {"method": captured.method, "url": str(captured.url), "content": captured.content}
        headers = {name: value for name, value in captured.headers.items() if name != "content-length"}
        return httpx2.Request(**(given | members), headers=headers)  # type: ignore[arg-type]  # three kinds in one dict

    with story.unchanged():
        assert _send(story, captured) == 401
        assert _send(story, changed(url=f"{origin}/v1/records/{other}/releases")) == 401
        assert _send(story, changed(url=f"{captured.url}?a=b")) in {400, 401}
        assert _send(story, changed(content=captured.content.replace(b'"list"', b'"open"'))) == 401
        assert _send(story, changed(method="PUT")) in {401, 405}
        assert _send(story, captured, to_vault=True) in {401, 404}


def test_a_request_signed_by_nobody_known_is_refused(story: Story) -> None:
    signer = story.mallory.keyring.body.device_signer
    for key_id in (secrets.token_bytes(32), story.bob.device.raw, story.alice.device.raw):
        stranger: ServerClient = story.mallory.keyservice.signed_by(KeySigner(KeyId(key_id), signer.sign))
        with story.unchanged(), pytest.raises(UnauthenticatedError):
            stranger.get(f"/v1/records/{story.alice.record}/grants", GrantsView)


def _answer(story: Story, session: Session, path: str) -> tuple[int, bytes, tuple[str, ...]]:
    with watching(story.world.vault) as seen, pytest.raises(CarnetError):
        session.vault.get(path, OpenedVersion)
    return seen[-1].status, seen[-1].body, seen[-1].headers


def test_one_answer_for_what_is_not_there_and_what_is_not_yours(story: Story) -> None:
    record, nowhere = story.alice.record, RecordId(secrets.token_bytes(32))
    good, unknown = story.read_grant.hash, StatementHash(secrets.token_bytes(32))
    nothing = DocumentId(secrets.token_bytes(32))
    answers = {
        name: _answer(story, session, f"/v1/records/{place}/documents/{document}/versions/1?grant={grant}")
        for name, (session, place, document, grant) in {
            "hidden document": (story.bob, record, story.secret, good),
            "no such document": (story.bob, record, nothing, good),
            "no such grant": (story.bob, record, story.letter, unknown),
            "another's grant": (story.mallory, record, story.letter, good),
            "another's grant, hidden": (story.mallory, record, story.secret, good),
            "no such record": (story.bob, nowhere, story.letter, good),
            "a deposit grant": (story.lab, record, story.result, story.deposit_grant.hash),
        }.items()
    }
    assert len({repr(answer) for answer in answers.values()}) == 1, answers


def _shape(story: Story, session: Session, access: RecordAccess) -> list[tuple[str, int]]:
    """Every answer that a whole look at a record brings, by path without ids and size."""
    with watching(story.world.vault, story.world.keyservice) as seen:
        opened = open_access(session, access.record, access.grant_hash)
        listing = list_documents(session, opened)
    assert [document.metadata.title for document in listing.documents] == ["shown"]
    return sorted((answer.path.rpartition("/")[2], len(answer.body)) for answer in seen)


def test_a_record_that_hides_looks_like_one_that_does_not(own_story: Story) -> None:
    """P13: two records, one with a hidden part: every answer to a clinician has the same shape and size."""
    story = own_story
    shapes: list[list[tuple[str, int]]] = []
    for name, hidden in (("open", False), ("hiding", True)):
        patient = story.world.patient(name)
        access = open_record(patient)
        put_document(patient, access, story.folder, "shown", compartment="general", content=b"the same")
        if hidden:
            for number in range(3):
                put_document(patient, access, story.folder, f"hidden {number}", compartment="private")
        plan = plan_reading(
            patient,
            access,
            story.bob.identity,
            compartments=[find_compartment(access, "general")],
            seconds=600,
            purpose=Purpose.CONSULTATION,
            note="",
        )
        grant = make_grant(patient, access, plan)
        shapes.append(_shape(story, story.bob, open_access(story.bob, patient.record, grant.hash)))
    assert _without_receipts(shapes[0]) == _without_receipts(shapes[1])


def _without_receipts(shape: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """A receipt's index counts the events of the whole server; its digits may be one more (limits.md)."""
    return [(path, size // 4) if path == "releases" else (path, size) for path, size in shape]
