"""People whose clients talk to both servers, what they may do in any order, and a model of what comes of it.

people = People.begin(world, folder)
people.act("let_read", 3)
assert people.contents(people.alice, people.own()) == people.model.everything()

An act that makes no sense now does nothing; of several things, grants or readers it takes the one that `pick` says.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeVar

from carnet.access import RecordAccess, open_access
from carnet.documents.filing import move_document
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.removal import remove_document
from carnet.errors import StaleError, UnfinishedError
from carnet.grant_book import load_grants
from carnet.grants import GrantPlan, make_grant, plan_depositing, plan_reading
from carnet.records import open_record
from carnet.revocation import begin_renewal, complete, revoke
from carnet.session import Session
from carnet_protocol.api import ReleaseItem
from carnet_protocol.ids import DocumentId
from carnet_protocol.statements import Grant, Permission, Purpose, Signed, TombstoneReason
from tests.support.client import ClientWorld, find_compartment, put_document
from tests.support.copies import items_in_vault
from tests.support.cuts import quiet
from tests.support.people import DAY

BRIEF_SECONDS: Final = 3600
"""How long the shorter ones of grants last."""
MOST: Final = 4
"""Documents, and grants in force, at any time: each is looked at after each step."""
ATTEMPTS: Final = 4
PLACES: Final = ("general", "private")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Given:
    """A grant, and whose."""

    reader: str
    grant: Signed[Grant]


@dataclass
class Model:
    """What there is to know: each document's bytes and place, whose grants there are, and whose were revoked."""

    documents: dict[DocumentId, tuple[bytes, str]] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    ended: list[Given] = field(default_factory=list)
    to_complete: bool = False
    is_paused: bool = False
    kept: list[ReleaseItem] = field(default_factory=list)

    def expire(self, now: int) -> None:
        """Move what is past to what has ended."""
        past = [each for each in self.given if each.grant.body.expires <= now]
        self.given = [each for each in self.given if each not in past]
        self.ended += past

    def seen_by(self, given: Given) -> dict[DocumentId, bytes]:
        """What a reader has under a grant."""
        body = given.grant.body
        return {
            document: content
            for document, (content, place) in self.documents.items()
            if (document in body.documents if body.documents else place == "general")
        }

    def everything(self) -> dict[DocumentId, bytes]:
        """What the patient has."""
        return {document: content for document, (content, _) in self.documents.items()}


ACTS: Final = ("put", "deposit", "let_read", "let_open", "let_deposit", "revoke", "complete", "renew", "move", "remove")


@dataclass(slots=True)
class People:
    """Alice, whose record it is, and two practitioners."""

    folder: Path
    alice: Session
    readers: dict[str, Session]
    model: Model = field(default_factory=Model)
    count: int = 0

    @classmethod
    def begin(cls, world: ClientWorld, folder: Path) -> Self:
        """With a document each of Alice's and of Dora's, whose record lock is rotated with hers."""
        alice, dora = world.patient("alice"), world.patient("dora")
        readers = {name: world.practitioner(name) for name in ("bob", "carol")}
        for session in world.sessions:
            quiet(session)
        open_record(alice)
        put_document(dora, open_record(dora), folder, "hers", compartment="general")
        people = cls(folder, alice, readers)
        people.put(0)
        return people

    def own(self) -> RecordAccess:
        return open_access(self.alice, self.alice.record)

    def access(self, given: Given) -> RecordAccess:
        return open_access(self.readers[given.reader], self.alice.record, given.grant.hash)

    def again(self, act: Callable[[], T]) -> T:
        """A command that says that keys moved on meanwhile is given again, as its user would."""
        for _ in range(ATTEMPTS - 1):
            with suppress(StaleError, UnfinishedError):
                return act()
        return act()

    def put(self, pick: int) -> None:
        place = PLACES[pick % 2]
        self._put(self.alice, self.own, place)

    def deposit(self, pick: int) -> None:
        able = [each for each in self.model.given if each.grant.body.permission is Permission.DEPOSIT]
        if able:
            given = able[pick % len(able)]
            self._put(self.readers[given.reader], lambda: self.access(given), "general")

    def _put(self, author: Session, access: Callable[[], RecordAccess], place: str) -> None:
        if len(self.model.documents) < MOST:
            self.count += 1
            title = f"document {self.count}"
            made = self.again(lambda: put_document(author, access(), self.folder, title, compartment=place))
            self.model.documents[made] = (title.encode(), place)

    def let_read(self, pick: int) -> None:
        self._let(
            pick,
            lambda access, who, more: plan_reading(
                self.alice, access, who, compartments=[find_compartment(access, "general")], **more
            ),
        )

    def let_open(self, pick: int) -> None:
        if self.model.documents:
            document = self._pick(pick)
            self._let(
                pick, lambda access, who, more: plan_reading(self.alice, access, who, documents=[document], **more)
            )

    def let_deposit(self, pick: int) -> None:
        self._let(
            pick,
            lambda access, who, more: plan_depositing(
                self.alice, access, who, compartment=find_compartment(access, "general"), **more
            ),
        )

    def _let(self, pick: int, plan: Callable[..., GrantPlan]) -> None:
        if len(self.model.given) < MOST:
            reader = ("bob", "carol")[pick % 2]
            more = {"seconds": (BRIEF_SECONDS, 20 * DAY)[pick // 2 % 2], "purpose": Purpose.TREATMENT}

            def let() -> Signed[Grant]:
                access = self.own()
                return make_grant(self.alice, access, plan(access, self.readers[reader].identity, more))

            self.model.given.append(Given(reader, self.again(let)))
            self.keep()

    def revoke(self, pick: int) -> None:
        if self.model.given:
            given = self.model.given[pick % len(self.model.given)]
            self.keep()
            assert revoke(self.alice, load_grants(self.alice, self.own()), given.grant).is_everywhere
            self.model.given.remove(given)
            self.model.ended.append(given)
            if given.grant.body.compartments and given.grant.body.permission is Permission.READ:
                begin_renewal(self.alice, given.grant.body.compartments)
            else:
                begin_renewal(self.alice, [])
            self.model.to_complete = True

    def complete(self, pick: int) -> None:
        if self.model.to_complete:
            report = self.again(lambda: complete(self.alice, reencrypt=reencrypt_record if pick == 0 else None))
            assert (report.skipped, report.readers_left_out, report.not_reencrypted) == ((), (), ())
            self.model.to_complete = False

    def renew(self, pick: int) -> None:
        begin_renewal(self.alice, [find_compartment(self.own(), PLACES[pick % 2])])
        self.model.to_complete = True
        self.complete(1)

    def move(self, pick: int) -> None:
        if self.model.documents:
            document = self._pick(pick)
            content, place = self.model.documents[document]
            to = PLACES[1 - PLACES.index(place)]

            def go() -> None:
                access = self.own()
                (listed,) = [each for each in list_documents(self.alice, access).documents if each.id == document]
                move_document(self.alice, access, listed, find_compartment(access, to))

            self.again(go)
            self.model.documents[document] = (content, to)

    def remove(self, pick: int) -> None:
        if len(self.model.documents) > 1:
            document = self._pick(pick)
            listing = list_documents(self.alice, self.own())
            (listed,) = [each for each in listing.documents if each.id == document]
            remove_document(self.alice, listed.version, reason=TombstoneReason.MISFILED)
            del self.model.documents[document]

    def _pick(self, pick: int) -> DocumentId:
        return list(self.model.documents)[pick % len(self.model.documents)]

    def keep(self) -> None:
        """What a reader, or a thief of the vault's, keeps to ask for later."""
        self.model.kept = list(items_in_vault(self.folder, self.alice.record))

    def act(self, what: str, pick: int) -> None:
        getattr(self, what)(pick)

    def contents(self, session: Session, access: RecordAccess) -> dict[DocumentId, bytes]:
        listing = list_documents(session, access)
        assert not listing.problems, listing.problems
        return {each.id: b"".join(open_document(session, access, each.id).stream()) for each in listing.documents}
