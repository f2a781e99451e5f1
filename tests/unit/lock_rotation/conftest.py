"""A record with documents and readers at both servers, and a program that rotates its lock."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from carnet.access import RecordAccess, open_access
from carnet.documents.listing import list_documents
from carnet.grants import make_grant, plan_reading
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.ids import CompartmentId, DocumentId, RecordId
from carnet_protocol.statements import Grant, Purpose, Signed
from tests.support.client import ClientWorld, find_compartment, put_document, titles
from tests.support.cuts import quiet
from tests.support.lock_rotation import Rotation, rotating
from tests.unit.client.conftest import quick_passphrases, suite, world

__all__ = ["quick_passphrases", "suite", "world"]


@dataclass(slots=True)
class Story:
    """Alice with two documents in *general* and one in *private*; Bob reads *general*, Carol the first alone."""

    world: ClientWorld
    folder: Path
    rotation: Rotation
    alice: Session
    bob: Session
    carol: Session
    general: CompartmentId
    one: DocumentId
    read: Signed[Grant]
    single: Signed[Grant]

    @classmethod
    def begin(cls, world: ClientWorld, folder: Path, rotation: Rotation) -> "Story":
        alice, bob, carol = world.patient("alice"), world.practitioner("bob"), world.practitioner("carol")
        for session in (alice, bob, carol):
            quiet(session)
        access = open_record(alice)
        general = find_compartment(access, "general")
        one = put_document(alice, access, folder, "one", compartment="general")
        put_document(alice, access, folder, "two", compartment="general")
        put_document(alice, access, folder, "secret", compartment="private")
        read = let_in(alice, bob, compartments=[general])
        single = let_in(alice, carol, documents=[one])
        return cls(world, folder, rotation, alice, bob, carol, general, one, read, single)

    @property
    def record(self) -> RecordId:
        assert self.alice.record is not None
        return self.alice.record

    def put(self, title: str) -> DocumentId:
        access = open_access(self.alice, self.record)
        return put_document(self.alice, access, self.folder, title, compartment="general")

    def access(self, reader: Session) -> RecordAccess:
        grants = {self.bob: self.read.hash, self.carol: self.single.hash}
        return open_access(reader, self.record, grants.get(reader))

    def titles(self, reader: Session) -> list[str]:
        return titles(reader, self.access(reader))

    def require_all_open(self, *more: str) -> None:
        """Everybody opens what is theirs: titles by a release to list, and content by one to open."""
        assert self.titles(self.alice) == sorted(["one", "secret", "two", *more])
        assert self.titles(self.bob) == sorted(["one", "two", *more])
        assert self.titles(self.carol) == ["one"]
        assert not list_documents(self.alice, self.access(self.alice)).problems


def let_in(patient: Session, reader: Session, **scope: object) -> Signed[Grant]:
    """A grant for half an hour."""
    access = open_access(patient, patient.record)
    plan = plan_reading(patient, access, reader.identity, seconds=1800, purpose=Purpose.TREATMENT, **scope)
    return make_grant(patient, access, plan)


@pytest.fixture
def rotation(world: ClientWorld) -> Iterator[Rotation]:
    """A program beside the key service."""
    with rotating(world) as made:
        yield made


@pytest.fixture
def story(world: ClientWorld, tmp_path: Path, rotation: Rotation) -> Story:
    """The story's beginning."""
    return Story.begin(world, tmp_path, rotation)
