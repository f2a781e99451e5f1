"""Release against everything that can end its right, in between and at the same time (P05; attack 16)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from carnet_keyservice.releases.release import find_candidates, log_release
from carnet_protocol.api import ErasureUpdate, ReleaseAnswer, ReleaseKind, ReleaseRequest
from carnet_protocol.encoding import parse_canonical_json
from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Receipt, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.database import make_engine, reader
from carnet_server.deployment import Deployment, Moment
from carnet_server.errors import RefusedError
from carnet_server.tables import events
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld, accept
from tests.support.nouns import principal_of
from tests.support.people import NOW, Dice
from tests.support.records import update_of
from tests.support.tables import unchanged

MANIFEST = StatementHash(bytes(32))


def revoke(story: KeyServiceStory) -> None:
    accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.grant))))


def remove_the_patients_device(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.alice.remove(story.alice.device, since=NOW).text))


def revoke_the_attestation(story: KeyServiceStory) -> None:
    accept(story.world.post_directory(story.world.own.registrar.publish_list(story.attestations["bob"])))


def renew_the_grantees_keys(story: KeyServiceStory) -> None:
    accept(story.world.post_people(story.bob.renew().text))


def hide_the_document(story: KeyServiceStory) -> None:
    filing = story.own.file(story.version.document, story.private)
    accept(story.world.post_statements(story.own, update_of(filing)))


def remove_the_document(story: KeyServiceStory) -> None:
    tombstone = story.own.entomb(story.version.document, MANIFEST)
    accept(story.world.post_statements(story.own, update_of(tombstone)))


def close_the_epoch(story: KeyServiceStory) -> None:
    epoch = story.own.next_epoch(story.general)
    closing = story.own.close_epoch(story.general, epoch=1)
    update = update_of(epoch, closing, sealed_keys=[story.own.sealed_key(story.general)])
    accept(story.world.post_statements(story.own, update))


def retire_the_lock(story: KeyServiceStory) -> None:
    accept(story.world.post(f"{story.path}/locks", story.alice))
    accept(story.world.post(f"{story.path}/locks/1/retirement", story.alice))


def erase_the_record(story: KeyServiceStory) -> None:
    body = ErasureUpdate(statements=(story.own.erase().text,))
    accept(story.world.post(f"{story.path}/erasure", story.alice, body))


def let_the_time_pass(story: KeyServiceStory) -> None:
    story.world.clock.now = story.grant.body.expires


@pytest.mark.parametrize(
    "end",
    [
        revoke,
        remove_the_patients_device,
        revoke_the_attestation,
        renew_the_grantees_keys,
        hide_the_document,
        remove_the_document,
        close_the_epoch,
        retire_the_lock,
        erase_the_record,
        let_the_time_pass,
    ],
)
def test_what_ends_between_the_look_and_the_transaction_is_not_released(
    story: KeyServiceStory, end: Callable[[KeyServiceStory], None]
) -> None:
    own = story.world.own
    deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
    request = ReleaseRequest(grant=story.grant.hash, kind=ReleaseKind.OPEN, items=(story.item(KeyRole.CONTENT),))
    bob, record = principal_of(story.bob), story.own.id
    with reader(story.world.engine) as connection:
        assert find_candidates(connection, bob, record, request, [0], pinned=deployment.pinned, now=NOW)
    end(story)
    with unchanged(story.world.engine), story.world.engine.begin() as connection, pytest.raises(RefusedError):
        log_release(Moment(connection, story.world.clock.now, deployment), bob, record, request, [0])


@dataclass(slots=True)
class History:
    """What happened to whom, as its clients saw it."""

    released: list[int] = field(default_factory=list)
    refused: int = 0
    other: list[Any] = field(default_factory=list)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: Any) -> None:
        """Keep the index of a release, or count a refusal."""
        with self.mutex:
            if answer.status_code == 200:
                receipt = ReleaseAnswer.model_validate_json(answer.content).receipt
                self.released.append(Signed.parse(receipt, Receipt).body.index)
            elif answer.status_code == 404:
                self.refused += 1
            else:
                self.other.append((answer.status_code, answer.content))


def hammer(stories: list[KeyServiceStory], *, releases: int) -> tuple[History, int]:
    """Release from many threads at every replica, revoke in the middle; the history, and the revocation's index."""
    history, revoked = History(), []
    go, half = threading.Event(), threading.Semaphore(0)

    def release(number: int) -> None:
        story = stories[number % len(stories)]
        item = story.item(KeyRole.CONTENT)
        go.wait()
        history.note(story.release(story.bob, story.grant, [item]))
        half.release()

    def end() -> None:
        story = stories[-1]
        update = update_of(story.own.revoke(story.grant))
        go.wait()
        for _ in range(releases // 4):
            half.acquire()
        receipts = accept(story.world.post_statements(story.own, update))["receipts"]
        revoked.append(Signed.parse(receipts[0], Receipt).body.index)

    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(end), *(pool.submit(release, number) for number in range(releases))]
        go.set()
        for future in futures:
            future.result(timeout=120)
    for story in stories:
        history.note(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    return history, revoked[0]


def check(engine: Engine, history: History, revoked: int) -> None:
    """No release has a higher index than the revocation, and the log has exactly the releases that were answered."""
    assert history.other == []
    assert history.refused > 0  # at the least the one after everything
    assert history.released
    assert max(history.released) < revoked
    with engine.connect() as connection:
        rows = connection.execute(events.select().order_by(events.c.position)).all()
    assert [row.position for row in rows] == list(range(len(rows)))
    logged = [row.position for row in rows if parse_canonical_json(row.body)["kind"] == "release.open"]
    assert sorted(history.released) == logged


def test_no_release_has_a_higher_index_than_the_revocation(story: KeyServiceStory) -> None:
    history, revoked = hammer([story], releases=40)
    check(story.world.engine, history, revoked)


def test_two_programs_on_one_database_keep_the_same_order(
    story: KeyServiceStory, engine: Engine, tmp_path: Path
) -> None:
    """The second program has looked at everything before: its keys, its connections and its snapshots are warm."""
    second_engine = make_engine(engine.url.render_as_string(hide_password=False))
    second = KeyServiceWorld.make(second_engine, tmp_path, Dice("deployment"), own=story.world.own)
    second.master_keys._keys = dict(story.world.master_keys._keys)
    with second.client:
        twin = replace(story, world=second)
        twin.inner(twin.release(twin.bob, twin.grant, [twin.item(KeyRole.CONTENT)]))
        history, revoked = hammer([twin, story], releases=40)
    history.released.append(_first_release(engine))
    check(engine, history, revoked)
    second_engine.dispose()


def _first_release(engine: Engine) -> int:
    with engine.connect() as connection:
        rows = connection.execute(
            events.select().where(events.c.kind == "release.open").order_by(events.c.position)
        ).all()
    return int(rows[0].position)
