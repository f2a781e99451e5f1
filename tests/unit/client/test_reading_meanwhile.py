"""Reading and depositing while keys are renewed: nobody waits, and nobody sees an error (attack 29)."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.errors import GrantEndedError, RefusedError, VerificationError
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_reading
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete, revoke
from carnet.session import Session
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.statements import Grant, Purpose, Signed
from tests.support.client import ClientWorld, Wire, find_compartment, put_document, titles


@dataclass(slots=True)
class Story:
    """Alice has two documents, and Bob reads the part in which they are."""

    world: ClientWorld
    alice: Session
    bob: Session
    general: CompartmentId
    grant: Signed[Grant]
    letter: DocumentId

    def renew_epoch(self) -> None:
        self._renew([self.general])

    def renew_lock(self) -> None:
        self._renew([])

    def end(self) -> None:
        assert revoke(self.alice, load_grants(self.alice, open_access(self.alice, self.alice.record)), self.grant)

    def _renew(self, compartments: list[CompartmentId]) -> None:
        begin_renewal(self.alice, compartments)
        report = complete(self.alice)
        assert (report.skipped, report.readers_left_out) == ((), ())


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice, bob = world.patient("alice"), world.practitioner("bob")
    access = open_record(alice)
    general = find_compartment(access, "general")
    letter = put_document(alice, access, tmp_path, "letter", compartment="general")
    put_document(alice, access, tmp_path, "note", compartment="general")
    plan = plan_reading(
        alice, access, bob.identity, compartments=[general], seconds=3600, purpose=Purpose.TREATMENT, note=""
    )
    return Story(world, alice, bob, general, make_grant(alice, access, plan), letter)


def once_after(wire: Wire, path: str, work: Callable[[], None]) -> list[str]:
    """Do `work` between the first answer to a request for `path` and what its sender does with it."""
    done: list[str] = []

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if path in request.url.path and not done:
            done.append(request.url.path)
            work()
        return response

    wire.after = after
    return done


RENEWALS = pytest.mark.parametrize("renewal", ["renew_epoch", "renew_lock"])


@RENEWALS
def test_an_access_of_before_goes_on_reading(story: Story, renewal: str) -> None:
    theirs = open_access(story.bob, story.alice.record, story.grant.hash)
    getattr(story, renewal)()
    assert titles(story.bob, theirs) == ["letter", "note"]
    assert b"".join(open_document(story.bob, theirs, story.letter).stream()) == b"letter"


@RENEWALS
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_locks_that_are_remade_behind_a_page_bar_nobody(story: Story, renewal: str, who: str) -> None:
    reader = story.alice if who == "alice" else story.bob
    access = open_access(reader, story.alice.record, None if who == "alice" else story.grant.hash)
    done = once_after(story.world.vault, "/documents", getattr(story, renewal))
    assert titles(reader, access) == ["letter", "note"]
    assert done
    done = once_after(story.world.vault, f"/documents/{story.letter}/versions", getattr(story, renewal))
    opened = open_document(reader, open_access(reader, story.alice.record, access.grant_hash), story.letter)
    assert b"".join(opened.stream()) == b"letter"
    assert done


@RENEWALS
def test_what_is_deposited_meanwhile_is_remade_as_well(story: Story, renewal: str, tmp_path: Path) -> None:
    numbers = itertools.count()

    def deposit() -> None:
        put_document(story.alice, access, tmp_path, f"meanwhile {next(numbers)}", compartment="general")

    access = open_access(story.alice, story.alice.record)
    done = once_after(story.world.vault, "/capsules", deposit)
    getattr(story, renewal)()
    assert done
    assert titles(story.bob, open_access(story.bob, story.alice.record, story.grant.hash)) == [
        "letter",
        "meanwhile 0",
        "note",
    ]


def test_who_is_expelled_behind_a_page_sees_nothing_more(story: Story) -> None:
    theirs = open_access(story.bob, story.alice.record, story.grant.hash)

    def end_and_renew() -> None:
        story.end()
        story.renew_epoch()

    once_after(story.world.vault, "/documents", end_and_renew)
    listing = list_documents(story.bob, theirs)
    assert listing.documents == ()
    assert {problem.document for problem in listing.problems} >= {str(story.letter)}
    with pytest.raises((RefusedError, GrantEndedError, VerificationError)):
        open_document(story.bob, theirs, story.letter)
