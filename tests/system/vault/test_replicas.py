"""Attack 16: two vaults on one database and one store, hammered: one order of events, one epoch, one use of a nonce."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from carnet_protocol.api import Accepted, Deposits
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.statements import Manifest, Receipt, Revocation, Signed
from carnet_server.tables import compartments, events
from carnet_vault.tables import versions
from tests.support.people import Dice
from tests.support.records import OwnCompartment
from tests.support.replicas import at_once, running_replica, statuses
from tests.support.vault import VaultStory
from tests.support.vault_process import VaultProcess


@dataclass(frozen=True, slots=True)
class Twins:
    """The same story at two programs of one vault."""

    first: VaultStory
    second: VaultStory

    def rows(self, table: Any) -> list[Any]:
        """Every row of `table`."""
        with self.first.world.engine.connect() as connection:
            return list(connection.execute(table.select()))

    def kinds(self) -> list[object]:
        """The kind of each event; events are one row without a gap."""
        rows = sorted(self.rows(events), key=lambda row: row.position)
        assert [row.position for row in rows] == list(range(len(rows)))
        bodies = [parse_canonical_json(row.body) for row in rows]
        return [body["kind"] for body in bodies if isinstance(body, dict)]


@pytest.fixture
def twins(process: VaultProcess) -> Iterator[Twins]:
    """Two programs, told of the same people; whatever happened, `fsck` calls the database clean at the end."""
    process.start()
    story = VaultStory.begin(process.world())
    command = [sys.executable, "-m", "carnet_vault", "serve", "--settings", str(process.root / "settings.toml")]
    with running_replica(command, process.root) as client:
        second = replace(story, world=replace(story.world, client=client, dice=Dice("replica")))
        yield Twins(story, second)
    assert process.stop() == 0
    assert process.run("fsck").returncode == 0


def test_no_deposit_comes_after_the_revocation_whichever_replica_was_asked(twins: Twins) -> None:
    stories = (twins.first, twins.second) * 2
    parcels = [[story.parcel() for _ in range(6)] for story in stories]
    uploads = [story.upload(*some) for story, some in zip(stories, parcels, strict=True)]
    early = twins.second.parcel()
    earlier = twins.first.bring(early)

    def deposit(number: int) -> Callable[[], list[httpx2.Response]]:
        pairs = list(zip(parcels[number], uploads[number], strict=True))
        return lambda: [stories[number].commit(pair) for pair in pairs]

    def revoke() -> list[httpx2.Response]:
        twins.second.list(twins.second.bob, twins.second.read_grant)
        revocation = twins.first.own.revoke(twins.first.deposit_grant, at=twins.first.world.clock())
        return [twins.second.update(revocation)]

    *deposited, revocation = at_once(*(deposit(number) for number in range(4)), revoke)
    answers = [earlier, *(answer for some in deposited for answer in some)]
    assert set(statuses(answers)) <= {200, 404}
    (revoked,) = _indexes(revocation[0])
    done = sorted(index for answer in answers if answer.status_code == 200 for index in _indexes(answer))
    assert done
    assert done[-1] < revoked
    kinds = twins.kinds()
    assert [index for index, kind in enumerate(kinds) if kind == f"statement.{Manifest.KIND}"] == done
    assert kinds[revoked] == f"statement.{Revocation.KIND}"
    assert len(twins.rows(versions)) == len(done)
    for story in (twins.first, twins.second):
        assert story.commit((story.parcel(), uploads[0][-1])).status_code == 404


def test_each_epoch_is_mirrored_once_whichever_replica_heard_of_it_first(twins: Twins) -> None:
    own, general = twins.first.own, twins.first.general
    now = twins.first.world.clock()
    for _ in range(6):
        rivals = [OwnCompartment(general.id, list(general.epochs), list(general.keys)) for _ in range(4)]
        signed = [own.next_epoch(rival, at=now) for rival in rivals]
        stories = (twins.first, twins.second) * 2
        answers = at_once(
            *(
                lambda story=story, epoch=epoch: story.update(epoch)
                for story, epoch in zip(stories, signed, strict=True)
            )
        )
        assert statuses(answers) == [200, 409, 409, 409]
        winner = rivals[[answer.status_code for answer in answers].index(200)]
        general.epochs[:], general.keys[:] = winner.epochs, winner.keys
    made = [(row.compartment, row.epoch) for row in twins.rows(compartments)]
    assert len(made) == len(set(made))
    assert {row.hash for row in twins.rows(compartments) if row.compartment == general.id} == {
        epoch.hash for epoch in general.epochs
    }


def test_a_captured_deposit_is_answered_once_whichever_replicas_it_is_sent_to(twins: Twins) -> None:
    story = twins.first
    for _ in range(4):
        parcel = story.parcel()
        (upload,) = story.upload(parcel)
        content = Deposits(deposits=(parcel.deposit(upload),)).model_dump_json().encode()
        path = f"{story.path}/documents"
        headers = {"content-type": "application/json"} | story.laura.device.sign_request(
            method="POST",
            target=story.world.own.vault.origin + path,
            body=content,
            server=story.world.own.vault.fingerprint,
            now=story.world.clock(),
        )
        clients = [twins.first.world.client, twins.second.world.client] * 2
        answers = at_once(
            *(
                lambda client=client, path=path, content=content, headers=headers: client.request(
                    "POST", path, content=content, headers=headers
                )
                for client in clients
            )
        )
        assert statuses(answers) == [200, 401, 401, 401]
    assert twins.kinds().count(f"statement.{Manifest.KIND}") == 4
    assert len(twins.rows(versions)) == 4


def test_what_one_process_was_told_the_other_obeys_at_once(twins: Twins) -> None:
    """Each decides from rows: no process has anything to hear from the other, or to forget."""
    one, other = twins.first, twins.second
    parcel = one.parcel()
    assert one.bring(parcel).status_code == 200
    for story in (one, other):
        assert story.open(story.bob, parcel, story.read_grant).status_code == 200
    later = other.parcel()
    (upload,) = other.upload(later)
    assert one.update(one.own.revoke(one.read_grant, at=one.world.clock())).status_code == 200
    assert other.open(other.bob, parcel, other.read_grant).status_code == 404
    assert other.list(other.bob, other.read_grant).status_code == 404
    assert one.update(one.own.entomb(parcel.document, parcel.manifest.hash, at=one.world.clock())).status_code == 200
    assert other.open(other.alice, parcel).status_code == 404
    # What one process began to take in, the other takes over.
    assert one.commit((later, upload)).status_code == 200
    assert other.open(other.alice, later).status_code == 200


def test_a_url_that_one_process_gave_out_is_served_by_the_other(twins: Twins) -> None:
    one, other = twins.first, twins.second
    parcel = one.parcel()
    assert one.bring(parcel).status_code == 200
    url = one.open(one.bob, parcel, one.read_grant).json()["url"]
    assert other.world.get_bytes(url).content == parcel.sealed.ciphertext


def _indexes(answer: httpx2.Response) -> list[int]:
    receipts = Accepted.model_validate_json(answer.content).receipts
    return [Signed.parse(receipt, Receipt).body.index for receipt in receipts]
