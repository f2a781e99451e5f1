"""Erasing one's record: each server is told by itself, what was not delivered is sent again, nobody reads any more."""

from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.erasure import erase_record, find_erasure, needs_words
from carnet.errors import (
    CarnetError,
    PartialError,
    RefusalError,
    RefusedError,
    UnlockError,
    UsageError,
    VerificationError,
)
from carnet.identity import renew_account_key
from carnet.inbox import load_inbox
from carnet.keys import RecoverySecret
from carnet.outbox import Unsent
from carnet.receipts import kept_receipts
from carnet.recovery import restore
from carnet_protocol.limits import ERASURE_WINDOW_SECONDS
from carnet_protocol.statements import Erasure, Signed
from tests.support.client import PASSPHRASE, Wire, put_document
from tests.support.people import DAY
from tests.support.story import Story, own_story

__all__ = ["own_story"]


def words(story: Story) -> RecoverySecret:
    return story.secrets["alice"]


def cut(request: httpx2.Request) -> httpx2.Response | None:
    raise httpx2.ConnectError("away", request=request)


def test_both_servers_erase_and_nobody_reads_any_more(own_story: Story) -> None:
    story = own_story
    report = erase_record(story.alice, words(story))
    assert report.is_everywhere
    assert isinstance(report.vault, Signed)
    assert isinstance(report.keyservice, Signed)
    assert find_erasure(story.alice.state) == report.erasure
    assert {report.vault.text, report.keyservice.text} == set(kept_receipts(story.alice.state)[-2:])
    for session in (story.alice, story.bob, story.lab):
        with pytest.raises(RefusedError):
            story.access(session)
    assert load_inbox(story.bob).grants == ()
    with pytest.raises(RefusedError):
        open_access(story.mallory, story.alice.record, story.read_grant.hash)


def test_once_more_is_answered_as_before_and_needs_no_words(own_story: Story) -> None:
    assert needs_words(own_story.alice)
    first = erase_record(own_story.alice, words(own_story))
    assert not needs_words(own_story.alice)
    assert erase_record(own_story.alice, None) == first
    own_story.world.clock.now += ERASURE_WINDOW_SECONDS
    assert needs_words(own_story.alice)
    again = erase_record(own_story.alice, words(own_story))
    assert again.erasure != first.erasure
    assert (again.vault, again.keyservice) == (first.vault, first.keyservice)


@pytest.mark.parametrize("away", ["vault", "keyservice"])
def test_a_server_that_is_away_is_told_with_the_next_command_and_stops_nothing_at_the_other(
    own_story: Story, away: str
) -> None:
    story = own_story
    wire: Wire = getattr(story.world, away)
    wire.before = cut
    report = erase_record(story.alice, words(story))
    missing = getattr(report, away)
    assert isinstance(missing, PartialError)
    assert not report.is_everywhere
    assert not story.alice.outbox.is_empty()
    assert find_erasure(story.alice.state) == report.erasure
    wire.before = None
    alice = story.world.reopen("alice")
    assert alice.unsent == ()
    assert alice.outbox.is_empty()
    assert erase_record(alice, None).is_everywhere
    with pytest.raises(RefusedError):
        story.access(alice)


def test_with_one_server_that_keeps_everything_a_reader_opens_nothing_at_the_other(own_story: Story) -> None:
    """A vault that lies, and says that it erased, stops nothing at an honest key service; and the reverse."""
    story = own_story
    before = open_access(story.bob, story.alice.record, story.read_grant.hash)
    story.world.vault.before = cut
    report = erase_record(story.alice, words(story))
    story.world.vault.before = None
    assert isinstance(report.keyservice, Signed)
    with pytest.raises(CarnetError):
        story.access(story.bob)
    assert list(list_documents(story.bob, before).documents) == []


def test_other_words_erase_nothing(own_story: Story) -> None:
    with own_story.unchanged():
        for secret in (RecoverySecret.make(), own_story.secrets["bob"]):
            with pytest.raises(UnlockError):
                erase_record(own_story.alice, secret)
        with pytest.raises(UsageError):
            erase_record(own_story.alice, None)
    assert find_erasure(own_story.alice.state) is None


def test_words_that_were_renewed_on_another_device_erase_nothing(own_story: Story) -> None:
    story = own_story
    tablet = story.pair("tablet")
    renewed = RecoverySecret.make()
    renew_account_key(tablet, words(story), new_kit=renewed)
    with own_story.unchanged(), pytest.raises(CarnetError):
        erase_record(tablet, words(story))
    assert erase_record(tablet, renewed).is_everywhere


def test_a_practitioner_has_nothing_to_erase(own_story: Story) -> None:
    with own_story.unchanged(), pytest.raises(UsageError):
        erase_record(own_story.bob, own_story.secrets["bob"])


def test_what_a_server_refuses_for_good_is_said_and_can_be_signed_again(own_story: Story) -> None:
    story = own_story
    story.world.keyservice.before = cut
    assert not erase_record(story.alice, words(story)).is_everywhere
    story.world.keyservice.before = None
    story.world.clock.now += 8 * DAY
    alice = story.world.reopen("alice")
    (unsent,) = alice.unsent
    assert isinstance(unsent, Unsent)
    assert isinstance(unsent.error, RefusalError)
    assert not unsent.is_kept
    assert [type(restriction) for restriction in unsent.restrictions] == [Erasure]
    assert needs_words(alice)
    assert erase_record(alice, words(story)).is_everywhere


def test_after_the_home_is_lost_the_words_alone_finish_it(own_story: Story) -> None:
    """The key service has erased and the vault has not; the home that knew it is gone."""
    story = own_story
    story.world.vault.before = cut
    assert not erase_record(story.alice, words(story)).is_everywhere
    story.world.vault.before = None
    restored = restore(
        story.world.home("restored"),
        story.world.own.card,
        words(story),
        passphrase=PASSPHRASE,
        device_name="restored",
        **story.world.options(),
    )
    with restored as session:
        assert needs_words(session)
        assert erase_record(session, words(story)).is_everywhere


def test_a_note_that_was_changed_is_not_believed(own_story: Story) -> None:
    state = own_story.alice.state
    state.store("erasure", {"format": "carnet.erasure.v1", "erasure": own_story.read_grant.text})
    with pytest.raises(VerificationError):
        find_erasure(state)
    state.store("erasure", {"format": "carnet.erasure.v2", "erasure": ""})
    with pytest.raises(VerificationError):
        find_erasure(state)


def test_nothing_of_what_the_client_sends_afterwards_is_taken(own_story: Story, tmp_path: Path) -> None:
    story = own_story
    access = story.access(story.alice)
    deposit = story.access(story.lab)
    erase_record(story.alice, words(story))
    with story.unchanged():
        with pytest.raises(RefusedError):
            put_document(story.alice, access, tmp_path, "late", compartment="general")
        with pytest.raises(RefusedError):
            put_document(story.lab, deposit, tmp_path, "later", compartment="laboratory")
