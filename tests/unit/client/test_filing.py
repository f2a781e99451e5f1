"""Moving a document, against both real servers: whatever the servers know, wherever it is cut."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from carnet.access import open_access
from carnet.documents.filing import move_document
from carnet.documents.listing import Document, list_documents
from carnet.errors import CarnetError, ConflictError, PartialError
from carnet.locks import make_lock
from carnet.pairing import approve_device, join, request_pairing
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.api import LockView
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.statements import Filing, Signed
from carnet_protocol.suites import Suite
from tests.support.client import PASSPHRASE, ClientWorld, find_compartment, put_document
from tests.support.cuts import Cut, quiet
from tests.support.databases import BOTH

DATABASES = BOTH

pytestmark = pytest.mark.parametrize("suite", Suite)


@dataclass(slots=True)
class Story:
    """Alice and a letter in *general*."""

    world: ClientWorld
    alice: Session
    letter: DocumentId

    def find(self, session: Session) -> Document:
        listing = list_documents(session, open_access(session, self.alice.record))
        assert not listing.problems
        return next(document for document in listing.documents if document.id == self.letter)

    def part(self, name: str) -> CompartmentId:
        return find_compartment(open_access(self.alice, self.alice.record), name)

    def move(self, name: str, session: Session | None = None) -> Signed[Filing]:
        mover = session or self.alice
        self.world.clock.now += 1
        access = open_access(mover, self.alice.record)
        return move_document(mover, access, self.find(mover), find_compartment(access, name))

    def place(self) -> CompartmentId | None:
        return self.find(self.alice).compartment

    def restart(self) -> None:
        """Alice's command was cut; another one begins, later."""
        self.world.clock.now += 5
        self.alice.close()
        self.world.sessions.remove(self.alice)
        self.alice = self.world.reopen("alice")
        quiet(self.alice)


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path) -> Story:
    alice = world.patient("alice")
    quiet(alice)
    access = open_record(alice)
    return Story(world, alice, put_document(alice, access, tmp_path, "letter", compartment="general"))


def make_unseen_lock(session: Session) -> None:
    """A lock of a new version that the vault never hears of, as a command leaves it that was cut."""
    session.keyservice.post_once(f"/v1/records/{session.record}/locks", None, LockView)


def test_a_document_moves_under_a_lock_that_the_vault_has_not_seen(story: Story) -> None:
    make_unseen_lock(story.alice)
    story.move("private")
    assert story.place() == story.part("private")


def test_a_lock_made_in_the_midst_of_a_move_does_not_stop_it(story: Story) -> None:
    """The key service has the filing when the vault hears of a newer lock: the same filing goes on under that one."""
    rounds: list[int] = []

    def before(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/statements") and not rounds:
            rounds.append(1)
            make_lock(story.alice, story.alice.record, after=1)

    story.world.vault.before = before
    filing = story.move("private")
    story.world.vault.before = None
    assert rounds
    assert [signed.hash for signed in story.find(story.alice).version.filings] == [filing.hash]
    assert story.place() == story.part("private")


def test_a_filing_that_the_vault_refused_to_the_last_is_taken_up_again(story: Story) -> None:
    """A command that was cut after the key service had the filing, while the locks went on, does not block the next."""

    def lose(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/statements"):
            raise httpx2.ReadError("cut", request=request)

    story.world.vault.before = lose
    with pytest.raises(PartialError):
        story.move("private")
    story.world.vault.before = None
    make_lock(story.alice, story.alice.record, after=1)
    story.restart()  # sends what was kept, which is stale by now, and forgets it
    assert story.place() == story.part("general")
    story.move("private")
    assert story.place() == story.part("private")
    story.move("imaging")
    assert story.place() == story.part("imaging")
    assert len(story.find(story.alice).version.filings) == 2


def test_another_place_after_a_cut_is_reached_by_way_of_the_first(story: Story) -> None:
    def lose(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/statements"):
            raise httpx2.ConnectError("cut", request=request)

    story.world.vault.before = lose
    with pytest.raises(PartialError):
        story.move("private")
    story.world.vault.before = None
    story.move("imaging")
    assert story.place() == story.part("imaging")
    assert len(story.find(story.alice).version.filings) == 2


def test_moving_where_it_is_files_nothing_twice(story: Story) -> None:
    story.move("private")
    story.move("private")
    assert [signed.body.serial for signed in story.find(story.alice).version.filings] == [1, 2]


@pytest.fixture
def tablet(story: Story) -> Session:
    world = story.world
    request = request_pairing(world.home("tablet"), world.own.card, passphrase=PASSPHRASE, clock=world.clock)
    session = join(
        world.home("tablet"),
        approve_device(story.alice, request, name="tablet"),
        passphrase=PASSPHRASE,
        **world.options(),
    )
    world.sessions.append(session)
    quiet(session)
    return session


def test_of_two_devices_that_move_at_once_the_second_comes_after_the_first(story: Story, tablet: Session) -> None:
    rounds: list[int] = []

    def before(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/statements") and not rounds:
            rounds.append(1)
            story.move("imaging", tablet)

    story.world.keyservice.before = before
    story.move("private")
    story.world.keyservice.before = None
    assert story.place() == story.part("private")
    assert len(story.find(story.alice).version.filings) == 2


def test_a_move_that_another_device_left_half_done_is_told(story: Story, tablet: Session) -> None:
    def lose(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/statements"):
            raise httpx2.ConnectError("cut", request=request)

    story.world.vault.before = lose
    with pytest.raises(PartialError):
        story.move("imaging", tablet)
    story.world.vault.before = None
    with pytest.raises(ConflictError):
        story.move("private")
    unsent: list[object] = []
    tablet.outbox.flush(unsent.append)
    assert not unsent
    story.move("private")
    assert story.place() == story.part("private")


@pytest.mark.parametrize("answer", [False, True])
def test_a_move_that_is_cut_anywhere_is_simply_made_again(story: Story, *, answer: bool) -> None:
    names = itertools.cycle(["private", "general"])
    for number in itertools.count(1):
        name = next(names)
        make_unseen_lock(story.alice)
        cut = Cut(story.world, number, answer=answer)
        try:
            story.move(name)
            was_cut = False
        except CarnetError:
            was_cut = True
        cut.mend()
        if was_cut:
            story.restart()
            if story.place() != story.part(name):
                story.move(name)
        assert story.place() == story.part(name)
        if not was_cut:
            break
    assert number > 8
