"""A server's shared nouns on a database of their own, without HTTP: what a work of the writer would do, done at once.

world = World.make(engine, Dice("seed"))
world.accept_people(alice)
with world.moment() as moment:
    accept_record(...)
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Engine

from carnet_protocol.api import RecordUpdate
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.statements import (
    Attestation,
    Closing,
    Compartment,
    Filing,
    Grant,
    Revocation,
    RevocationList,
    Role,
    Signed,
    Statement,
    Succession,
    Tombstone,
)
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.deployment import Moment
from carnet_server.directory import accept as directory
from carnet_server.events import LoggedEvent
from carnet_server.people import accept as people
from carnet_server.principals import Principal, PrincipalKind
from carnet_server.records import accept as records
from carnet_server.records.effects import Change, Effects
from carnet_server.statements import parse_statements
from carnet_server.tables import metadata
from tests.support.people import NOW, Deployment, Dice, OwnDevice, OwnPerson, make_person
from tests.support.records import OwnRecord


class NoEffects:
    """Effects that do nothing but say what they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def begin(self, change: Change) -> None:
        self.asked.append("begin")

    def is_mirrored(self, body: Statement) -> bool:
        return False

    def find_rivals(self, change: Change, body: Compartment) -> Sequence[StatementHash]:
        return ()

    def on_compartment(self, change: Change, signed: Signed[Compartment], event: LoggedEvent) -> None:
        self.asked.append("compartment")

    def on_closing(self, change: Change, signed: Signed[Closing], event: LoggedEvent) -> None:
        self.asked.append("closing")

    def on_filing(self, change: Change, signed: Signed[Filing], event: LoggedEvent) -> None:
        self.asked.append("filing")

    def on_tombstone(self, change: Change, signed: Signed[Tombstone], event: LoggedEvent) -> None:
        self.asked.append("tombstone")

    def on_grant(self, change: Change, signed: Signed[Grant], event: LoggedEvent) -> None:
        self.asked.append("grant")

    def on_revocation(self, change: Change, signed: Signed[Revocation], event: LoggedEvent) -> None:
        self.asked.append("revocation")

    def finish(self, change: Change) -> None:
        self.asked.append("finish")


def principal_of(person: OwnPerson, device: OwnDevice | None = None) -> Principal:
    """The principal that a request by a device of `person` has."""
    return Principal((device or person.device).key_id, PrincipalKind.DEVICE, IdentityHash(person.identity.raw))


@dataclass(slots=True)
class World:
    """One server's database with the deployment it belongs to, and a clock that a test sets."""

    engine: Engine
    own: Deployment
    deployment: ServerDeployment
    now: int = NOW
    effects: Effects = field(default_factory=NoEffects)

    @classmethod
    def make(cls, engine: Engine, dice: Dice) -> Self:
        """The shared tables in `engine`, as the vault of a fresh deployment has them."""
        metadata.create_all(engine)
        own = Deployment.make(dice)
        return cls(engine, own, ServerDeployment.of(own.card, own.card.body.vault, own.vault.log_key))

    @contextlib.contextmanager
    def moment(self, at: int | None = None) -> Iterator[Moment]:
        """A transaction at time `at`; committed unless the block raises."""
        with self.engine.begin() as connection:
            yield Moment(connection, self.now if at is None else at, self.deployment)

    def accept_people(self, *everyone: OwnPerson, at: int | None = None) -> None:
        """Make the server know each person with all their statements."""
        for person in everyone:
            self.accept_people_statements(person.statements(), at=at)

    def accept_people_statements(self, texts: Sequence[str], *, at: int | None = None) -> list[LoggedEvent]:
        """What `POST /v1/people` does."""
        with self.moment(at) as moment:
            return people.accept_people(moment, parse_statements(texts, people.KINDS))

    def accept_directory(
        self, *statements: Signed[Attestation] | Signed[RevocationList] | Signed[Succession], at: int | None = None
    ) -> list[LoggedEvent]:
        """What `POST /v1/directory` does."""
        with self.moment(at) as moment:
            texts = [signed.text for signed in statements]
            return directory.accept_directory(moment, parse_statements(texts, directory.KINDS))

    def accept_record(
        self, principal: Principal, record: RecordId, update: RecordUpdate, *, at: int | None = None
    ) -> list[LoggedEvent]:
        """What `POST /v1/records/{record}/statements` does."""
        statements = parse_statements(update.statements, records.KINDS)
        with self.moment(at) as moment:
            return records.accept_record(Change(moment, principal, record, update), statements, self.effects)


@dataclass(slots=True)
class Story:
    """Alice, a patient; bob and mallory, attested physicians; known to the world already."""

    world: World
    dice: Dice
    alice: OwnPerson
    record: OwnRecord
    bob: OwnPerson
    bobs: Signed[Attestation]
    mallory: OwnPerson
    mallorys: Signed[Attestation]

    @classmethod
    def begin(cls, world: World, dice: Dice) -> Self:
        """Make the people and tell the world of them."""
        alice = make_person(dice, Role.PATIENT)
        bob = make_person(dice, Role.PRACTITIONER)
        mallory = make_person(dice, Role.PRACTITIONER)
        world.accept_people(alice, bob, mallory)
        bobs, mallorys = world.own.registrar.attest(bob), world.own.registrar.attest(mallory)
        world.accept_directory(world.own.registrar.publish_list(), bobs, mallorys)
        return cls(world, dice, alice, OwnRecord(dice, alice, world.own), bob, bobs, mallory, mallorys)
