"""Both servers in the process of the test, and people whose clients talk to them through the SDK.

    world = ClientWorld.make(tmp_path)
    alice = world.patient("alice")
    bob = world.practitioner("bob")

Real applications on SQLite behind Starlette's test client; a clock that stands still until it is moved; requests that
can be watched, cut or answered by somebody else through `world.wires`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx2
from sqlalchemy import Engine
from starlette.testclient import TestClient
from typing_extensions import override

from carnet.access import RecordAccess
from carnet.card import pin_card
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.listing import list_documents
from carnet.documents.metadata import DocumentKind
from carnet.home import Home
from carnet.identity import make_identity, register
from carnet.people import verify_bundle
from carnet.recovery import forget_kit
from carnet.session import Session, open_session
from carnet.transport import ServerName
from carnet_keyservice.app import REVISIONS as KEYSERVICE_REVISIONS
from carnet_keyservice.app import create_app as create_keyservice
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.sealing import Secret as MasterKey
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import Secrets
from carnet_protocol.api import DirectoryUpdate
from carnet_protocol.ids import AttestationId, CompartmentId, DocumentId
from carnet_protocol.statements import Attestation, Profession, Role, Signed
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_server.database import make_engine
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.logs import make_log
from carnet_server.migrations import migrate
from carnet_storage import FilesystemStore, TransferUrls, UrlSecret, create_filesystem_store
from carnet_vault.app import REVISIONS as VAULT_REVISIONS
from carnet_vault.app import create_app as create_vault
from carnet_vault.settings import VaultSettings
from carnet_vault.startup import LocalStore
from tests.support.master_keys import KeptKeys
from tests.support.people import DAY, NOW, Deployment, Dice

PASSPHRASE = "correct horse battery"


class MovableClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


Answer = Callable[[httpx2.Request], httpx2.Response | None]


class Wire(httpx2.BaseTransport):
    """The way to one server. `before` may answer in its place or raise; `after` may change what it answered."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.requests: list[httpx2.Request] = []
        self.before: Answer | None = None
        self.after: Callable[[httpx2.Request, httpx2.Response], httpx2.Response] | None = None

    @override
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on."""
        request.read()
        self.requests.append(request)
        if self.before is not None:
            answer = self.before(request)
            if answer is not None:
                return answer
        answered = self.client.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers)
        )
        stream = httpx2.ByteStream(answered.content)
        response = httpx2.Response(answered.status_code, headers=answered.headers, stream=stream)
        return response if self.after is None else self.after(request, response)

    def paths(self, method: str) -> list[str]:
        """The paths of requests with `method` so far."""
        return [request.url.path for request in self.requests if request.method == method]


@dataclass(slots=True)
class ClientWorld:
    """A deployment with both servers, its registrar, and the homes of its people under `root`."""

    root: Path
    own: Deployment
    clock: MovableClock
    engines: dict[ServerName, Engine]
    wires: dict[str, Wire]
    logs: dict[ServerName, io.StringIO]
    master_key: bytes
    url_secret: bytes
    sessions: list[Session] = field(default_factory=list)
    kept: KeptKeys = field(default_factory=KeptKeys)
    ring: MasterKeys = field(default_factory=lambda: MasterKeys([]))

    @classmethod
    def make(
        cls,
        root: Path,
        *,
        seed: str = "client",
        suite: Suite = WRITE_SUITE,
        engines: dict[ServerName, Engine] | None = None,
    ) -> Self:
        """Both servers, empty, writing `suite`: on SQLite in `root`, or on the migrated databases of `engines`."""
        own = Deployment.make(Dice(seed, suite))
        clock = MovableClock()
        engines = engines or {
            ServerName.VAULT: _migrated(root / "vault.sqlite", VAULT_REVISIONS),
            ServerName.KEYSERVICE: _migrated(root / "keyservice.sqlite", KEYSERVICE_REVISIONS),
        }
        logs = {name: io.StringIO() for name in ServerName}
        master_key, url_secret = own.registrar.dice(32), own.registrar.dice(32)
        create_filesystem_store(root / "objects")
        made = cls(root, own, clock, engines, {}, logs, master_key, url_secret)
        made.kept.keys[1] = MasterKey(master_key)
        made.wires = {made.own.vault.origin: Wire(made._make(ServerName.VAULT))}
        made.wires[made.own.keyservice.origin] = Wire(made._make(ServerName.KEYSERVICE))
        return made

    @property
    def vault(self) -> Wire:
        """The way to the vault."""
        return self.wires[self.own.vault.origin]

    @property
    def keyservice(self) -> Wire:
        """The way to the key service."""
        return self.wires[self.own.keyservice.origin]

    def start(self) -> None:
        """Start both servers."""
        for wire in self.wires.values():
            wire.client.__enter__()

    def stop(self) -> None:
        """Close every session and stop both servers."""
        for session in self.sessions:
            session.close()
        for wire in self.wires.values():
            wire.client.__exit__()
        for engine in self.engines.values():
            engine.dispose()
        failures = [line for log in self.logs.values() for line in log.getvalue().splitlines() if '"failure"' in line]
        assert not failures, failures

    def change_suites(self, *, floor: int, write: int) -> None:
        """Start both servers anew with a card that says so. Nobody's client has taken it yet, see `take_card`."""
        self.own = self.own.change_suites(floor=floor, write=write)
        self.restart(*ServerName)

    def restart(self, *names: ServerName) -> None:
        """Start these servers anew, on what their databases say; a key service asks for its master keys again."""
        for name in names:
            wire = self.vault if name is ServerName.VAULT else self.keyservice
            wire.client.__exit__()
            wire.client = self._make(name)
            wire.client.__enter__()

    def _make(self, name: ServerName) -> TestClient:
        engine, log = self.engines[name], self.logs[name]
        if name is ServerName.VAULT:
            return _make_vault(self.own, engine, self.root, self.clock, log=log, url_secret=self.url_secret)
        self.ring = MasterKeys([self.kept])
        return _make_keyservice(self.own, engine, self.root, self.clock, log=log, ring=self.ring)

    def take_card(self, session: Session, name: str) -> Session:
        """The session of `name` after they took the newest card."""
        session.close()
        self.sessions.remove(session)
        pin_card(self.home(name), self.own.card)
        return self.reopen(name)

    def open_client(self, origin: str) -> httpx2.Client:
        """What a session uses to reach `origin`."""
        return httpx2.Client(transport=self.wires[origin])

    def options(self) -> dict[str, Any]:
        """What a session of this world is given."""
        return {"clock": self.clock, "open_client": self.open_client}

    def home(self, name: str) -> Home:
        """The home folder called `name`."""
        return Home(self.root / "homes" / name)

    def person(self, name: str, role: Role) -> Session:
        """A new person, registered at both servers, who printed the recovery kit."""
        session = make_identity(
            self.home(name), self.own.card, role, passphrase=PASSPHRASE, device_name=name, **self.options()
        )
        self.sessions.append(session)
        register(session)
        return session

    def patient(self, name: str) -> Session:
        """A new patient who printed the recovery kit; no record is open yet."""
        session = self.person(name, Role.PATIENT)
        confirm_kit(session)
        return session

    def practitioner(self, name: str) -> Session:
        """A new practitioner, attested."""
        session = self.person(name, Role.PRACTITIONER)
        self.attest(session)
        return session

    def attest(self, session: Session, **members: Any) -> None:
        """Publish an attestation of `session`'s person, with the keys they have now, and a fresh list."""
        registrar = self.own.registrar
        person = verify_bundle(session.identity, session.keyring.body.person)
        body = Attestation(
            **{
                "id": AttestationId(registrar.dice(16)),
                "registrar": registrar.fingerprint,
                "subject": person.identity,
                "subject_statement": person.current.hash,
                "succeeds": None,
                "name": "Dr. Test",
                "profession": Profession.PHYSICIAN,
                "organisation": "Clinic of Tests",
                "not_before": self.clock() - DAY,
                "expires": self.clock() + 60 * DAY,
                **members,
            }
        )
        listed = registrar.publish_list(at=self.clock() - DAY, next_update=self.clock() + 30 * DAY)
        self.publish([Signed.sign(body, registrar.signer).text, listed.text])

    def publish(self, texts: list[str]) -> None:
        """Give directory statements to both servers."""
        body = DirectoryUpdate(statements=tuple(texts)).model_dump_json().encode()
        for origin, wire in self.wires.items():
            answer = wire.client.post(
                f"{origin}/v1/directory", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 200, answer.text

    def reopen(self, name: str) -> Session:
        """A new session in the home of `name`, as after a restart."""
        session = open_session(self.home(name), passphrase=PASSPHRASE, **self.options())
        self.sessions.append(session)
        return session


def confirm_kit(session: Session) -> None:
    """Print the recovery kit and forget it."""
    recovery_secret = session.keyring.body.recovery_secret
    assert recovery_secret is not None
    forget_kit(session, recovery_secret)


def _migrated(path: Path, revisions: Path) -> Engine:
    path.write_bytes(_template(revisions))
    return make_engine(f"sqlite:///{path}")


@lru_cache(maxsize=2)
def _template(revisions: Path) -> bytes:
    """A migrated database file, made once per run."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite"
        engine = make_engine(f"sqlite:///{path}")
        migrate(engine, revisions)
        engine.dispose()  # the last connection writes the log ahead back into the file
        return path.read_bytes()


def _make_vault(
    own: Deployment, engine: Engine, root: Path, clock: MovableClock, *, log: io.StringIO, url_secret: bytes
) -> TestClient:
    urls = TransferUrls(own.vault.origin, UrlSecret(url_secret))
    vault = create_vault(
        VaultSettings(data_dir=root, service_card=root / "card.jws", origin=own.vault.origin),
        ServerDeployment.of(own.card, own.card.body.vault, own.vault.log_key),
        engine,
        LocalStore(FilesystemStore(root / "objects", urls), urls),
        make_log(log, "debug"),
        server_key=own.vault.key,
        clock=clock,
    )
    return TestClient(vault.app, base_url=own.vault.origin, client=("192.0.2.1", 4711))


def _make_keyservice(
    own: Deployment, engine: Engine, root: Path, clock: MovableClock, *, log: io.StringIO, ring: MasterKeys
) -> TestClient:
    keyservice = create_keyservice(
        KeyServiceSettings(data_dir=root, service_card=root / "card.jws", origin=own.keyservice.origin),
        ServerDeployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key),
        engine,
        Secrets(own.keyservice.key, ring),
        make_log(log, "debug"),
        clock=clock,
    )
    return TestClient(keyservice.app, base_url=own.keyservice.origin, client=("192.0.2.1", 4711))


def put_document(
    session: Session, access: RecordAccess, folder: Path, title: str, *, compartment: str, content: bytes | None = None
) -> DocumentId:
    """Deposit a small document called `title` into the compartment called `compartment`, or the only one there is."""
    source = folder / f"{title}.txt"
    source.write_bytes(content or title.encode())
    new = NewVersion(
        source=source,
        compartment=find_compartment(access, compartment),
        title=title,
        kind=DocumentKind(code="34108-1", display="Outpatient Note", system="http://loinc.org"),
        media_type="text/plain",
        author_name="Test",
    )
    return deposit_small(session, access, [new])[0]


def find_compartment(access: RecordAccess, name: str) -> CompartmentId:
    """The compartment called `name`, or the only one that a depositor sees."""
    if len(access.compartments) == 1:
        return next(iter(access.compartments))
    return next(compartment.id for compartment in access.compartments.values() if compartment.name == name)


def titles(session: Session, access: RecordAccess) -> list[str]:
    """The titles that `access` shows, sorted."""
    listing = list_documents(session, access)
    assert not listing.problems, listing.problems
    return sorted(document.metadata.title for document in listing.documents)
