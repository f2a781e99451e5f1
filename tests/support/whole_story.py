"""Everything that this slice can do, once, with a canary in every place where a person writes something.

After it both servers, the store, the logs, the traffic and the home folders hold at least one of every thing that they
ever hold: claims are checked against all of it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from carnet.access import open_access
from carnet.documents.deposit import NewVersion, deposit_small
from carnet.documents.filing import move_document
from carnet.documents.listing import list_documents, list_own_deposits, list_versions
from carnet.documents.metadata import DocumentKind
from carnet.documents.reading import open_document
from carnet.documents.reencryption import reencrypt_record
from carnet.documents.removal import remove_document
from carnet.events import load_events
from carnet.grant_book import load_grants
from carnet.grants import make_grant, plan_depositing, plan_reading
from carnet.identity import renew_account_key
from carnet.inbox import load_inbox
from carnet.pairing import (
    PairingRequest,
    _derive_pairing_keys,
    _open_pairing,
    approve_device,
    join,
    request_pairing,
)
from carnet.records import open_record
from carnet.recovery import restore
from carnet.revocation import complete_revocation, revoke
from carnet.samples import make_canary
from carnet.session import Session
from carnet.transport import KeySigner, ServerName
from carnet_protocol.api import Accepted, DirectoryUpdate, OfficerUpdate, ServerStatus
from carnet_protocol.ids import DocumentId
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import Grant, Purpose, Signed, TombstoneReason
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_server.deployment import Deployment, Moment
from carnet_server.officers.accept import enrol_officer
from tests.support.client import PASSPHRASE, ClientWorld
from tests.support.story import Story
from tests.support.traffic import Exchange, record

PLACES = ("content", "title", "file name", "comment", "author", "kind", "note", "compartment", "device")
"""Where a person writes something that no server may learn."""


@dataclass(slots=True)
class WholeStory:
    """The story with its traffic. `canaries` are by place; `personal` is Carol's grant of a single document."""

    world: ClientWorld
    story: Story
    exchanges: list[Exchange]
    canaries: dict[str, bytes]
    told: DocumentId
    carol: Session
    personal: Signed[Grant]
    tablet: Session
    pairing_request: PairingRequest
    pairing_seed: bytes
    pairing_answer: bytes

    @property
    def root(self) -> Path:
        """Where both databases, the store and the homes are."""
        return self.world.root

    def sessions(self) -> dict[str, Session]:
        """Everybody by name."""
        story = self.story
        return {
            "alice": story.alice,
            "tablet": self.tablet,
            "bob": story.bob,
            "lab": story.lab,
            "mallory": story.mallory,
            "carol": self.carol,
        }

    def logs(self) -> dict[str, bytes]:
        """What each server logged."""
        return {str(name): log.getvalue().encode() for name, log in self.world.logs.items()}


def tell(folder: Path, suite: Suite = WRITE_SUITE) -> Iterator[WholeStory]:
    """Tell the story in the empty `folder`; both servers, which write `suite`, run until the generator is closed."""
    yield from tell_in(ClientWorld.make(folder, suite=suite), folder)


def tell_in(world: ClientWorld, folder: Path) -> Iterator[WholeStory]:
    """Tell the story in `world`, with the files of people in `folder`; the world runs until the generator is closed."""
    exchanges = record(world)
    world.start()
    canaries = {place: make_canary() for place in PLACES}
    canaries["device"] = canaries["device"][:60]  # the longest that fits
    story = Story.make(world, folder)
    told = _put_canaries(story, canaries)
    carol = world.practitioner("carol")
    personal = _let_in(story, carol, told, canaries["note"].decode())
    tablet, request, seed, answer = _pair(story, canaries["device"].decode())
    _read(story, carol, personal)
    _change(story, told)
    personal = _let_in(story, carol, told, canaries["note"].decode())
    _publish_again(story)
    _administer(story)
    whole = WholeStory(world, story, exchanges, canaries, told, carol, personal, tablet, request, seed, answer)
    yield whole
    for wire in world.wires.values():
        wire.after = None
    tablet.close()
    world.stop()


def _put_canaries(story: Story, canaries: dict[str, bytes]) -> DocumentId:
    access = open_record(story.alice, ["general", canaries["compartment"].decode()])
    source = story.folder / canaries["file name"].decode()
    source.write_bytes(canaries["content"] + zlib.compress(canaries["content"]))
    new = NewVersion(
        source=source,
        compartment=story.compartment("general"),
        title=canaries["title"].decode(),
        kind=DocumentKind(code="34108-1", display=canaries["kind"].decode()),
        media_type="text/plain",
        author_name=canaries["author"].decode(),
        file_name=canaries["file name"].decode(),
        comment=canaries["comment"].decode(),
    )
    document = deposit_small(story.alice, access, [new])[0]
    source.unlink()
    return document


def _let_in(story: Story, carol: Session, document: DocumentId, note: str) -> Signed[Grant]:
    access = story.access(story.alice)
    plan = plan_reading(
        story.alice,
        access,
        carol.identity,
        documents=[document],
        seconds=3_600,
        purpose=Purpose.SECOND_OPINION,
        note=note,
    )
    return make_grant(story.alice, access, plan)


def _pair(story: Story, name: str) -> tuple[Session, PairingRequest, bytes, bytes]:
    world = story.world
    home = world.home("tablet")
    request = request_pairing(home, world.own.card, passphrase=PASSPHRASE, clock=world.clock)
    seed = _derive_pairing_keys(_open_pairing(home, PASSPHRASE)[1], request.suite)[1].seed()
    answer = approve_device(story.alice, request, name=name)
    tablet = join(home, answer, passphrase=PASSPHRASE, **world.options())
    return tablet, request, seed, answer


def _read(story: Story, carol: Session, personal: Signed[Grant]) -> None:
    access = story.access(story.bob)
    for document in list_documents(story.bob, access).documents:
        opened = open_document(story.bob, access, document.id)
        opened.check()
        opened.read_range(offset=0, length=3)
        list_versions(story.bob, access, document.id)
    theirs = open_access(carol, story.alice.record, personal.hash)
    for document in list_documents(carol, theirs).documents:
        open_document(carol, theirs, document.id).check()
    load_inbox(story.bob)
    list_own_deposits(story.lab, story.access(story.lab))
    load_grants(story.alice, story.access(story.alice))


def _change(story: Story, told: DocumentId) -> None:
    """A hidden document shown, one removed, a reader shut out for good, everything encrypted anew, keys renewed."""
    alice, world = story.alice, story.world
    access = story.access(alice)
    documents = {document.id: document for document in list_documents(alice, access).documents}
    move_document(alice, access, documents[story.secret], story.compartment("medication"))
    remove_document(alice, documents[story.result].version, reason=TombstoneReason.PATIENT_REQUEST)
    extra = plan_depositing(
        alice,
        access,
        story.lab.identity,
        compartment=story.compartment("general"),
        seconds=600,
        purpose=Purpose.DIAGNOSTICS,
    )
    make_grant(alice, access, extra)
    revoke(alice, load_grants(alice, access), story.read_grant)
    complete_revocation(alice, story.read_grant, reencrypt=reencrypt_record)
    for server in (alice.vault, alice.keyservice):
        load_events(alice, server)
    renew_account_key(alice, story.secrets["alice"])
    restored = restore(
        world.home("restored"),
        world.own.card,
        story.secrets["alice"],
        passphrase=PASSPHRASE,
        device_name="restored",
        **world.options(),
    )
    open_record(restored)
    restored.close()
    assert told in {document.id for document in list_documents(alice, story.access(alice)).documents}


def _publish_again(story: Story) -> None:
    """Attestations go to the servers beside the wires; here once through them, so that they are recorded."""
    for origin in story.world.wires:
        with httpx2.Client(transport=story.world.wires[origin]) as client:
            texts = story.world.own.registrar.publish_list(
                at=story.world.clock(), next_update=story.world.clock() + 86_400
            )
            body = DirectoryUpdate(statements=(texts.text,)).model_dump_json().encode()
            client.post(f"{origin}/v1/directory", content=body, headers={"content-type": "application/json"})


def _administer(story: Story) -> None:
    """An officer whom each machine enrolled looks at its server, lets another one in, and shuts them out."""
    own, now = story.world.own, story.world.clock()
    first, second = own.registrar.dice.signer(), own.registrar.dice.signer()
    for server in (story.alice.vault, story.alice.keyservice):
        keys = own.vault if server.name is ServerName.VAULT else own.keyservice
        with story.world.engines[server.name].begin() as connection:
            moment = Moment(connection, now, Deployment.of(own.card, server.entry, keys.log_key))
            enrol_officer(moment, first.public_key, by=None)
        officer = server.signed_by(KeySigner(KeyId(first.public_key.fingerprint().raw), first.sign))
        officer.post("/v1/admin/officers", OfficerUpdate(public_key=second.public_key), Accepted)
        officer.delete(f"/v1/admin/officers/{second.public_key.fingerprint()}", Accepted)
        status = officer.get("/v1/admin/status", ServerStatus)
        assert [entry.retired is None for entry in status.officers].count(True) == 1
