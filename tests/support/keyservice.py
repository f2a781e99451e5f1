"""A key service in the process of the test, with a clock that a test moves, and people who sign real requests.

world = KeyServiceWorld.make(engine, tmp_path, Dice("seed"))
with world.client:
    story = KeyServiceStory.begin(world)
    answer = story.release(story.bob, story.grant, [story.item(story.version, KeyRole.METADATA)])
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import httpx2
from pydantic import BaseModel
from sqlalchemy import Engine
from starlette.testclient import TestClient

from carnet_keyservice.app import create_app
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.sealing import Secret
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import Secrets
from carnet_protocol.api import (
    DirectoryUpdate,
    PeopleUpdate,
    RecordUpdate,
    ReleaseAnswer,
    ReleaseItem,
    ReleaseKind,
    ReleaseRequest,
)
from carnet_protocol.ids import StatementHash
from carnet_protocol.requests import KeyId, sign_request
from carnet_protocol.signing import Signer
from carnet_protocol.statements import (
    Attestation,
    Grant,
    Lock,
    Permission,
    RevocationList,
    Role,
    Signed,
    Succession,
)
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.logs import make_log
from tests.support.master_keys import make_ring
from tests.support.people import DAY, NOW, Deployment, Dice, OwnDevice, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord, OwnVersion, make_version, release_item, update_of
from tests.support.tables import digest_tables


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def code(answer: Any) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


@dataclass(slots=True)
class KeyServiceWorld:
    """A key service with its database and its clock."""

    engine: Engine
    own: Deployment
    client: TestClient | httpx2.Client
    clock: SetClock
    log: io.StringIO
    master_keys: MasterKeys

    @classmethod
    def make(cls, engine: Engine, root: Path, dice: Dice, *, own: Deployment | None = None) -> Self:
        """A key service on the migrated database of `engine`."""
        own = own or Deployment.make(dice)
        settings = KeyServiceSettings(
            data_dir=root,
            service_card=root / "card.jws",
            origin=own.keyservice.origin,
            key_requests_per_second=100_000,
            key_burst=100_000,
            address_requests_per_second=100_000,
            address_burst=100_000,
            address_statements_per_second=100_000,
            address_statements_burst=100_000,
        )
        clock, log = SetClock(), io.StringIO()
        master_keys = make_ring(Secret(dice(32)))
        service = create_app(
            settings,
            ServerDeployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key),
            engine,
            Secrets(own.keyservice.key, master_keys),
            make_log(log, "debug"),
            clock=clock,
        )
        client = TestClient(service.app, base_url=own.keyservice.origin, client=("192.0.2.1", 4711))
        return cls(engine, own, client, clock, log, master_keys)

    def sign(
        self, method: str, path: str, content: bytes, *, signer: Signer, key_id: KeyId, at: int | None = None
    ) -> dict[str, str]:
        """The headers of a request."""
        return sign_request(
            method=method,
            target=self.own.keyservice.origin + path,
            body=content,
            server=self.own.keyservice.fingerprint,
            key_id=key_id,
            created=self.clock() if at is None else at,
            sign=signer.sign,
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        by: OwnPerson | OwnDevice | None,
        body: BaseModel | bytes | None = None,
        query: dict[str, Any] | None = None,
    ) -> Any:
        """A request, signed by a device of `by` unless that is None."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        path = f"{path}?{urlencode(given)}" if given else path
        content = body.model_dump_json().encode() if isinstance(body, BaseModel) else body or b""
        headers = {"content-type": "application/json"} if content else {}
        if by is not None:
            device = by.device if isinstance(by, OwnPerson) else by
            headers |= self.sign(method, path, content, signer=device.signer, key_id=device.key_id)
        return self.client.request(method, path, content=content, headers=headers)

    def send_as_key(self, method: str, path: str, signer: Signer, body: BaseModel | None = None) -> Any:
        """A request signed by a root key or an officer's, which are named by their fingerprint."""
        content = body.model_dump_json().encode() if body is not None else b""
        headers = {"content-type": "application/json"} if content else {}
        key_id = KeyId(signer.public_key.fingerprint().raw)
        return self.client.request(
            method,
            path,
            content=content,
            headers=headers | self.sign(method, path, content, signer=signer, key_id=key_id),
        )

    def get(self, path: str, by: OwnPerson | OwnDevice | None, **query: object) -> Any:
        """A GET."""
        return self.send("GET", path, by=by, query=query)

    def post(self, path: str, by: OwnPerson | OwnDevice | None, body: BaseModel | None = None) -> Any:
        """A POST."""
        return self.send("POST", path, by=by, body=body)

    def post_people(self, *texts: str) -> Any:
        """`POST /v1/people`."""
        return self.post("/v1/people", None, PeopleUpdate(statements=texts))

    def post_directory(self, *signed: Signed[Attestation] | Signed[RevocationList] | Signed[Succession]) -> Any:
        """`POST /v1/directory`."""
        return self.post("/v1/directory", None, DirectoryUpdate(statements=tuple(each.text for each in signed)))

    def post_statements(self, own: OwnRecord, update: RecordUpdate, *, by: OwnPerson | OwnDevice | None = None) -> Any:
        """`POST /v1/records/{record}/statements`, by the patient unless said otherwise."""
        return self.post(f"/v1/records/{own.id}/statements", by or own.patient, update)

    def introduce(self, *people: OwnPerson) -> None:
        """Make the server know `people`."""
        for person in people:
            answer = self.post_people(*person.statements())
            assert answer.status_code == 200, answer.text

    def state(self) -> str:
        """A digest of every table but nonces: what a refusal must not change."""
        return digest_tables(self.engine)

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@dataclass(slots=True)
class KeyServiceStory:
    """Alice's record with `general` and `private`; Bob may read `general`; Laura deposits there; Mallory may nothing.

    All four are known, and all but Alice attested. `version` is a document of Laura's in `general`.
    """

    world: KeyServiceWorld
    dice: Dice
    alice: OwnPerson
    bob: OwnPerson
    laura: OwnPerson
    mallory: OwnPerson
    attestations: dict[str, Signed[Attestation]]
    own: OwnRecord
    general: OwnCompartment
    private: OwnCompartment
    lock: Signed[Lock]
    grant: Signed[Grant]
    deposit_grant: Signed[Grant]
    version: OwnVersion

    @classmethod
    def begin(cls, world: KeyServiceWorld, seed: str = "story") -> Self:
        """Everyone introduces themselves, Alice opens her record and lets Bob and Laura in."""
        dice, now = Dice(seed, Suite(world.own.card.body.suite_floor)), world.clock()
        alice = make_person(dice, Role.PATIENT, at=now)
        bob, laura, mallory = (make_person(dice, Role.PRACTITIONER, at=now) for _ in range(3))
        world.introduce(alice, bob, laura, mallory)
        registrar = world.own.registrar
        names = {"bob": bob, "laura": laura, "mallory": mallory}
        attestations = {
            name: registrar.attest(person, not_before=now - DAY, expires=now + 60 * DAY)
            for name, person in names.items()
        }
        listed = registrar.publish_list(at=now - DAY, next_update=now + 30 * DAY)
        accept(world.post_directory(listed, *attestations.values()))
        own = OwnRecord(dice, alice, world.own)
        general, private = own.open_compartment(at=now), own.open_compartment(at=now)
        begins, ends = now - 60, now + 30 * 60
        grant = own.grant(bob, attestations["bob"], compartments=[general], not_before=begins, expires=ends, at=now)
        deposit_grant = own.grant(
            laura,
            attestations["laura"],
            compartments=[general],
            permission=Permission.DEPOSIT,
            not_before=begins,
            expires=ends,
            at=now,
        )
        keys = [
            own.sealed_key(general),
            own.sealed_key(private),
            own.sealed_key(general, grant=grant, reader=bob),
        ]
        accept(
            world.post_statements(
                own, update_of(general.newest, private.newest, grant, deposit_grant, sealed_keys=keys)
            )
        )
        lock = Signed.parse(accept(world.post(f"/v1/records/{own.id}/locks", alice))["lock"], Lock)
        version = make_version(dice, own.id, laura.identity)
        return cls(
            world,
            dice,
            alice,
            bob,
            laura,
            mallory,
            attestations,
            own,
            general,
            private,
            lock,
            grant,
            deposit_grant,
            version,
        )

    @property
    def path(self) -> str:
        """The path of the record."""
        return f"/v1/records/{self.own.id}"

    def item(
        self,
        role: KeyRole,
        *,
        version: OwnVersion | None = None,
        compartment: OwnCompartment | None = None,
        lock: Signed[Lock] | None = None,
    ) -> ReleaseItem:
        """The item of a capsule in `general` under the newest lock, unless said otherwise."""
        version = version or self.version
        capsule = self.own.capsule(version, role, compartment or self.general, lock or self.lock)
        return release_item(version, capsule)

    def release(
        self,
        by: OwnPerson | OwnDevice,
        grant: Signed[Grant] | StatementHash | None,
        items: Sequence[ReleaseItem],
        kind: ReleaseKind = ReleaseKind.OPEN,
    ) -> Any:
        """`POST /v1/records/{record}/releases`."""
        name = grant.hash if isinstance(grant, Signed) else grant
        return self.world.post(f"{self.path}/releases", by, ReleaseRequest(grant=name, kind=kind, items=tuple(items)))

    def inner(self, answer: Any) -> tuple[bytes | None, ...]:
        """The inner locks of a release that was answered."""
        assert answer.status_code == 200, answer.text
        return ReleaseAnswer.model_validate_json(answer.content).inner


def accept(answer: Any) -> Any:
    """The JSON of an answer that is no refusal."""
    assert answer.status_code == 200, answer.text
    return answer.json()
