"""One of each kind of request to a server, so that something can be said of every statement that it runs.

Each step does its work and asserts that it was done; a step may need those before it. `fill_postgres` may have filled
the database before the story began: the steps that read a whole record then look at one of those that were filled in.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, select

from carnet_keyservice.schedule import Policy, load_schedule
from carnet_protocol.api import ErasureUpdate, PeopleUpdate
from carnet_protocol.ids import DocumentId, IdentityHash, RecordId, Sha256Digest, StatementHash
from carnet_protocol.tuples import KeyRole
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.events.queries import load_page
from carnet_server.writer import Writer
from carnet_storage.names import make_object_name
from carnet_vault.capsules.decide import Place
from carnet_vault.capsules.page import load_capsules
from carnet_vault.deposits.queries import load_own
from carnet_vault.documents.queries import (
    Listing,
    list_documents,
    listed_for_compartments,
    listed_for_documents,
    listed_for_patient,
    load_documents,
    load_tombstones,
)
from carnet_vault.gc.collect import Collector
from carnet_vault.gc.queries import note_orphans, take_orphans
from carnet_vault.status import count_all
from carnet_vault.tables import documents
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.parcels import Parcel, make_reseal, swap
from tests.support.people import DAY, NOW, OwnPerson
from tests.support.records import OwnRecord, update_of
from tests.support.vault import VaultStory

Steps = dict[str, Callable[[], object]]
_PAGE = 100
_MIDDLE = DocumentId(b"\x80" + bytes(31))
_LATER = DocumentId(b"\x88" + bytes(31))


def filled_in(kind: str, number: int) -> bytes:
    """The id that `fill_postgres` gave to the `number`-th of a kind."""
    return Sha256Digest.of(f"{kind}{number}".encode()).raw


def vault_tour(story: VaultStory) -> Steps:
    """The steps at the vault."""
    world, own = story.world, story.own
    parcels: list[Parcel] = []
    shared: dict[str, Any] = {}
    whole = RecordId(filled_in("identity", 0))

    def deposit(author: OwnPerson, after: Parcel | None = None) -> None:
        parcel = story.parcel(author=author, after=after)
        _ok(story.bring(parcel, by=author))
        parcels.append(parcel)

    def deposit_more() -> None:
        for _ in range(3):
            deposit(story.laura)

    def remade(parcel: Parcel) -> list[Any]:
        return [
            swap(own.capsule(parcel.version, old.role, story.private, story.lock), old)
            for old in (parcel.content_capsule, parcel.metadata_capsule)
        ]

    def share() -> None:
        grant = own.grant(story.mallory, story.attestations["m"], documents=[parcels[0].document])
        capsules = [
            own.personal_capsule(parcels[0].version, role, grant, story.mallory, story.lock) for role in KeyRole
        ]
        _ok(story.update(grant, capsules=[swap(capsule, None) for capsule in capsules]))
        shared["grant"] = grant

    def reseal() -> None:
        made = make_reseal(world.dice, own, parcels[1], story.general, story.lock)
        _ok(story.commit_reseals((made, story.upload(made, by=story.alice)[0])))

    def read(query: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[], object]:
        def run() -> None:
            with reader(world.engine) as connection:
                assert query(connection, *arguments, **named)

        return run

    def listed(listing: Listing, after: DocumentId | None = None) -> Callable[[], object]:
        return read(load_documents, listing, after=after, limit=_PAGE + 1)

    def collect() -> None:
        with Writer(world.engine) as writer:
            deployment = Deployment.of(world.own.card, world.own.card.body.vault, world.own.vault.log_key)
            collector = Collector(world.engine, writer, world.store, deployment, world.clock, grace_seconds=7 * DAY)
            assert collector.collect()["documents"] == 0

    def collect_orphans() -> None:
        name = make_object_name(world.dice)
        with world.engine.begin() as connection:
            note_orphans(connection, [name], now=NOW)
            assert take_orphans(connection, [name], until=NOW) == [name]

    path = story.path
    return {
        "people told of again": lambda: story.tell_of(story.bob),
        "directory told of again": lambda: story.tell_directory(*story.attestations.values()),
        "deposit by a laboratory": lambda: deposit(story.laura),
        "deposit by the patient": lambda: deposit(story.alice),
        "deposit of a second version": lambda: deposit(story.laura, parcels[0]),
        "more deposits": deposit_more,
        "access": lambda: _ok(world.get(f"{path}/access", story.bob, grant=story.read_grant.hash)),
        "list by the patient": lambda: _ok(story.list(story.alice)),
        "list by a reader": lambda: _ok(story.list(story.bob, story.read_grant)),
        "versions of a document": lambda: _ok(
            world.get(f"{path}/documents/{parcels[0].document}", story.bob, grant=story.read_grant.hash)
        ),
        "open by a reader": lambda: _ok(story.open(story.bob, parcels[3], story.read_grant)),
        "single-document grant": share,
        "list of single documents": lambda: _ok(story.list(story.mallory, shared["grant"])),
        "open under a single-document grant": lambda: _ok(story.open(story.mallory, parcels[0], shared["grant"])),
        "own deposits": lambda: _ok(world.get(f"{path}/deposits", story.laura, grant=story.deposit_grant.hash)),
        "capsules page": lambda: _ok(world.get(f"{path}/capsules", story.alice)),
        "reseal": reseal,
        "filing with swaps": lambda: _ok(
            story.update(own.file(parcels[3].document, story.private), capsules=remade(parcels[3]))
        ),
        "next epoch": lambda: _ok(story.update(own.next_epoch(story.private))),
        "closing refused": lambda: _is(409, story.update(own.close_epoch(story.private, epoch=1))),
        "tombstone": lambda: _ok(story.update(own.entomb(parcels[4].document, parcels[4].manifest.hash))),
        "lock shown": lambda: _ok(story.show_lock(story.lock)),
        "grants of the record": lambda: _ok(world.get(f"{path}/grants", story.alice)),
        "revocation": lambda: _ok(story.update(own.revoke(shared["grant"]))),
        "events page": lambda: _ok(world.get(f"{path}/events", story.alice)),
        "removal of a device": lambda: _ok(_remove(story)),
        "whole record: list by the patient": listed(listed_for_patient(whole)),
        "whole record: list by a reader": listed(listed_for_compartments(whole, _grant(0))),
        "whole record: list of single documents": listed(listed_for_documents(whole, _grant(2))),
        "further on: list by the patient": listed(listed_for_patient(whole), _MIDDLE),
        "further on: list by a reader": listed(listed_for_compartments(whole, _grant(0)), _MIDDLE),
        "further on: keys of a reader's list": read(
            list_documents, listed_for_compartments(whole, _grant(0)), after=_MIDDLE, until=_LATER, limit=_PAGE
        ),
        "further on: capsules page": read(
            load_capsules,
            whole,
            document=None,
            after=Place(_MIDDLE, 1, KeyRole.CONTENT, None),
            limit=_PAGE,
            now=NOW,
        ),
        "further on: own deposits": read(
            load_own, whole, _author(world.engine, whole), after=(_MIDDLE, 1), limit=_PAGE
        ),
        "whole record: tombstones": read(load_tombstones, whole, after=None, until=None),
        "whole record: capsules page": read(load_capsules, whole, document=None, after=None, limit=_PAGE, now=NOW),
        "whole record: own deposits": read(load_own, whole, _author(world.engine, whole), after=None, limit=_PAGE),
        "whole record: events page": read(load_page, whole, after=-1),
        "status counts": read(count_all, NOW),
        "gc": collect,
        "gc of orphans": collect_orphans,
        "erasure": lambda: _ok(world.post(f"{story.path}/erasure", story.alice, _erasure(own))),
    }


def of_the_story(steps: Steps) -> Steps:
    """Those of `steps` that need no database that was filled."""
    return {name: step for name, step in steps.items() if not name.startswith(("whole record", "further on"))}


def keyservice_tour(story: KeyServiceStory) -> Steps:
    """The steps at the key service."""
    world, own, path = story.world, story.own, story.path

    def publish() -> None:
        epoch = own.next_epoch(story.private)
        accept(world.post_statements(own, update_of(epoch, sealed_keys=[own.sealed_key(story.private)])))

    def release(role: KeyRole) -> None:
        story.inner(story.release(story.bob, story.grant, [story.item(role)]))

    def read_page() -> None:
        with reader(world.engine) as connection:
            assert load_page(connection, RecordId(filled_in("identity", 0)), after=-1).events

    def read_schedule() -> None:
        with reader(world.engine) as connection:
            assert load_schedule(connection, Policy(0, 0, 0), now=NOW).oldest_lock_made_at is not None

    return {
        "what is due": read_schedule,
        "release of a content key": lambda: release(KeyRole.CONTENT),
        "release of a metadata key": lambda: release(KeyRole.METADATA),
        "release by the patient": lambda: story.inner(story.release(story.alice, None, [story.item(KeyRole.CONTENT)])),
        "release refused": lambda: _is(404, story.release(story.mallory, story.grant, [story.item(KeyRole.CONTENT)])),
        "access": lambda: accept(world.get(f"{path}/access", story.bob, grant=story.grant.hash)),
        "access of the patient": lambda: accept(world.get(f"{path}/access", story.alice)),
        "sealed keys": lambda: accept(
            world.get(f"{path}/sealed-keys", story.alice, statement=story.general.newest.hash)
        ),
        "grants of the record": lambda: accept(world.get(f"{path}/grants", story.alice)),
        "events page": lambda: accept(world.get(f"{path}/events", story.alice)),
        "whole record: events page": read_page,
        "lock": lambda: accept(world.get(f"{path}/lock", story.laura)),
        "next epoch with keys": publish,
        "closing": lambda: accept(world.post_statements(own, update_of(own.close_epoch(story.private, epoch=1)))),
        "recovery slot": lambda: accept(world.post_people(story.alice.recovery().text)),
        "recovery": lambda: accept(world.send_as_key("GET", "/v1/recovery", story.alice.root)),
        "revocation": lambda: accept(world.post_statements(own, update_of(own.revoke(story.grant)))),
        "removal of a device": lambda: accept(world.post_people(story.bob.remove(story.bob.device, since=0).text)),
        "erasure": lambda: accept(world.post(f"{path}/erasure", story.alice, _erasure(own))),
    }


def _erasure(own: OwnRecord) -> ErasureUpdate:
    return ErasureUpdate(statements=(own.erase().text,))


def _remove(story: VaultStory) -> Any:
    removal = story.bob.remove(story.bob.device, since=0)
    return story.world.post("/v1/people", None, PeopleUpdate(statements=(removal.text,)))


def _grant(number: int) -> StatementHash:
    return StatementHash(filled_in("grant", number))


def _author(engine: Engine, record: RecordId) -> IdentityHash:
    with reader(engine) as connection:
        author: IdentityHash | None = connection.execute(
            select(documents.c.author).where(documents.c.record == record).limit(1)
        ).scalar()
    return author or IdentityHash(record.raw)


def _ok(answer: Any) -> None:
    _is(200, answer)


def _is(status: int, answer: Any) -> None:
    assert answer.status_code == status, answer.text
