"""Relocking: what was made is read back before old keys go; a cut run is finished by the next (attacks 24 and 26)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.access import open_access
from carnet.errors import CarnetError, UnfinishedError, VerificationError
from carnet.progress import Progress, Step
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete, is_under_way
from carnet.session import Session
from tests.support.client import ClientWorld, put_document, titles
from tests.support.cuts import quiet

NAMES = ["one", "three", "two"]


@dataclass(slots=True)
class Story:
    """Alice, whose keys are about to be renewed, has three documents."""

    world: ClientWorld
    alice: Session

    def complete(self, on_step: Callable[[Progress], None] = lambda _: None) -> Any:
        begin_renewal(self.alice, list(open_access(self.alice, self.alice.record).compartments))
        return complete(self.alice, on_step=on_step)

    def again(self) -> Any:
        """Another command goes on, with nothing in memory."""
        self.alice.close()
        self.world.sessions.remove(self.alice)
        self.alice = self.world.reopen("alice")
        return complete(self.alice)

    def titles(self) -> list[str]:
        return titles(self.alice, open_access(self.alice, self.alice.record))

    def let_go(self) -> list[str]:
        """The requests that close an epoch or retire a lock."""
        closing = [r.url.path for r in self.world.vault.requests if b"carnet.closing" in r.content]
        retiring = [path for path in self.world.keyservice.paths("POST") if path.endswith("/retirement")]
        return closing + retiring

    def forge(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Let the vault change what it shows of capsules, once it took new ones."""

        def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
            swapped = any(b'"replaces"' in sent.content for sent in self.world.vault.requests)
            if not swapped or not request.url.path.endswith("/capsules") or response.status_code != 200:
                return response
            page = json.loads(response.read())
            change(page)
            return httpx2.Response(200, stream=httpx2.ByteStream(json.dumps(page).encode()))

        self.world.vault.after = after


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice = world.patient("alice")
    quiet(alice)
    access = open_record(alice)
    for name in NAMES:
        put_document(alice, access, tmp_path, name, compartment="general")
    return Story(world, alice)


def flip(page: dict[str, Any]) -> None:
    """One character of the first capsule's box is another."""
    capsule = page["capsules"][0]["capsule"]
    sealed = capsule["sealed"]
    capsule["sealed"] = sealed[:200] + ("A" if sealed[200] != "A" else "B") + sealed[201:]


def exchange(page: dict[str, Any]) -> None:
    """Two capsules have each other's box."""
    first, second = (page["capsules"][place]["capsule"] for place in (0, 2))
    first["sealed"], second["sealed"] = second["sealed"], first["sealed"]


@pytest.mark.parametrize("forgery", [flip, exchange])
def test_nothing_is_let_go_while_the_vault_shows_other_bytes(story: Story, forgery: Callable[[Any], None]) -> None:
    story.forge(forgery)
    with pytest.raises(VerificationError, match="does not give back"):
        story.complete()
    assert story.let_go() == []
    assert is_under_way(story.alice)
    story.world.vault.after = None
    assert story.again().skipped == ()
    assert story.titles() == NAMES


@pytest.mark.parametrize("what", ["nothing", "all but one"])
def test_nothing_is_let_go_while_the_vault_shows_less(story: Story, what: str) -> None:
    assert story.titles() == NAMES  # so this client knows what there is

    def change(page: dict[str, Any]) -> None:
        page["capsules"] = [] if what == "nothing" else page["capsules"][:-1]

    story.forge(change)
    with pytest.raises(CarnetError, match="left out"):
        story.complete()
    assert story.let_go() == []
    story.world.vault.after = None
    story.again()
    assert story.titles() == NAMES


def test_what_a_run_that_was_cut_had_made_is_opened_by_the_next(story: Story) -> None:
    def cut(progress: Progress) -> None:
        if progress.step is Step.RELOCK and progress.done:
            raise UnfinishedError("killed")

    with pytest.raises(UnfinishedError):
        story.complete(cut)
    assert story.let_go() == []
    before = len(story.world.keyservice.paths("POST"))
    report = story.again()
    assert (report.remade, report.skipped) == (0, ())
    assert any(path.endswith("/releases") for path in story.world.keyservice.paths("POST")[before:])
    assert story.titles() == NAMES


def test_what_was_made_here_is_not_opened_again(story: Story) -> None:
    story.complete()
    releases = [path for path in story.world.keyservice.paths("POST") if path.endswith("/releases")]
    assert len(releases) == 1
