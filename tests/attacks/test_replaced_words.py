"""Attack 14: somebody with recovery words that were renewed, and a vault that lies for them (P09, P14 in part)."""

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from carnet.access import open_access
from carnet.capsules import seal_capsule
from carnet.content import CommitmentKey, MetadataKey, commit_metadata, seal_metadata
from carnet.documents.listing import list_documents
from carnet.documents.metadata import CommitmentKeyText, DocumentKind, Metadata
from carnet.errors import CarnetError, RefusalError
from carnet.identity import fetch_own, publish_person, renew_account_key
from carnet.keys import RecoverySecret
from carnet.records import open_record
from carnet.recovery import restore
from carnet.revocation import begin_renewal, complete
from carnet.session import Session
from carnet_protocol.encoding import format_base64url
from carnet_protocol.ids import DocumentSalt, StatementHash, derive_document_id
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Device, Manifest, Signed
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, WrapTuple
from tests.support.client import PASSPHRASE
from tests.support.story import Story, lying

INJECTED = "Never written by Alice"


def _renew(story: Story) -> None:
    """Alice renews her words, and with them every key."""
    begin_renewal(story.alice, open_record(story.alice, ()).compartments)
    renew_account_key(story.alice, story.secrets["alice"], new_kit=RecoverySecret.make())
    complete(story.alice)
    story.world.clock.now += 300


def _thiefs_device(story: Story, thief: Signer, *, at: int) -> Signed[Device]:
    body = Device(
        identity=story.alice.identity,
        device_key=thief.public_key,
        enrolled_by=None,
        sealed_name=bytes(104),
        issued_at=at,
    )
    return Signed.sign(body, story.secrets["alice"].derive_root_signer())


def _injection(story: Story, thief: Signer, device: StatementHash) -> Callable[[Any], Any]:
    """What a vault makes of a page of documents: one more, by a device of the thief."""
    access = story.access(story.alice)
    compartment = access.compartment(story.compartment("general"))
    assert access.lock is not None
    salt = DocumentSalt(secrets.token_bytes(32))
    document = derive_document_id(access.record, story.alice.identity, salt)
    identity = IdentityTuple(WRITE_SUITE, access.record, document, 1, story.alice.identity)
    metadata_key, commitment_key = MetadataKey.make(), CommitmentKey.make()
    text = Metadata(
        title=INJECTED,
        kind=DocumentKind(code="34108-1", display="Note"),
        care_date=None,
        author_name="Patient",
        media_type="text/plain",
        size=1,
        file_name=None,
        comment=None,
        commitment_key=CommitmentKeyText(commitment_key.reveal()),
    ).formatted()
    metadata, digest = seal_metadata(text, metadata_key=metadata_key, context=identity.metadata_context())
    manifest = Manifest(
        suite=WRITE_SUITE,
        record=access.record,
        document=document,
        document_salt=salt,
        version=1,
        author=story.alice.identity,
        device=device,
        grant=None,
        previous=None,
        digest=bytes(32),
        ciphertext_size=56 + 16_384 + 32,
        metadata_digest=digest,
        plaintext_commitment=bytes(32),
        metadata_commitment=commit_metadata(WRITE_SUITE, commitment_key, text),
        created_at=story.world.clock(),
    )
    newest = compartment.newest
    recipient = CompartmentLock(compartment.id, newest.hash)
    capsule = seal_capsule(
        metadata_key.reveal(),
        WrapTuple(identity, KeyRole.METADATA, recipient, newest.body.suite, access.lock.body.suite, access.lock.hash),
        recipient_public_key=newest.body.compartment_key,
        lock=access.lock,
    )
    signed = Signed.sign(manifest, thief)

    def change(page: Any) -> Any:
        entry = json.loads(json.dumps(page["documents"][0])) | {
            "manifest": signed.text,
            "reseal": None,
            "filings": [],
            "metadata": format_base64url(metadata),
            "metadata_capsule": json.loads(capsule.model_dump_json()),
        }
        page["documents"].append(entry)
        return page

    return change


@pytest.mark.parametrize("earlier", [0, 86_400])
def test_replaced_words_speak_for_nobody_whatever_the_date(own_story: Story, earlier: int) -> None:
    story = own_story
    _renew(story)
    thief = Signer(secrets.token_bytes(32))
    device = _thiefs_device(story, thief, at=story.world.clock() - earlier)
    inject = _injection(story, thief, device.hash)

    def add_device(view: Any) -> Any:
        # Last, where a server that took it would have it; and first, where a liar might hide it
        view["patient"]["devices"].insert(0 if earlier else len(view["patient"]["devices"]), device.text)
        return view

    for reader in (story.alice, story.bob):
        with lying(story.world.vault, "/access", add_device):
            try:
                access = story.access(reader)
            except CarnetError:
                continue  # nothing of it is used
        with lying(story.world.vault, "/documents", inject):
            listing = list_documents(reader, access)
        assert INJECTED not in {document.metadata.title for document in listing.documents}
        assert listing.problems
    with pytest.raises(RefusalError):
        publish_person(story.mallory, (device.text,), None)


def test_replaced_words_restore_nothing_and_shut_nobody_in(own_story: Story) -> None:
    story = own_story
    phone = story.pair("phone")
    story.world.clock.now += 600
    thiefs = restore(
        story.world.home("thief"),
        story.world.own.card,
        story.secrets["alice"],
        passphrase=PASSPHRASE,
        device_name="thief",
        **story.world.options(),
    )
    story.world.sessions.append(thiefs)
    story.world.clock.now += 600
    _renew(story)
    before: Session
    for before in (phone, thiefs):
        with pytest.raises(CarnetError):
            fetch_own(before)
        with pytest.raises(CarnetError):
            open_access(before, before.record)
    with pytest.raises(CarnetError):
        restore(
            story.world.home("thief-again"),
            story.world.own.card,
            story.secrets["alice"],
            passphrase=PASSPHRASE,
            device_name="thief",
            **story.world.options(),
        )
    # Alice goes on, under a device of the new words, and her readers with her
    assert len(list_documents(story.alice, story.access(story.alice)).documents) == 3
    assert len(list_documents(story.bob, story.access(story.bob)).documents) == 2
