"""fsck of the key service: clean after a full story, and each kind of damage to locks and sealed keys is found."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, delete, select, update

from carnet_keyservice.fsck import check_all
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.sealing import Secret
from carnet_keyservice.tables import (
    OWN_COPY,
    lock_seals,
    lock_statements,
    master_keys,
    metadata,
    record_locks,
    recoveries,
    sealed_keys,
)
from carnet_protocol.ids import Fingerprint, RecordId, StatementHash
from carnet_protocol.tuples import KeyRole
from carnet_server.deployment import Deployment
from carnet_server.migrations import find_differences
from carnet_server.tables import grants
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.master_keys import make_ring
from tests.support.people import Dice
from tests.support.records import update_of


@pytest.fixture
def full(story: KeyServiceStory) -> KeyServiceStory:
    """A story with releases, two epochs, two locks, a retirement, staged keys, a recovery and a removal."""
    world, own = story.world, story.own
    accept(world.post_people(story.alice.recovery().text))
    story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    epoch = own.next_epoch(story.general)
    keys = [own.sealed_key(story.general), own.sealed_key(story.general, grant=story.grant, reader=story.bob)]
    closing = own.close_epoch(story.general, epoch=1)
    accept(world.post_statements(own, update_of(epoch, closing, sealed_keys=keys)))
    accept(world.post(f"{story.path}/locks", story.alice))
    accept(world.post(f"{story.path}/locks/1/retirement", story.alice))
    accept(world.post_statements(own, update_of(own.revoke(story.grant))))
    second = own.grant(story.mallory, story.attestations["mallory"], compartments=[story.private])
    key = own.sealed_key(story.private, grant=second, reader=story.mallory)
    accept(world.post_statements(own, update_of(second, sealed_keys=[key])))
    accept(world.post_people(story.alice.renew().text))
    own.next_epoch(story.private)
    accept(world.post_statements(own, update_of(sealed_keys=[own.sealed_key(story.private)])))
    accept(world.post_people(story.bob.remove(story.bob.device, since=0).text))
    return story


def findings(story: KeyServiceStory, *, master: MasterKeys | None = None) -> set[str]:
    """What the checks find."""
    own = story.world.own
    deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
    with story.world.engine.connect() as connection:
        return {finding.check for finding in check_all(connection, deployment, master or story.world.master_keys)}


def test_a_full_story_is_clean(full: KeyServiceStory) -> None:
    assert findings(full) == set()


def test_the_tables_are_those_that_the_revisions_made(story: KeyServiceStory) -> None:
    with story.world.engine.connect() as connection:
        assert find_differences(connection, metadata) == []


DAMAGE: dict[str, tuple[str, Callable[[Connection], object]]] = {
    "a seed is overwritten": (
        "lock_does_not_open",
        lambda c: c.execute(update(lock_seals).values(sealed_seed=bytes(72))),
    ),
    "every lock has the seed of one": (
        "lock_does_not_open",
        lambda c: c.execute(
            update(lock_seals).values(sealed_seed=c.execute(select(lock_seals.c.sealed_seed).limit(1)).scalar_one())
        ),
    ),
    "a lock has lost its seals": ("lock_without_seal", lambda c: c.execute(delete(lock_seals))),
    "a destroyed lock kept a seal": (
        "seal_of_destroyed_lock",
        lambda c: c.execute(update(record_locks).values(destroyed=0)),
    ),
    "a destruction is of another event": (
        "destruction_not_logged",
        lambda c: c.execute(update(record_locks).values(destroyed=0)),
    ),
    "no master key is active": (
        "master_key_not_active",
        lambda c: c.execute(update(master_keys).values(state="suspended")),
    ),
    "nothing new is sealed under the active master key": (
        "master_key_not_active",
        lambda c: c.execute(update(master_keys).values(is_sealing=0)),
    ),
    "a public half is replaced": (
        "lock_of_another_statement",
        lambda c: c.execute(update(record_locks).values(lock_key=bytes(1216))),
    ),
    "a lock says it was made by another event": (
        "lock_not_logged",
        lambda c: c.execute(update(record_locks).values(made=0)),
    ),
    "a lock says it was retired by another event": (
        "retirement_not_logged",
        lambda c: c.execute(update(record_locks).values(retired=0)),
    ),
    "a lock statement is good for longer": (
        "row_of_another_statement",
        lambda c: c.execute(update(lock_statements).values(expires=2**40)),
    ),
    "a lock statement is taken away": ("row_missing", lambda c: c.execute(delete(lock_statements))),
    "a recovery is taken away": ("row_missing", lambda c: c.execute(delete(recoveries))),
    "a recovery stands under another root key": (
        "recovery_of_another_key",
        lambda c: c.execute(update(recoveries).values(root_fingerprint=Fingerprint(bytes(32)))),
    ),
    "a recovery says it was accepted by another event": (
        "recovery_of_another_key",
        lambda c: c.execute(update(recoveries).values(event=0)),
    ),
    "a check value is changed": (
        "master_key_wrong",
        lambda c: c.execute(update(master_keys).values(check_value=bytes(72))),
    ),
    "a sealed key is cut": (
        "sealed_key_malformed",
        lambda c: c.execute(update(sealed_keys).values(sealed=b"CRNT")),
    ),
    "a sealed key names no grant": (
        "sealed_key_without_grant",
        lambda c: c.execute(update(sealed_keys).where(sealed_keys.c.grant != OWN_COPY).values(grant=bytes(32))),
    ),
    "a copy outlives its grant": (
        "sealed_key_of_ended_grant",
        lambda c: c.execute(
            update(sealed_keys)
            .where(sealed_keys.c.grant != OWN_COPY)
            .values(grant=c.execute(select(grants.c.hash).where(grants.c.ended.is_not(None))).scalar_one().raw)
        ),
    ),
    "own copies are taken away": (
        "epoch_without_own_copy",
        lambda c: c.execute(delete(sealed_keys).where(sealed_keys.c.grant == OWN_COPY)),
    ),
}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(full: KeyServiceStory, name: str) -> None:
    check, damage = DAMAGE[name]
    with full.world.engine.begin() as connection:
        damage(connection)
    assert check in findings(full)


def test_a_sealed_key_of_another_record_is_found(full: KeyServiceStory) -> None:
    other = KeyServiceStory.begin(full.world, "another record")
    with full.world.engine.begin() as connection:
        connection.execute(
            update(sealed_keys).where(sealed_keys.c.record == full.own.id).values(record=RecordId(other.own.id.raw))
        )
    assert "sealed_key_of_another_record" in findings(full)


def test_the_wrong_master_key_is_found(full: KeyServiceStory) -> None:
    wrong = make_ring(Secret(Dice("wrong")(32)))
    assert {"master_key_wrong", "lock_does_not_open"} <= findings(full, master=wrong)
    missing = make_ring(Secret(Dice("wrong")(32)), first=2)
    assert {"master_key_missing", "lock_does_not_open"} <= findings(full, master=missing)


def test_a_staged_key_is_no_fault(full: KeyServiceStory) -> None:
    staged = StatementHash(full.private.newest.hash.raw)
    with full.world.engine.connect() as connection:
        rows = connection.execute(sealed_keys.select().where(sealed_keys.c.compartment_statement == staged)).all()
    assert len(rows) == 1
    assert findings(full) == set()
