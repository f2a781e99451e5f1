"""The story that attacks and claims begin with, and what they check afterwards.

story = Story.make(world, tmp_path)
with story.unchanged():
    ...  # an attack: neither server may have changed by it

A folder's conftest imports the fixtures `story` and `own_story`.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from carnet.access import RecordAccess, open_access
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.keys import RecoverySecret
from carnet.pairing import approve_device, join, request_pairing
from carnet.records import open_record
from carnet.session import Session
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.statements import Grant, Purpose, Role, Signed
from tests.support.client import PASSPHRASE, ClientWorld, Wire, confirm_kit, find_compartment, put_document

VOLATILE = {"events", "event_records", "nonces"}
"""Tables that a refused request may still touch: a nonce is spent whatever becomes of its request."""


@dataclass(slots=True)
class Story:
    """Alice's record: a letter in *general*, a secret in *private*, a laboratory's result in *laboratory*.

    Bob may read *general* and *laboratory* for half an hour; the laboratory may deposit into *laboratory*.
    """

    world: ClientWorld
    folder: Path
    alice: Session
    bob: Session
    lab: Session
    mallory: Session
    letter: DocumentId
    secret: DocumentId
    result: DocumentId
    read_grant: Signed[Grant]
    deposit_grant: Signed[Grant]
    secrets: dict[str, RecoverySecret]

    @classmethod
    def make(cls, world: ClientWorld, folder: Path) -> "Story":
        """The story so far."""
        alice = world.person("alice", Role.PATIENT)
        secrets = {"alice": _recovery_secret(alice)}
        confirm_kit(alice)
        bob, lab, mallory = (world.practitioner(name) for name in ("bob", "lab", "mallory"))
        secrets |= {name: _recovery_secret(session) for name, session in (("bob", bob), ("lab", lab))}
        access = open_record(alice)
        letter = put_document(alice, access, folder, "letter", compartment="general", content=b"letter content")
        secret = put_document(alice, access, folder, "secret", compartment="private", content=b"secret content")
        laboratory = find_compartment(access, "laboratory")
        deposit_grant = make_grant(
            alice,
            access,
            plan_depositing(
                alice, access, lab.identity, compartment=laboratory, seconds=86_400, purpose=Purpose.DIAGNOSTICS
            ),
        )
        deposit = open_access(lab, alice.record, deposit_grant.hash)
        result = put_document(lab, deposit, folder, "result", compartment="laboratory", content=b"result content")
        read_grant = make_grant(
            alice,
            access,
            plan_reading(
                alice,
                access,
                bob.identity,
                compartments=[find_compartment(access, "general"), laboratory],
                seconds=1_800,
                purpose=Purpose.CONSULTATION,
                note="Alice",
            ),
        )
        return cls(world, folder, alice, bob, lab, mallory, letter, secret, result, read_grant, deposit_grant, secrets)

    def access(self, session: Session) -> RecordAccess:
        """The access that Alice, Bob or the laboratory has."""
        grants = {self.bob.identity: self.read_grant.hash, self.lab.identity: self.deposit_grant.hash}
        return open_access(session, self.alice.record, grants.get(session.identity))

    def compartment(self, name: str) -> CompartmentId:
        """The compartment called `name`."""
        return find_compartment(self.access(self.alice), name)

    def pair(self, name: str) -> Session:
        """A second device of Alice's."""
        home = self.world.home(name)
        request = request_pairing(home, self.world.own.card, passphrase=PASSPHRASE, clock=self.world.clock)
        answer = approve_device(self.alice, request, name=name)
        session = join(self.world.home(name), answer, passphrase=PASSPHRASE, **self.world.options())
        self.world.sessions.append(session)
        return session

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check that what happens inside changes nothing on either server but spent nonces and its log."""
        before = self.digest()
        yield
        assert self.digest() == before

    def digest(self) -> str:
        """A digest of all that both servers keep but nonces and events, and of every object."""
        digest = hashlib.sha256()
        for engine in self.world.engines.values():
            with engine.connect() as connection:
                names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"))
                for name in [row[0] for row in names]:
                    if name in VOLATILE or name.startswith("sqlite_"):
                        continue
                    query = text(f'SELECT * FROM "{name}"')  # noqa: S608  a name out of the database itself
                    rows = sorted(repr(tuple(row)) for row in connection.execute(query))
                    digest.update(repr((name, rows)).encode())
        for path in sorted(path for path in (self.world.root / "objects").rglob("*") if path.is_file()):
            digest.update(repr((path.name, path.read_bytes())).encode())
        return digest.hexdigest()


def _recovery_secret(session: Session) -> RecoverySecret:
    secret = session.keyring.body.recovery_secret
    assert secret is not None
    return secret


@contextlib.contextmanager
def lying(wire: Wire, path_end: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Let a server change every answer to a path that ends with `path_end`: `change` gets and returns the JSON."""

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith(path_end) or response.status_code != httpx2.codes.OK:
            return response
        return with_body(response, json.dumps(change(json.loads(response.read()))).encode())

    previous, wire.after = wire.after, after
    try:
        yield
    finally:
        wire.after = previous


def with_body(response: httpx2.Response, body: bytes) -> httpx2.Response:
    """`response` with another body."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return httpx2.Response(response.status_code, headers=headers, stream=httpx2.ByteStream(body))


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer that went by."""

    path: str
    status: int
    headers: tuple[str, ...]
    body: bytes


@contextlib.contextmanager
def watching(*wires: Wire) -> Iterator[list[Seen]]:
    """Every answer of the servers behind `wires`, as it goes by."""
    seen: list[Seen] = []

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = response.read()
        names = tuple(sorted(name for name in response.headers if name != "date"))
        seen.append(Seen(request.url.path, response.status_code, names, body))
        return with_body(response, body)

    for wire in wires:
        wire.after = after
    try:
        yield seen
    finally:
        for wire in wires:
            wire.after = None


def _tell(folder: Path) -> Iterator[Story]:
    world = ClientWorld.make(folder)
    world.start()
    yield Story.make(world, folder)
    world.stop()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One story for the tests of a module that change nothing, or change it once for all."""
    yield from _tell(tmp_path_factory.mktemp("story"))


@pytest.fixture
def own_story(tmp_path: Path) -> Iterator[Story]:
    """A story for a test that changes it."""
    yield from _tell(tmp_path)
