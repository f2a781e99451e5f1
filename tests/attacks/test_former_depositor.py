"""A laboratory whose grant or attestation is over, and what it deposited: that is the patient's to remove now (P04)."""

from collections.abc import Callable

import pytest

from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.documents.removal import remove_document
from carnet.errors import RefusedError
from carnet.grant_book import load_grants, statements_path
from carnet.grants import make_grant, plan_depositing
from carnet.revocation import revoke
from carnet.session import Session
from carnet_protocol.api import Accepted, PersonView, RecordUpdate
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Attestation, Purpose, Signed, Tombstone, TombstoneReason
from tests.support.people import DAY
from tests.support.story import Story


def _newest(story: Story) -> StatementHash:
    """The manifest of the laboratory's result."""
    listing = list_documents(story.alice, story.access(story.alice))
    return next(
        each.version.manifest.hash for each in listing.documents if each.version.manifest.body.document == story.result
    )


def _tombstone(story: Story, manifest: StatementHash, *, by: Session) -> RecordUpdate:
    body = Tombstone(
        record=story.alice.record,
        document=story.result,
        manifest=manifest,
        by=by.identity,
        device=by.device,
        reason=TombstoneReason.ERROR,
        issued_at=story.world.clock(),
    )
    return RecordUpdate(statements=(by.sign(body).text,), sealed_keys=(), capsules=())


def _revoke_grant(story: Story) -> None:
    revoke(story.alice, load_grants(story.alice, story.access(story.alice)), story.deposit_grant)


def _let_grant_expire(story: Story) -> None:
    story.world.clock.now = story.deposit_grant.body.expires


def _revoke_attestation(story: Story) -> None:
    view = story.lab.vault.get(f"/v1/people/{story.lab.identity}", PersonView)
    named, now = Signed.parse(view.attestations[0], Attestation), story.world.clock()
    story.world.publish([story.world.own.registrar.publish_list(named, at=now, next_update=now + 30 * DAY).text])


@pytest.mark.parametrize("end", [_revoke_grant, _let_grant_expire, _revoke_attestation])
def test_a_laboratory_that_may_not_deposit_any_more_destroys_nothing(
    own_story: Story, end: Callable[[Story], None]
) -> None:
    story = own_story
    manifest = _newest(story)
    end(story)
    update = _tombstone(story, manifest, by=story.lab)
    with story.unchanged():
        for server in (story.lab.keyservice, story.lab.vault):
            with pytest.raises(RefusedError):
                server.post(statements_path(story.alice.record), update, Accepted)
    opened = open_document(story.alice, story.access(story.alice), story.result)
    assert b"".join(opened.stream()) == b"result content"


def test_a_laboratory_that_was_let_in_again_retracts_what_it_deposited_before(own_story: Story) -> None:
    story = own_story
    _revoke_grant(story)
    access = story.access(story.alice)
    plan = plan_depositing(
        story.alice,
        access,
        story.lab.identity,
        compartment=story.compartment("laboratory"),
        seconds=3_600,
        purpose=Purpose.DIAGNOSTICS,
    )
    make_grant(story.alice, access, plan)
    (result,) = [
        each.version
        for each in list_documents(story.alice, access).documents
        if each.version.manifest.body.document == story.result
    ]
    tombstone = remove_document(story.lab, result, reason=TombstoneReason.MISFILED)
    listing = list_documents(story.alice, access)
    assert [each.hash for each in listing.tombstones] == [tombstone.hash]
