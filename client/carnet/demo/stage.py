"""The stage of the story: a folder with servers and homes, the people, their documents, and what they remember."""

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from carnet.access import RecordAccess, open_access
from carnet.demo.canaries import Needle, Search
from carnet.deployment.prepare import Deployment, prepare_deployment
from carnet.deployment.registrar import load_or_make_registrar_key
from carnet.deployment.supervisor import running
from carnet.documents.deposit import NewVersion
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.home import Home
from carnet.identity import make_identity, register
from carnet.keys import RecoverySecret
from carnet.samples import SampleDocument, make_bundle, make_canary, make_ct, make_ecg, make_letter
from carnet.samples.story import derive_story
from carnet.session import Session
from carnet.whole_file import replace_file
from carnet_protocol.api import ReleaseItem
from carnet_protocol.ids import CompartmentId, DocumentId
from carnet_protocol.statements import Grant, Role, Signed

ALICE: Final = "Alice"
BOB: Final = "Dr Bob"
LABORATORY: Final = "laboratory"
THIEF: Final = "thief"
_PASSPHRASE_BYTES: Final = 24
_SEED: Final = 1 << 32


@dataclass(slots=True)
class Paper:
    """A document of the story: its file, what is said of it, and, once it is deposited, its id."""

    sample: SampleDocument
    comment: str
    document: DocumentId | None = None

    @property
    def id(self) -> DocumentId:
        """The document, which is deposited."""
        if self.document is None:
            raise AssertionError("internal: a document of the story that was not deposited")
        return self.document

    def as_version(self, compartment: CompartmentId, *, author_name: str) -> NewVersion:
        """The deposit of it."""
        return NewVersion(
            source=self.sample.path,
            compartment=compartment,
            title=self.sample.title,
            kind=DocumentKind(code=self.sample.kind.code, display=self.sample.kind.display),
            media_type=self.sample.media_type,
            author_name=author_name,
            care_date=self.sample.care_date.isoformat(),
            file_name=self.sample.path.name,
            comment=self.comment,
        )


@dataclass(slots=True)
class Kept:
    """What somebody kept who was let in once: the access with its private keys, and the locked keys of documents."""

    access: RecordAccess
    locked: list[ReleaseItem]


@dataclass(slots=True)
class Stage:
    """Everything that the steps share. `needles` is what the servers must never hold."""

    path: Path
    passphrase: str
    papers: dict[str, Paper]
    needles: list[Needle]
    exits: ExitStack
    sessions: dict[str, Session] = field(default_factory=dict)
    grants: dict[str, Signed[Grant]] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    words: RecoverySecret | None = None
    searched: Search | None = None
    searched_for: int = 0
    _deployment: Deployment | None = None

    @classmethod
    def build(cls, path: Path, exits: ExitStack) -> Self:
        """The stage in the folder `path`, which holds nothing of another, with documents made on the spot."""
        (path / "documents").mkdir(mode=0o700)
        passphrase = secrets.token_urlsafe(_PASSPHRASE_BYTES)
        replace_file(path / "passphrase", (passphrase + "\n").encode())
        seed = secrets.randbelow(_SEED)
        needles = [Needle("name of the patient", derive_story(seed).patient.name.encode())]
        needles.append(Needle("passphrase", passphrase.encode()))
        papers: dict[str, Paper] = {}
        for name, make in _MAKERS.items():
            content, comment = make_canary(), make_canary()
            sample = make(path / "documents" / _FILES[name], seed=seed, canary=content)
            papers[name] = Paper(sample, comment.decode())
            needles += [
                Needle(f"content of the {name}", content),
                Needle(f"comment on the {name}", comment),
                Needle(f"title of the {name}", sample.title.encode()),
                Needle(f"file name of the {name}", _FILES[name].encode()),
            ]
        return cls(path=path, passphrase=passphrase, papers=papers, needles=needles, exits=exits)

    def start_servers(self) -> None:
        """Start both servers; they run until the stage's exits are taken."""
        self._deployment = prepare_deployment(self.path / "servers", registrar_key=load_or_make_registrar_key)
        self.exits.enter_context(running(self._deployment))

    @property
    def is_set(self) -> bool:
        """Whether the servers were started."""
        return self._deployment is not None

    @property
    def deployment(self) -> Deployment:
        """The deployment, which runs."""
        if self._deployment is None:
            raise AssertionError("internal: the servers of the story were not started")
        return self._deployment

    @property
    def server_folders(self) -> list[Path]:
        """All that each server keeps: database, objects, keys, settings, logs."""
        return [self.deployment.folder.server("vault"), self.deployment.folder.server("keyservice")]

    def home(self, who: str) -> Home:
        """Where `who` lives."""
        letters = (letter for letter in who.lower().replace(" ", "-") if letter.isalnum() or letter == "-")
        return Home(self.path / "".join(letters))

    def enter(self, who: str, session: Session) -> Session:
        """Keep `session` as that of `who`, until the stage's exits are taken."""
        self.sessions[who] = self.exits.enter_context(session)
        return session

    def locked_keys(self) -> list[ReleaseItem]:
        """The locked keys of every document, as the vault has them now: what a copy of the vault would show."""
        session = self.sessions[ALICE]
        access = open_access(session, session.record)
        items: list[ReleaseItem] = []
        for paper in self.papers.values():
            opened = open_document(session, access, paper.id)
            body = opened.version.manifest.body
            items += [
                ReleaseItem(suite=body.suite, author=body.author, capsule=capsule)
                for capsule in (opened.version.metadata_capsule, opened.content_capsule)
            ]
        return items

    def make_person(self, who: str, role: Role, device_name: str) -> Session:
        """Make an identity for `who` and let both servers know of it."""
        session = make_identity(
            self.home(who), self.deployment.card, role, passphrase=self.passphrase, device_name=device_name
        )
        self.enter(who, session)
        register(session)
        return session


_FILES: Final = {
    "letter": "lettre-de-liaison.pdf",
    "results": "ordonnances-et-bilans.json",
    "tracing": "ecg-de-repos.png",
    "study": "scanner-thoracique.dcm",
}
_MAKERS: Final = {"letter": make_letter, "results": make_bundle, "tracing": make_ecg, "study": make_ct}
