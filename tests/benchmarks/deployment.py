"""Both real servers for a benchmark, as `carnet up` runs them, and people who use them."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from carnet.access import RecordAccess, open_access
from carnet.deployment.prepare import Deployment, prepare_deployment
from carnet.deployment.registrar import load_or_make_registrar_key
from carnet.deployment.supervisor import Servers, running
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.metadata import DocumentKind
from carnet.home import Home
from carnet.identity import make_identity, register
from carnet.people import verify_bundle
from carnet.recovery import forget_kit
from carnet.registrar import open_registrar
from carnet.session import Session
from carnet_protocol.ids import DocumentId, IdentityHash
from carnet_protocol.statements import Profession, Role

PASSPHRASE = "correct horse battery"
_RATES = {
    f"CARNET_{server}_{name}": "1000000"
    for server in ("VAULT", "KEYSERVICE")
    for name in (
        "KEY_REQUESTS_PER_SECOND",
        "KEY_BURST",
        "ADDRESS_REQUESTS_PER_SECOND",
        "ADDRESS_BURST",
        "ADDRESS_STATEMENTS_PER_SECOND",
        "ADDRESS_STATEMENTS_BURST",
    )
}
"""A load from one address is what limits of load are against, so they are out of the way here."""


@dataclass(slots=True)
class Ward:
    """A deployment that runs, with the homes of its people."""

    folder: Path
    deployment: Deployment
    servers: Servers
    sessions: list[Session] = field(default_factory=list)

    def person(self, name: str, role: Role) -> Session:
        """A new person, registered, with a recovery kit that was printed."""
        home = Home(self.folder / "homes" / name)
        card = self.deployment.card
        session = make_identity(home, card, role, passphrase=PASSPHRASE, device_name=name)
        self.sessions.append(session)
        return session

    def patient(self, name: str) -> Session:
        """A new patient whose kit is out of the way."""
        session = self.person(name, Role.PATIENT)
        secret = session.keyring.body.recovery_secret
        if secret is not None:
            register(session)
            forget_kit(session, secret)
        return session

    def doctor(self, name: str) -> Session:
        """A new practitioner, attested."""
        session = self.person(name, Role.PRACTITIONER)
        register(session)
        self.attest(session, name=name)
        return session

    def attest(self, session: Session, *, name: str, succeeds: IdentityHash | None = None) -> None:
        """Have the registrar attest the keys of `session` to both servers."""
        registrar_home = self.deployment.folder.registrar
        passphrase = (registrar_home / "passphrase").read_text().strip()
        registrar = open_registrar(Home(registrar_home), passphrase=passphrase)
        now = int(time.time())
        registrar.attest(
            verify_bundle(session.identity, session.keyring.body.person),
            name=name,
            profession=Profession.PHYSICIAN,
            organisation="Bench",
            succeeds=succeeds,
            now=now,
        )
        registrar.publish(session.vault, session.keyservice, now=now)


def stretch_quickly(_passphrase: str, *, salt: bytes, **_cost: object) -> bytes:
    """In the place of Argon2id where hundreds of people are made and nobody's passphrase is measured."""
    return hashlib.sha256(salt).digest()


@contextlib.contextmanager
def running_ward(
    folder: Path, *, keyservice_database: str | None = None, vault_database: str | None = None
) -> Iterator[Ward]:
    """Both servers, empty, with their files in `folder`."""
    environment = dict(_RATES)
    if keyservice_database is not None:
        environment["CARNET_KEYSERVICE_DATABASE_URL"] = keyservice_database
    if vault_database is not None:
        environment["CARNET_VAULT_DATABASE_URL"] = vault_database
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        deployment = prepare_deployment(folder / "servers", registrar_key=load_or_make_registrar_key)
        with running(deployment) as servers:
            ward = Ward(folder, deployment, servers)
            yield ward
            for session in ward.sessions:
                session.close()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def fill(session: Session, access: RecordAccess, folder: Path, *, count: int, size: int) -> list[DocumentId]:
    """Deposit `count` documents of `size` bytes into the first compartment."""
    compartment = next(iter(access.compartments))
    folder.mkdir(parents=True, exist_ok=True)
    new: list[NewVersion] = []
    for number in range(count):
        source = folder / f"{number}.bin"
        source.write_bytes(os.urandom(size))
        new.append(new_version(source, access, number))
    assert compartment in access.compartments
    return deposit_small(session, access, new)


def new_version(source: Path, access: RecordAccess, number: int = 0) -> NewVersion:
    """A document made of the file `source`."""
    return NewVersion(
        source=source,
        compartment=next(iter(access.compartments)),
        title=f"document {number}",
        kind=DocumentKind(code="34108-1", display="Outpatient Note"),
        media_type="application/octet-stream",
        author_name="Bench",
    )


def reopen(session: Session) -> Session:
    """A new client of the same person, keyring unlocked, nothing cached."""
    return Session(session.home, session.keyring, session.card)


def own_access(session: Session) -> RecordAccess:
    """The access of a patient to the own record."""
    return open_access(session, session.record)
