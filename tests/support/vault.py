"""A vault in the process of the test, with people who talk to it: requests are signed, the store is on disk.

world = VaultWorld.make(engine, tmp_path, Dice("seed"))
with world.client:
    story = VaultStory.begin(world)
    parcel = story.parcel()
    assert story.bring(parcel).status_code == 200
"""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import httpx2
from pydantic import BaseModel
from sqlalchemy import Engine
from starlette.testclient import TestClient

from carnet_protocol.api import (
    Capsule,
    CapsuleSwap,
    Deposit,
    Deposits,
    DirectoryUpdate,
    LockView,
    PeopleUpdate,
    RecordUpdate,
    ResealDeposits,
    UploadRequest,
    UploadsAnswer,
    UploadView,
)
from carnet_protocol.ids import RecordId, UploadId
from carnet_protocol.statements import Attestation, Grant, Lock, Permission, Role, Signed
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.logs import make_log
from carnet_storage import FilesystemStore, TransferUrls, UrlSecret, create_filesystem_store
from carnet_storage._disk import Disk
from carnet_vault.app import create_app
from carnet_vault.settings import VaultSettings
from carnet_vault.startup import LocalStore
from carnet_vault.uploads.queries import UploadRow, load_uploads
from tests.support.parcels import Parcel, ResealParcel, make_parcel
from tests.support.people import DAY, NOW, Deployment, Dice, OwnDevice, OwnPerson, make_person
from tests.support.records import OwnCompartment, OwnRecord, make_lock
from tests.support.tables import digest_tables


@contextlib.contextmanager
def nothing_changes(story: "VaultStory") -> Iterator[None]:
    """Fails if the block changes a row or the store."""
    before = story.world.state()
    yield
    assert story.world.state() == before, "something changed"


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]


def _nothing(_descriptor: int) -> None:
    return


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(slots=True)
class VaultWorld:
    """A vault with its database, its store and its clock."""

    engine: Engine
    root: Path
    dice: Dice
    own: Deployment
    store: Any
    client: httpx2.Client
    clock: FakeClock
    log: io.StringIO

    @classmethod
    def make(cls, engine: Engine, root: Path, dice: Dice) -> Self:
        """A vault on the migrated database of `engine`, with an empty store under `root`."""
        own = Deployment.make(dice)
        urls = TransferUrls(own.vault.origin, UrlSecret(dice(32)))
        create_filesystem_store(root / "objects")
        # What survives a power cut is for tests of the store; here nobody waits for the disk.
        store = FilesystemStore(root / "objects", urls, disk=Disk(sync=_nothing, sync_data=_nothing))
        settings = VaultSettings(data_dir=root, service_card=root / "card.jws", origin=own.vault.origin)
        clock, log = FakeClock(), io.StringIO()
        vault = create_app(
            settings,
            ServerDeployment.of(own.card, own.card.body.vault, own.vault.log_key),
            engine,
            LocalStore(store, urls),
            make_log(log, "debug"),
            server_key=own.vault.key,
            clock=clock,
        )
        client = TestClient(vault.app, base_url=own.vault.origin, client=("192.0.2.1", 4711))
        return cls(engine, root, dice, own, store, client, clock, log)

    def send(
        self,
        method: str,
        path: str,
        *,
        by: OwnPerson | OwnDevice | None,
        body: BaseModel | bytes | None = None,
        query: dict[str, Any] | None = None,
    ) -> httpx2.Response:
        """A request, signed by a device of `by` unless that is None."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        path = f"{path}?{urlencode(given)}" if given else path
        content = body.model_dump_json().encode() if isinstance(body, BaseModel) else body or b""
        headers = {"content-type": "application/json"} if content else {}
        if by is not None:
            device = by.device if isinstance(by, OwnPerson) else by
            headers |= device.sign_request(
                method=method,
                target=self.own.vault.origin + path,
                body=content,
                server=self.own.vault.fingerprint,
                now=self.clock(),
            )
        return self.client.request(method, path, content=content, headers=headers)

    def get(self, path: str, by: OwnPerson | OwnDevice | None, **query: object) -> httpx2.Response:
        """A GET."""
        return self.send("GET", path, by=by, query=query)

    def post(self, path: str, by: OwnPerson | OwnDevice | None, body: BaseModel | bytes) -> httpx2.Response:
        """A POST."""
        return self.send("POST", path, by=by, body=body)

    def put_bytes(self, url: str, data: bytes) -> httpx2.Response:
        """A PUT to a URL that the vault gave out."""
        return self.client.put(url.removeprefix(self.own.vault.origin), content=data)

    def get_bytes(self, url: str, **headers: str) -> httpx2.Response:
        """A GET from a URL that the vault gave out."""
        return self.client.get(url.removeprefix(self.own.vault.origin), headers=headers)

    def state(self) -> str:
        """A digest of all tables, the store's names and what lies in uploads: what a refusal must not change."""
        digest = hashlib.sha256(digest_tables(self.engine).encode())
        for path in sorted((self.root / "objects").rglob("*")):
            digest.update(f"{path.relative_to(self.root)} {path.stat().st_size if path.is_file() else 0}\n".encode())
        return digest.hexdigest()

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@dataclass(slots=True)
class VaultStory:
    """Alice, a patient; Laura, a laboratory with a deposit grant; Bob, a physician who may read; Mallory, who may not.

    The record has two compartments, `general` and `private`; Laura deposits into the first, Bob reads the first.
    """

    world: VaultWorld
    alice: OwnPerson
    laura: OwnPerson
    bob: OwnPerson
    mallory: OwnPerson
    attestations: dict[str, Signed[Attestation]]
    own: OwnRecord
    general: OwnCompartment
    private: OwnCompartment
    lock: Signed[Lock]
    deposit_grant: Signed[Grant]
    read_grant: Signed[Grant]

    @classmethod
    def begin(cls, world: VaultWorld) -> Self:
        """Tell the vault of everyone, and open the record."""
        dice, now = world.dice, world.clock()
        alice = make_person(dice, Role.PATIENT, at=now)
        laura, bob, mallory = (make_person(dice, Role.PRACTITIONER, at=now) for _ in range(3))
        attestations = {
            name: world.own.registrar.attest(one, not_before=now - DAY, expires=now + 60 * DAY)
            for name, one in zip("lbm", (laura, bob, mallory), strict=True)
        }
        for person in (alice, laura, bob, mallory):
            body = PeopleUpdate(statements=tuple(person.statements()))
            assert world.post("/v1/people", None, body).status_code == 200
        own = OwnRecord(dice, alice, world.own)
        general, private = own.open_compartment(at=now), own.open_compartment(at=now)
        lock, _ = make_lock(dice, world.own, own.id, at=now)
        deposit_grant = own.grant(
            laura,
            attestations["l"],
            compartments=[general],
            permission=Permission.DEPOSIT,
            not_before=now - 60,
            expires=now + 30 * DAY,
            at=now,
        )
        read_grant = own.grant(
            bob, attestations["b"], compartments=[general], not_before=now - 60, expires=now + 30 * 60, at=now
        )
        story = cls(
            world=world,
            alice=alice,
            laura=laura,
            bob=bob,
            mallory=mallory,
            attestations=attestations,
            own=own,
            general=general,
            private=private,
            lock=lock,
            deposit_grant=deposit_grant,
            read_grant=read_grant,
        )
        story.publish_list()
        story.tell_directory(*attestations.values())
        answer = story.update(general.newest, private.newest, deposit_grant, read_grant)
        assert answer.status_code == 200, answer.text
        return story

    @property
    def record(self) -> RecordId:
        """Alice's record."""
        return self.own.id

    @property
    def path(self) -> str:
        """Where the record's routes begin."""
        return f"/v1/records/{self.record}"

    def update(
        self, *statements: Signed[Any], capsules: Sequence[CapsuleSwap] = (), by: OwnPerson | OwnDevice | None = None
    ) -> httpx2.Response:
        """Bring statements and swaps, as Alice unless said otherwise."""
        body = RecordUpdate(
            statements=tuple(signed.text for signed in statements), sealed_keys=(), capsules=tuple(capsules)
        )
        return self.world.post(f"{self.path}/statements", by or self.alice, body)

    def tell_of(self, person: OwnPerson) -> None:
        """Bring all statements of `person`, once more."""
        answer = self.world.post("/v1/people", None, PeopleUpdate(statements=tuple(person.statements())))
        assert answer.status_code == 200, answer.text

    def tell_directory(self, *statements: Signed[Any]) -> None:
        """Bring statements of the directory."""
        body = DirectoryUpdate(statements=tuple(signed.text for signed in statements))
        answer = self.world.post("/v1/directory", None, body)
        assert answer.status_code == 200, answer.text

    def publish_list(self) -> None:
        """Bring the registrar's newest list of attestations that ended early."""
        now = self.world.clock()
        self.tell_directory(self.world.own.registrar.publish_list(at=now - DAY, next_update=now + 30 * DAY))

    def find_upload(self, upload: UploadId) -> UploadRow:
        """The upload as the vault keeps it."""
        with self.world.engine.connect() as connection:
            return load_uploads(connection, self.record, [upload])[upload]

    def show_lock(self, lock: Signed[Lock]) -> httpx2.Response:
        """Show the vault a lock statement."""
        return self.world.post(f"{self.path}/locks", self.alice, LockView(lock=lock.text))

    def parcel(
        self,
        *,
        author: OwnPerson | None = None,
        compartment: OwnCompartment | None = None,
        after: Parcel | None = None,
        **options: Any,
    ) -> Parcel:
        """A version by Laura under her grant, or by Alice without one."""
        author = author or self.laura
        if author is self.laura:
            options.setdefault("grant", self.deposit_grant)
        options.setdefault("at", self.world.clock())
        lock = options.pop("lock", self.lock)
        return make_parcel(self.world.dice, self.own, author, compartment or self.general, lock, after=after, **options)

    def begin_uploads(
        self, sizes: Sequence[int], *, by: OwnPerson | None = None, grant: Signed[Grant] | None = None
    ) -> httpx2.Response:
        """Begin uploads: Laura's under her grant, Alice's without one."""
        by = by or self.laura
        grant = grant or (self.deposit_grant if by is self.laura else None)
        body = UploadRequest(grant=None if grant is None else grant.hash, sizes=tuple(sizes))
        return self.world.post(f"{self.path}/uploads", by, body)

    def send_bytes(self, view: UploadView, data: bytes) -> None:
        """Send every part of an upload."""
        for part in view.parts:
            answer = self.world.put_bytes(part.url, data[part.offset : part.offset + part.size])
            assert answer.status_code == 200, answer.text

    def upload(self, *parcels: Parcel | ResealParcel, by: OwnPerson | None = None) -> list[UploadId]:
        """Upload the ciphertexts of `parcels`, and return the uploads."""
        answer = self.begin_uploads([parcel.size for parcel in parcels], by=by)
        assert answer.status_code == 200, answer.text
        views = UploadsAnswer.model_validate_json(answer.content).uploads
        for view, parcel in zip(views, parcels, strict=True):
            self.send_bytes(view, parcel.sealed.ciphertext)
        return [view.upload for view in views]

    def commit(self, *deposits: tuple[Parcel, UploadId], by: OwnPerson | OwnDevice | None = None) -> httpx2.Response:
        """Commit versions whose ciphertexts are uploaded."""
        return self.commit_deposits(*(parcel.deposit(upload) for parcel, upload in deposits), by=by)

    def commit_deposits(self, *deposits: Deposit, by: OwnPerson | OwnDevice | None = None) -> httpx2.Response:
        """Commit deposits, whatever is in them."""
        return self.world.post(f"{self.path}/documents", by or self.laura, Deposits(deposits=deposits))

    def bring(self, *parcels: Parcel, by: OwnPerson | None = None) -> httpx2.Response:
        """Upload and commit."""
        return self.commit(*zip(parcels, self.upload(*parcels, by=by), strict=True), by=by)

    def commit_reseals(
        self,
        *deposits: tuple[ResealParcel, UploadId],
        personal: Sequence[CapsuleSwap] = (),
        drops: Sequence[Capsule] = (),
        by: OwnPerson | None = None,
    ) -> httpx2.Response:
        """Commit reseals whose ciphertexts are uploaded; the first comes with `personal` capsules and `drops`."""
        first, *others = deposits
        body = ResealDeposits(
            deposits=(
                first[0].deposit(first[1], personal=personal, drops=drops),
                *(parcel.deposit(upload) for parcel, upload in others),
            )
        )
        return self.world.post(f"{self.path}/reseals", by or self.alice, body)

    def list(self, by: OwnPerson, grant: Signed[Grant] | None = None, **query: object) -> httpx2.Response:
        """List documents."""
        return self.world.get(f"{self.path}/documents", by, grant=None if grant is None else grant.hash, **query)

    def open(
        self, by: OwnPerson, parcel: Parcel, grant: Signed[Grant] | None = None, *, version: object = None
    ) -> httpx2.Response:
        """Open a version."""
        path = f"{self.path}/documents/{parcel.document}/versions/{version or parcel.number}"
        return self.world.get(path, by, grant=None if grant is None else grant.hash)
