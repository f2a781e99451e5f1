"""P06: once a revocation is completed, what the clinician kept opens nothing that was never released to them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from carnet.grant_book import load_grants
from carnet.revocation import complete_revocation, revoke
from tests.support import proofs
from tests.support.attacker import Attacker
from tests.support.client import put_document
from tests.support.copies import ask_release, copy_servers, items_in_vault, keys_kept
from tests.support.story import Story

HARMLESS = {"compartment-name", "device-name", "grant-note", "master-key-check", "record-lock", "outer-lock"}


@dataclass(frozen=True, slots=True)
class Expelled:
    """Bob, who listed and opened nothing, after his revocation was completed; copies from before and after."""

    story: Story
    kept: list[bytes]
    earlier: Path
    after: Path

    def joined(self, vault: Path, keyservice: Path | None) -> Attacker:
        """Bob with a copy of the vault, and with the key service's help where its state is given."""
        attacker = Attacker()
        attacker.take_vault(vault)
        if keyservice is not None:
            attacker.take_keyservice(keyservice)
            attacker.take_key("master key", self.story.world.master_key)
        for key in self.kept:
            attacker.take_key("bob", key)
        attacker.work()
        return attacker


@pytest.fixture(scope="module")
def expelled(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Expelled:
    folder = tmp_path_factory.mktemp("copies")
    kept = keys_kept(story, story.bob)
    earlier = copy_servers(story.world, folder / "earlier")
    access = story.access(story.alice)
    revoke(story.alice, load_grants(story.alice, access), story.read_grant)
    report = complete_revocation(story.alice, story.read_grant)
    assert report.skipped == ()
    put_document(story.alice, story.access(story.alice), story.folder, "later", compartment="general")
    return Expelled(story, kept, earlier, copy_servers(story.world, folder / "after"))


@pytest.mark.parametrize("name", proofs.scenarios("P06", "control: the expelled", "control: a reader of one"))
def test_p06_is_proven_from_the_inventory(name: str) -> None:
    proofs.check(name)


def test_a_with_the_whole_vault_and_an_honest_key_service(expelled: Expelled) -> None:
    story = expelled.story
    for copy in (expelled.earlier, expelled.after):
        bob = expelled.joined(copy, None)
        assert bob.seals_opened() <= HARMLESS
        items = list(items_in_vault(copy, story.alice.record))
        assert items
        assert ask_release(story.bob, story.alice.record, items, grant=story.read_grant.hash) == {}


def test_b_with_a_copy_made_afterwards_and_the_key_service(expelled: Expelled) -> None:
    """Every outer lock comes off; under it are locks of an epoch whose key he never had. Metadata included."""
    bob = expelled.joined(expelled.after, expelled.after)
    assert {"outer-lock", "record-lock"} <= bob.seals_opened()
    assert bob.seals_opened() - {"sealed-compartment-key"} <= HARMLESS
    assert bob.read("content", "metadata", "inner-lock") == []
    # What lies sealed for him at the key service are the old epochs' keys, which he kept anyway.
    assert set(bob.read("sealed-compartment-key")) <= set(expelled.kept)


def test_c_with_an_earlier_copy_after_the_retired_lock_was_destroyed(expelled: Expelled, tmp_path: Path) -> None:
    destroyed = tmp_path / "destroyed"
    destroyed.mkdir()
    with (
        closing(sqlite3.connect(expelled.after / "keyservice.sqlite")) as source,
        closing(sqlite3.connect(destroyed / "keyservice.sqlite")) as target,
    ):
        source.backup(target)
        retired = target.execute("SELECT count(*) FROM record_locks WHERE retired IS NOT NULL").fetchone()[0]
        target.execute(
            "DELETE FROM lock_seals WHERE (record, version) IN"
            " (SELECT record, version FROM record_locks WHERE retired IS NOT NULL)"
        )
        target.commit()
    assert retired == 1
    bob = expelled.joined(expelled.earlier, destroyed)
    assert bob.read("content", "metadata", "inner-lock") == []


def test_until_then_an_earlier_copy_rests_on_an_honest_key_service(expelled: Expelled) -> None:
    """The control: with the retired lock and the copy from before, he opens what his epochs covered (limits.md)."""
    bob = expelled.joined(expelled.earlier, expelled.after)
    assert sorted(text.rstrip(b"\0") for text in bob.read("content")) == [b"letter content", b"result content"]


def test_a_retired_lock_is_never_released_again(expelled: Expelled) -> None:
    """Not to the patient either, whatever capsule is brought back from an earlier copy."""
    story = expelled.story
    items = list(items_in_vault(expelled.earlier, story.alice.record))
    for session, grant in ((story.alice, None), (story.bob, story.read_grant.hash)):
        assert ask_release(session, story.alice.record, items, grant=grant) == {}


def test_the_patient_still_opens_everything(expelled: Expelled) -> None:
    items = list(items_in_vault(expelled.after, expelled.story.alice.record))
    assert len(items) == 8
    assert len(ask_release(expelled.story.alice, expelled.story.alice.record, items, grant=None)) == 8
