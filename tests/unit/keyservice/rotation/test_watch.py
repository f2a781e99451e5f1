"""What a process does with its master keys by what the rows say, and when the rows cannot be right."""

from functools import partial

import pytest
from sqlalchemy import text

from carnet_keyservice.master_keys import MasterKeys
from carnet_keyservice.rotation.destruction import _keep_orders
from carnet_keyservice.rotation.job import Phase
from carnet_keyservice.rotation.watch import Watch
from carnet_keyservice.sealing import Secret
from carnet_protocol.ids import Fingerprint
from carnet_protocol.statements import Destruction, Signed
from carnet_server.officers.accept import enrol_officer
from tests.support.keyservice import KeyServiceStory
from tests.support.master_keys import KeptKeys
from tests.support.orders import enrol_and_order, officer, sign_order
from tests.support.rotation import QUICK, Bench
from tests.support.tables import unchanged

GRACE = QUICK.model_copy(update={"grace_seconds": 3600})


def ring_of(kept: KeptKeys) -> MasterKeys:
    """A ring that holds what `kept` has."""
    ring = MasterKeys([kept])
    for version, key in kept.keys.items():
        ring.hold(version, key)
    return ring


def entered(bench: Bench) -> Watch:
    """The watch of a program that has begun to run."""
    watch = Watch(bench.shop, "carnet-keyservice serve")
    watch._enter()
    watch.look()
    return watch


def problem(bench: Bench, version: int) -> str | None:
    """What a process says of a master key."""
    with bench.world.engine.connect() as connection:
        wanted = text("SELECT problem FROM process_keys WHERE master_key_version = :version")
        return connection.execute(wanted, {"version": version}).scalar_one()


@pytest.mark.parametrize("is_in_use", [True, False])
def test_a_row_that_says_destroyed_destroys_no_key_that_nobody_ordered_to(
    story: KeyServiceStory, *, is_in_use: bool
) -> None:
    """Whoever may write rows has no way to the providers by them: backups would be lost with the key."""
    kept = KeptKeys({1: story.world.master_keys._keys[1]})
    ring = ring_of(kept)
    with Bench.at(story.world, ring) as bench:
        if not is_in_use:
            bench.begin()
            bench.run()
        with bench.world.engine.begin() as connection:
            connection.execute(text("UPDATE master_keys SET state = 'destroyed' WHERE version = 1"))
        watch = entered(bench)
        assert set(kept.keys) == ring.versions()
        assert 1 in kept.keys
        said = problem(bench, 1)
        assert said is not None
        assert ("locks are under it" if is_in_use else "nobody ordered it") in said
        with unchanged(bench.world.engine):
            watch.look()


def keep_orders(bench: Bench, *orders: Signed[Destruction]) -> None:
    """Orders in the log, as a destruction keeps them."""
    bench.shop.decide(lambda moment: _keep_orders(moment, orders, {"version": 1}))


def given(bench: Bench, case: str) -> list[Signed[Destruction]]:
    """What stands in the log of a case in which it is not enough, or is."""
    decide, own, now = bench.shop.decide, bench.shop.deployment.fingerprint, bench.shop.clock()
    both = enrol_and_order(decide, own, now=now, version=1)
    match case:
        case "one order":
            return both[:1]
        case "of one root":
            decide(partial(enrol_officer, public_key=officer("child").public_key, by=both[0].body.officer))
            return [both[0], sign_order("child", own, now=now, version=1)]
        case "for another version":
            return [both[0], sign_order("second", own, now=now, version=2)]
        case "for another key service":
            return [both[0], sign_order("second", Fingerprint(bytes(Fingerprint.SIZE)), now=now, version=1)]
        case "by somebody else's key":
            return [both[0], Signed.sign(both[1].body, officer("thief"))]
        case _:
            return both


@pytest.mark.parametrize(
    "case",
    ["one order", "of one root", "for another version", "for another key service", "by somebody else's key", "good"],
)
def test_a_provider_destroys_for_two_orders_that_verify_and_for_nothing_less(story: KeyServiceStory, case: str) -> None:
    kept = KeptKeys({1: story.world.master_keys._keys[1]})
    with Bench.at(story.world, ring_of(kept)) as bench:
        bench.begin()
        bench.run()
        keep_orders(bench, *given(bench, case))
        with bench.world.engine.begin() as connection:
            connection.execute(text("UPDATE master_keys SET state = 'destroyed' WHERE version = 1"))
        entered(bench)
        assert (1 in kept.keys) == (case != "good")
        assert (problem(bench, 1) is None) == (case == "good")


def test_a_program_whose_provider_is_slow_is_waited_for(story: KeyServiceStory) -> None:
    """It says before that it has not got the key, and is waited for longer than one that says nothing."""
    key = story.world.master_keys._keys[1]
    quick, slow = KeptKeys({1: key}), KeptKeys({1: key})
    phases: set[Phase] = set()
    with Bench.at(story.world, ring_of(quick)) as bench, Bench.at(story.world, ring_of(slow)) as other:
        others, mine = entered(other), entered(bench)
        name = bench.begin(GRACE)
        bench.tick()
        load = slow.load

        def load_slowly(version: int, token: bytes) -> Secret:
            slow.keys.update(quick.keys)
            for _ in range(20):  # a minute
                bench.world.clock.now += 3
                mine.look()
                bench.tick()
                phases.add(bench.job(name).phase)
            return load(version, token)

        slow.load = load_slowly  # type: ignore[method-assign]  the first answer comes late
        others.look()
        assert phases == {Phase.PREPARE}
        bench.run()
        assert bench.job(name).phase is Phase.GRACE
