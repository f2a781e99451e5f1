"""Retired record locks are destroyed when two officers order it, past the horizon, where nothing needs them."""

import io
import threading

import pytest
from sqlalchemy import select

from carnet.revocation import begin_renewal, complete
from carnet.transport import ServerName
from carnet_keyservice.errors import MasterKeyError, RotationError
from carnet_keyservice.fsck import check_all
from carnet_keyservice.lock_rotation import LeftReason
from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.rotation.conductor import conduct
from carnet_keyservice.rotation.destruction import begin_lock_destruction
from carnet_keyservice.rotation.job import Job, JobParameters, JobState
from carnet_keyservice.rotation.queries import count_skips, find_job
from carnet_keyservice.rotation.walk import walk
from carnet_keyservice.rotation.workshop import Workshop
from carnet_keyservice.sealing import Secret
from carnet_keyservice.tables import lock_seals, record_locks
from carnet_protocol.ids import JobId
from carnet_protocol.statements import Destruction, Signed
from carnet_server.logs import make_log
from carnet_server.officers.accept import enrol_officer, expel_officer
from carnet_vault.tables import capsules
from tests.support.orders import enrol_and_order
from tests.support.people import DAY, Dice
from tests.support.tables import unchanged
from tests.unit.lock_rotation.conftest import Story

HORIZON = 90 * DAY


@pytest.fixture
def shop(story: Story) -> Workshop:
    """A workshop of the key service, with a way to the vault."""
    store = story.rotation.rotator.locks
    return Workshop(
        engine=store.engine,
        writer=store.writer,
        deployment=store.deployment,
        server_key=store.server_key,
        ring=store.keys._ring,
        log=make_log(io.StringIO(), "debug"),
        clock=store.clock,
        rotator=story.rotation.rotator,
    )


def orders(shop: Workshop, *, until: int, by: tuple[str, ...] = ("first", "second")) -> list[Signed[Destruction]]:
    """Orders of officers, who are enrolled here."""
    return enrol_and_order(shop.decide, shop.deployment.fingerprint, now=shop.clock(), by=by, retired_before=until)


def enrol(shop: Workshop, name: str, *, by: str | None) -> None:
    """Put an officer in force, through another one or at the machine."""
    who = None if by is None else Dice(by).signer().public_key.fingerprint()
    shop.decide(lambda moment: enrol_officer(moment, Dice(name).signer().public_key, by=who))


@pytest.mark.parametrize(
    ("enrolled", "two"),
    [
        pytest.param({"b": "a"}, ("a", "b"), id="one enrolled the other"),
        pytest.param({"b": "a", "c": "b"}, ("a", "c"), id="through a third"),
        pytest.param({"b": "a", "c": "a"}, ("b", "c"), id="both by a third"),
    ],
)
def test_an_officer_and_whom_it_enrolled_count_as_one(
    story: Story, shop: Workshop, enrolled: dict[str, str], two: tuple[str, ...]
) -> None:
    """Else one officer would be two: by enrolling another key of their own."""
    retire_first(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    enrol(shop, "a", by=None)
    for name, by in enrolled.items():
        enrol(shop, name, by=by)
    given = orders(shop, until=until, by=two)
    with unchanged(shop.engine), pytest.raises(RotationError, match="they count as one"):
        begin(shop, given, until=until)


def test_an_officer_whose_enrolment_leads_nowhere_orders_nothing(story: Story, shop: Workshop) -> None:
    """Rows that somebody wrote by hand: two officers of whom each enrolled the other."""
    retire_first(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    enrol(shop, "a", by="b")
    enrol(shop, "b", by="a")
    enrol(shop, "c", by=None)
    given = orders(shop, until=until, by=("a", "c"))
    with unchanged(shop.engine), pytest.raises(RotationError, match="nobody knows who enrolled"):
        begin(shop, given, until=until)


def test_officers_whom_two_of_the_machine_enrolled_are_two(story: Story, shop: Workshop) -> None:
    retire_first(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    for name, by in (("a", None), ("b", None), ("of a", "a"), ("of b", "b")):
        enrol(shop, name, by=by)
    run(shop, begin(shop, orders(shop, until=until, by=("of a", "of b")), until=until))
    assert sealed_versions(story) == [2]


def begin(shop: Workshop, given: list[Signed[Destruction]], *, until: int, horizon: int = 0) -> JobId:
    """Begin a destruction."""
    name, parameters = JobId.make(), JobParameters(rate=100_000, workers=1, grace_seconds=0, retired_before=until)
    shop.decide(lambda moment: begin_lock_destruction(moment, name, given, parameters, horizon_seconds=horizon))
    return name


def run(shop: Workshop, name: JobId) -> Job:
    """Conduct and walk to the end."""
    never = threading.Event()
    while tasks := conduct(shop):
        for task in tasks:
            walk(shop, task, should_stop=never.is_set, pause=lambda _: None)
    found = shop.read(lambda connection: find_job(connection, name))
    assert found is not None
    return found


def sealed_versions(story: Story) -> list[int]:
    """Lock versions of the record that have a seal."""
    with story.world.engines[ServerName.KEYSERVICE].connect() as connection:
        rows = connection.execute(select(lock_seals.c.version).where(lock_seals.c.record == story.record))
        return sorted(rows.scalars())


def destroyed_versions(story: Story) -> list[int]:
    """Lock versions of the record that are destroyed."""
    with story.world.engines[ServerName.KEYSERVICE].connect() as connection:
        rows = connection.execute(
            select(record_locks.c.version).where(
                record_locks.c.record == story.record, record_locks.c.destroyed.is_not(None)
            )
        )
        return sorted(rows.scalars())


def retire_first(story: Story) -> None:
    """Rotate the lock of the record, and retire the older one."""
    order = story.rotation.order()
    rotated = story.rotation.rotate([story.record], order)
    assert story.rotation.rotator.retire(rotated, order, grace_seconds=0) == []
    assert story.rotation.versions(story.record) == {1: True, 2: False}


def test_what_was_retired_before_is_destroyed_and_everything_opens(story: Story, shop: Workshop) -> None:
    retire_first(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    done = run(shop, begin(shop, orders(shop, until=until), until=until))
    assert (done.state, done.problem) == (JobState.FINISHED, None)
    assert (sealed_versions(story), destroyed_versions(story)) == ([2], [1])
    story.require_all_open()
    with story.world.engines[ServerName.KEYSERVICE].connect() as connection:
        assert list(check_all(connection, shop.deployment, shop.ring)) == []
    (event,) = story.rotation.events(ServerName.KEYSERVICE, "lock.destroyed")
    assert event["detail"]["versions"] == "1"


def test_a_patients_completed_revocation_is_final_then(story: Story, shop: Workshop) -> None:
    """Promise P06: what an earlier copy of the vault holds is under locks that are no more."""
    begin_renewal(story.alice, [story.general])
    complete(story.alice)
    until = shop.clock() + 1
    story.world.clock.now += 1
    run(shop, begin(shop, orders(shop, until=until), until=until))
    assert sealed_versions(story) == [2]
    story.require_all_open()


def test_a_lock_that_is_not_retired_or_was_later_stays(story: Story, shop: Workshop) -> None:
    story.rotation.rotate([story.record])
    until = shop.clock() + 1
    story.world.clock.now += 10
    run(shop, begin(shop, orders(shop, until=until), until=until))
    assert sealed_versions(story) == [1, 2]
    retire_later = story.rotation.rotate([story.record])
    story.rotation.rotator.retire(retire_later, story.rotation.order(), grace_seconds=0)
    run(shop, begin(shop, orders(shop, until=until), until=until))
    assert (sealed_versions(story), destroyed_versions(story)) == ([1, 2, 3], [])
    story.require_all_open()


@pytest.mark.parametrize(
    ("by", "asked", "horizon", "said"),
    [
        (("first",), 0, 0, "1 of 2"),
        (("first", "first"), 0, 0, "1 of 2"),
        ((), 0, 0, "0 of 2"),
        (("first", "second"), 1, 0, "an order is for another"),
        (("first", "second"), 0, HORIZON, "90 days"),
    ],
)
def test_without_two_orders_for_this_and_the_horizon_nothing_begins(  # noqa: PLR0917  a table
    story: Story, shop: Workshop, by: tuple[str, ...], asked: int, horizon: int, said: str
) -> None:
    retire_first(story)
    until = shop.clock()
    given = orders(shop, until=until, by=by)
    with unchanged(shop.engine), pytest.raises(RotationError, match=said):
        begin(shop, given, until=until + asked, horizon=horizon)
    assert sealed_versions(story) == [1, 2]


def test_a_retired_officer_orders_nothing(story: Story, shop: Workshop) -> None:
    retire_first(story)
    until = shop.clock()
    given = orders(shop, until=until)
    shop.decide(lambda moment: expel_officer(moment, given[0].body.officer, by=None))
    with unchanged(shop.engine), pytest.raises(RotationError, match="nobody who is an officer"):
        begin(shop, given, until=until)


def test_an_order_that_was_changed_is_none(story: Story, shop: Workshop) -> None:
    retire_first(story)
    until = shop.clock()
    first, second = orders(shop, until=until)
    forged = Signed.sign(second.body, Dice("mallory").signer())
    with unchanged(shop.engine), pytest.raises(RotationError, match="not signed by its officer"):
        begin(shop, [first, forged], until=until)


def test_a_vault_that_is_away_destroys_nothing(story: Story, shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    retire_first(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    name = begin(shop, orders(shop, until=until), until=until)

    def away(*_: object, **__: object) -> object:
        raise RotationError("the vault is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(story.rotation.rotator), "rotate", away)
        done = run(shop, name)
    assert (done.state, done.problem) == (JobState.PAUSED, "the vault is away")
    assert sealed_versions(story) == [1, 2]


def test_what_stands_under_a_retired_lock_again_is_put_under_the_newest_before(story: Story, shop: Workshop) -> None:
    """As after a restore of the vault: what its backup brought back is rescued, not lost."""
    bring_back(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    run(shop, begin(shop, orders(shop, until=until), until=until))
    assert sealed_versions(story) == [2]
    story.require_all_open()


def bring_back(story: Story) -> None:
    """Retire the first lock, and have the vault hold what it held before: all of it is under that lock again."""
    engine = story.world.engines[ServerName.VAULT]
    with engine.connect() as connection:
        rows = [row._asdict() for row in connection.execute(select(capsules))]
    retire_first(story)
    with engine.begin() as connection:
        for row in rows:
            place = [capsules.c[name] == row[name] for name in ("record", "document", "version", "role")]
            connection.execute(capsules.update().where(*place).values(**row))


def hide_first(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first lock not open: the one master key that it is sealed under is away."""
    store, opened = story.rotation.rotator.locks, MasterKeys.open
    store.keys.forget(story.record)
    with store.engine.connect() as connection:
        first = connection.execute(select(lock_seals.c.sealed_seed).where(lock_seals.c.version == 1)).scalar_one()

    def refuse(ring: MasterKeys, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        if sealed == first:
            raise MasterKeyError("the provider is away")
        return opened(ring, sealed, aad=aad, version=version)

    monkeypatch.setattr(MasterKeys, "open", refuse)


def test_a_lock_that_does_not_open_now_is_not_destroyed_while_a_capsule_is_under_it(
    story: Story, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_back(story)
    until = shop.clock() + 1
    story.world.clock.now += 1
    name = begin(shop, orders(shop, until=until), until=until)
    with monkeypatch.context() as patch:
        hide_first(story, patch)
        assert run(shop, name).state is JobState.FINISHED
    assert (sealed_versions(story), destroyed_versions(story)) == ([1, 2], [])
    skipped = shop.read(lambda connection: count_skips(connection, name))
    assert skipped == {LeftReason.LOCK_CLOSED.value: 1}
    run(shop, begin(shop, orders(shop, until=until), until=until))
    assert (sealed_versions(story), destroyed_versions(story)) == ([2], [1])
    story.require_all_open()


def test_a_lock_that_does_not_open_now_is_not_retired_while_a_capsule_is_under_it(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = story.rotation.order()
    with monkeypatch.context() as patch:
        hide_first(story, patch)
        rotated = story.rotation.rotate([story.record], order)
        story.rotation.rotator.retire(rotated, order, grace_seconds=0)
    assert story.rotation.versions(story.record) == {1: False, 2: False}
    story.require_all_open()
