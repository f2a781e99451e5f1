"""Attack 16: two key services on one database, hammered: one order of events, one epoch, one use of a nonce."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from carnet_keyservice.tables import nonces
from carnet_protocol.api import ErasureUpdate, ReleaseAnswer, ReleaseKind, ReleaseRequest
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import GrantId
from carnet_protocol.statements import Grant, Receipt, Revocation, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.tables import compartments, events, grants
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.records import OwnCompartment, update_of
from tests.support.replicas import at_once, running_replica, statuses


@dataclass(frozen=True, slots=True)
class Twins:
    """The same story at two programs of one key service."""

    process: KeyServiceProcess
    first: KeyServiceStory
    second: KeyServiceStory

    def rows(self, table: Any) -> list[Any]:
        """Every row of `table`."""
        with self.first.world.engine.connect() as connection:
            return list(connection.execute(table.select()))

    def log(self) -> list[dict[str, Any]]:
        """The bodies of all events, which are one row without a gap."""
        rows = sorted(self.rows(events), key=lambda row: row.position)
        assert [row.position for row in rows] == list(range(len(rows)))
        bodies = [parse_canonical_json(row.body) for row in rows]
        return [body for body in bodies if isinstance(body, dict)]


@pytest.fixture
def twins(process: KeyServiceProcess) -> Iterator[Twins]:
    """Two programs, told of the same people; whatever happened, `fsck` calls the database clean at the end."""
    process.start()
    story = KeyServiceStory.begin(process.world())
    with running_replica(process.command("serve"), process.root) as client:
        yield Twins(process, story, replace(story, world=replace(story.world, client=client)))
    assert process.stop() == 0
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})


def test_no_release_comes_after_the_revocation_whichever_replica_was_asked(twins: Twins) -> None:
    item = twins.first.item(KeyRole.CONTENT)
    earlier = twins.second.release(twins.second.bob, twins.second.grant, [item])

    def release(story: KeyServiceStory) -> Callable[[], list[Any]]:
        def work() -> list[Any]:
            return [story.release(story.bob, story.grant, [item]) for _ in range(12)]

        return work

    def revoke() -> list[Any]:
        for _ in range(2):
            twins.first.release(twins.first.laura, twins.first.grant, [item])  # not hers: it only takes time
        signed = twins.first.own.revoke(twins.first.grant, at=twins.first.world.clock())
        return [twins.second.world.post_statements(twins.first.own, update_of(signed))]

    *released, revocation = at_once(*(release(story) for story in (twins.first, twins.second) * 3), revoke)
    revoked = _index(accept(revocation[0])["receipts"][0])
    answers = [earlier, *(answer for some in released for answer in some)]
    assert set(statuses(answers)) <= {200, 404}
    done = sorted(
        _index(ReleaseAnswer.model_validate_json(answer.content).receipt)
        for answer in answers
        if answer.status_code == 200
    )
    assert done
    assert done[-1] < revoked
    log = twins.log()
    assert [index for index, body in enumerate(log) if body["kind"] == "release.open"] == done
    assert log[revoked]["kind"] == f"statement.{Revocation.KIND}"
    for story in (twins.first, twins.second):
        assert story.release(story.bob, story.grant, [item]).status_code == 404


def test_an_erasure_at_one_replica_stops_another_that_has_the_lock_open_in_memory(twins: Twins) -> None:
    item = twins.first.item(KeyRole.CONTENT)
    for story in (twins.first, twins.second):
        assert None not in story.inner(story.release(story.bob, story.grant, [item]))
    body = ErasureUpdate(statements=(twins.first.own.erase(at=twins.first.world.clock()).text,))

    def release() -> list[Any]:
        return [twins.second.release(twins.second.bob, twins.second.grant, [item]) for _ in range(12)]

    def erase() -> list[Any]:
        return [twins.first.world.post(f"{twins.first.path}/erasure", twins.first.alice, body)]

    *released, erased = at_once(release, release, erase)
    assert statuses(erased) == [200]
    assert set(statuses([answer for some in released for answer in some])) <= {200, 404}
    for story in (twins.first, twins.second):
        for by, grant in ((story.bob, story.grant), (story.alice, None)):
            assert story.release(by, grant, [item]).status_code == 404
    assert [row for row in twins.rows(events) if row.kind == "release.open"] == []


def test_each_epoch_is_made_once_whichever_replica_heard_of_it_first(twins: Twins) -> None:
    own, general = twins.first.own, twins.first.general
    now = twins.first.world.clock()
    for epoch in range(2, 8):
        rivals = [OwnCompartment(general.id, list(general.epochs), list(general.keys)) for _ in range(4)]
        updates = []
        for rival in rivals:
            signed = own.next_epoch(rival, at=now)
            updates.append(update_of(signed, sealed_keys=[own.sealed_key(rival)]))
        worlds = [twins.first.world, twins.second.world] * 2
        answers = at_once(
            *(
                lambda world=world, update=update: world.post_statements(own, update)
                for world, update in zip(worlds, updates, strict=True)
            )
        )
        assert statuses(answers) == [200, 409, 409, 409]
        winner = rivals[[answer.status_code for answer in answers].index(200)]
        general.epochs[:], general.keys[:] = winner.epochs, winner.keys
        assert len(general.epochs) == epoch
    made = [(row.compartment, row.epoch) for row in twins.rows(compartments)]
    assert len(made) == len(set(made))
    assert {row.hash for row in twins.rows(compartments) if row.compartment == general.id} == {
        signed.hash for signed in general.epochs
    }


def test_one_grant_has_an_id_whichever_replica_heard_of_it_first(twins: Twins) -> None:
    story, now = twins.first, twins.first.world.clock()
    grant_id = GrantId(secrets.token_bytes(16))
    rivals = [
        story.own.grant(
            story.bob,
            story.attestations["bob"],
            compartments=[story.general],
            grant_id=grant_id,
            not_before=now,
            expires=now + 60 + number,
            at=now,
        )
        for number in range(4)
    ]
    worlds = [twins.first.world, twins.second.world] * 2
    answers = at_once(
        *(
            lambda world=world, rival=rival: world.post_statements(story.own, update_of(rival))
            for world, rival in zip(worlds, rivals, strict=True)
        )
    )
    assert statuses(answers) == [200, 409, 409, 409]
    (kept,) = [row for row in twins.rows(grants) if row.id == grant_id]
    assert kept.hash == rivals[[answer.status_code for answer in answers].index(200)].hash
    assert [body["kind"] for body in twins.log()].count(f"statement.{Grant.KIND}") == 3  # two were in the story


def test_a_captured_release_is_answered_once_whichever_replicas_it_is_sent_to(twins: Twins) -> None:
    story = twins.first
    body = ReleaseRequest(grant=story.grant.hash, kind=ReleaseKind.OPEN, items=(story.item(KeyRole.CONTENT),))
    content, path = body.model_dump_json().encode(), f"{story.path}/releases"
    before = len(twins.rows(nonces))
    for _ in range(6):
        device = story.bob.device
        headers = story.world.sign("POST", path, content, signer=device.signer, key_id=device.key_id)
        headers |= {"content-type": "application/json"}
        clients = [twins.first.world.client, twins.second.world.client] * 2
        answers = at_once(
            *(
                lambda client=client, headers=headers: client.request("POST", path, content=content, headers=headers)
                for client in clients
            )
        )
        assert statuses(answers) == [200, 401, 401, 401]
    assert [entry["kind"] for entry in twins.log()].count("release.open") == 6
    spent = [(row.key_id, row.nonce) for row in twins.rows(nonces)]
    assert len(spent) == len(set(spent)) == before + 6


def test_what_one_process_was_told_the_other_obeys_at_once(twins: Twins) -> None:
    """Each decides from rows: no process has anything to hear from the other, or to forget."""
    one, other = twins.first, twins.second
    item = one.item(KeyRole.CONTENT)
    for story in (one, other):
        assert story.release(story.bob, story.grant, [item]).status_code == 200
        assert story.release(story.alice, None, [item]).status_code == 200
    now = one.world.clock()
    accept(one.world.post_statements(one.own, update_of(one.own.revoke(one.grant, at=now))))
    assert other.release(other.bob, other.grant, [item]).status_code == 404
    thief = one.laura.device
    assert other.world.get(f"{other.path}/lock", thief).status_code == 200
    accept(one.world.post_people(one.laura.remove(thief, since=0, at=now).text))
    assert other.world.get(f"{other.path}/lock", thief).status_code == 401


def test_a_lock_that_one_process_retired_is_not_released_from_the_memory_of_the_other(twins: Twins) -> None:
    one, other = twins.first, twins.second
    item = one.item(KeyRole.CONTENT)
    for story in (one, other):  # both have opened the key of the first lock, and keep it
        assert story.inner(story.release(story.bob, story.grant, [item]))[0] is not None
    accept(one.world.post(f"{one.path}/locks", one.alice))
    accept(one.world.post(f"{one.path}/locks/1/retirement", one.alice))
    for story in (other, one):
        for by, grant in ((story.bob, story.grant), (story.alice, None)):
            answer = story.release(by, grant, [item])
            assert answer.status_code != 200 or story.inner(answer) == (None,)


def test_a_read_is_answered_once_by_each_process_and_a_rate_is_counted_by_each(twins: Twins) -> None:
    """What is kept in memory is kept by each: it is no more than what a load balancer's second backend allows."""
    story, path = twins.first, f"{twins.first.path}/access"
    device = story.alice.device
    headers = story.world.sign("GET", path, b"", signer=device.signer, key_id=device.key_id)
    clients = (twins.first.world.client, twins.second.world.client)
    for client in clients:
        assert [client.get(path, headers=headers).status_code for _ in range(2)] == [200, 401]


def _index(receipt: str) -> int:
    return Signed.parse(receipt, Receipt).body.index
