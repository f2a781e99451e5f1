"""Attack 7: another title, kind or date around an author's document, by whoever may encrypt it anew (P08)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carnet.capsules import seal_capsule
from carnet.content import MetadataKey, seal_metadata
from carnet.documents.listing import Document, list_documents
from carnet.revocation import remove_lost_device
from carnet.session import Session
from carnet_protocol.encoding import format_base64url
from carnet_protocol.statements import Reseal
from carnet_protocol.tuples import CompartmentLock, KeyRole, WrapTuple
from tests.support.story import Story, lying

FORGED = "Blood group AB"


def _find(story: Story, session: Session) -> Document:
    listing = list_documents(session, story.access(session))
    return next(document for document in listing.documents if document.id == story.result)


def _forge(story: Story, signer: Session, document: Document) -> Callable[[Any], Any]:
    """What a vault makes of a page that shows `document`: a reseal by `signer` around metadata of their own."""
    access = story.access(story.alice)
    assert document.compartment is not None
    assert access.lock is not None
    identity, manifest = document.version.identity, document.version.manifest
    metadata_key = MetadataKey.make()
    metadata, digest = seal_metadata(
        document.metadata.model_copy(update={"title": FORGED}).formatted(),
        metadata_key=metadata_key,
        context=identity.metadata_context(),
    )
    reseal = signer.sign(
        Reseal(
            record=access.record,
            manifest=manifest.hash,
            serial=1,
            previous=None,
            suite=manifest.body.suite,
            digest=manifest.body.digest,
            ciphertext_size=manifest.body.ciphertext_size,
            metadata_digest=digest,
            device=signer.device,
            issued_at=story.world.clock(),
        )
    )
    newest = access.compartment(document.compartment).newest
    recipient = CompartmentLock(document.compartment, newest.hash)
    capsule = seal_capsule(
        metadata_key.reveal(),
        WrapTuple(identity, KeyRole.METADATA, recipient, newest.body.suite, access.lock.body.suite, access.lock.hash),
        recipient_public_key=newest.body.compartment_key,
        lock=access.lock,
    )

    def change(page: Any) -> Any:
        for entry in page["documents"]:
            if entry["metadata_capsule"]["document"] == str(document.id):
                entry["reseal"] = reseal.text
                entry["metadata"] = format_base64url(metadata)
                entry["metadata_capsule"] = json.loads(capsule.model_dump_json())
        return page

    return change


@pytest.mark.parametrize("is_removed", [False, True])
def test_nobody_but_its_author_says_what_a_document_is(own_story: Story, *, is_removed: bool) -> None:
    story = own_story
    phone = story.pair("phone")
    story.world.clock.now += 600
    if is_removed:
        remove_lost_device(story.alice, phone.device, story.secrets["alice"], since=story.world.clock() - 60)
    document = _find(story, story.bob)
    with lying(story.world.vault, "/documents", _forge(story, phone, document)):
        for reader in (story.alice, story.bob):
            listing = list_documents(reader, story.access(reader))
            assert FORGED not in {shown.metadata.title for shown in listing.documents}
            assert str(story.result) in {problem.document for problem in listing.problems}
    # Nothing of it is remembered as seen: the true document is shown again
    for reader in (story.alice, story.bob):
        assert _find(story, reader).metadata.title == document.metadata.title
