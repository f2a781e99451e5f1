"""What anyone may ask for without a key costs little: signatures checked once, refusals before the one writer (P10).

`POST /v1/people` is open, because statements prove themselves. Mallory brings as many as fit into a request, over and
over, and hopes that the servers are busy with them when others come.
"""

import secrets
from collections.abc import Hashable, Iterator

import pytest

from carnet.identity import fetch_own
from carnet_protocol.ids import Ed25519PublicKey, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Identity, Removal, Role, Signed
from carnet_server import calls
from carnet_server.rates import TokenBuckets
from carnet_server.writer import Writer
from tests.support.anonymous import post_people
from tests.support.people import Dice, OwnPerson, make_person
from tests.support.story import Story

MANY = 590


class Work:
    """How often a signature was checked, a snapshot read, and the writer asked."""

    def __init__(self) -> None:
        self.signatures = 0
        self.snapshots = 0
        self.works = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """What both servers do from now on."""
    done = Work()
    verify, read, run = Signed.verify, calls.reader, Writer.run

    def count_signature(signed: Signed[Identity], key: Ed25519PublicKey) -> None:
        done.signatures += 1
        verify(signed, key)

    def count_snapshot(*arguments: object) -> object:
        done.snapshots += 1
        return read(*arguments)  # type: ignore[arg-type]  # passed on as they came

    def count_work(*arguments: object) -> object:
        done.works += 1
        return run(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Signed, "verify", count_signature)
    monkeypatch.setattr(calls, "reader", count_snapshot)
    monkeypatch.setattr(Writer, "run", count_work)
    return done


def _level_without_time(buckets: TokenBuckets, key: Hashable) -> tuple[float, float]:
    """No token comes back, however slow this machine is."""
    return buckets._buckets.get(key, (float(buckets._rate.burst), buckets._clock()))


def _crowd(size: int) -> list[str]:
    """Founding statements of `size` people, each rightly signed."""
    body = make_person(Dice("crowd"), Role.PATIENT).current.body
    roots = [Signer(secrets.token_bytes(32)) for _ in range(size)]
    return [Signed.sign(body.model_copy(update={"root_key": root.public_key}), root).text for root in roots]


def _with_devices(story: Story, name: str, count: int) -> OwnPerson:
    """A person of Mallory's with `count` devices, whom no server knows."""
    person = make_person(Dice(name), Role.PATIENT, at=story.world.clock())
    for _ in range(count - 1):
        person.enrol(at=story.world.clock())
    return person


def test_statements_of_many_people_are_refused_before_anything_is_checked_or_looked_up(
    own_story: Story, work: Work
) -> None:
    with own_story.unchanged():
        assert post_people(own_story.world.vault, _crowd(300)).status_code == 400
    assert (work.signatures, work.snapshots, work.works) == (0, 0, 0)


def test_statements_that_nobody_signed_cost_the_check_of_one_signature(own_story: Story, work: Work) -> None:
    story = own_story
    junk = _with_devices(story, "junk", 200)
    texts = [Signed.sign(device.statement.body, junk.device.signer).text for device in junk.devices]
    with story.unchanged():
        assert post_people(story.world.vault, [junk.current.text, *texts]).status_code == 400
        assert post_people(story.world.vault, texts).status_code == 400
    assert (work.signatures, work.works) == (3, 0)


def test_what_is_refused_at_its_very_end_never_reaches_the_writer(own_story: Story, work: Work) -> None:
    story = own_story
    person = _with_devices(story, "sybil", 100)
    unknown = Removal(identity=person.identity, device=StatementHash(bytes(32)), since=0, issued_at=story.world.clock())
    texts = [*person.statements(), Signed.sign(unknown, person.root).text]
    slot = person.recovery(at=story.world.clock())
    for wire, last in ((story.world.vault, texts), (story.world.keyservice, [*texts[:-1], slot.text, _other(person)])):
        with story.unchanged():
            assert post_people(wire, last).status_code in {400, 409}
    assert work.signatures == len(texts) + len(texts) + 1
    assert work.works == 0


def _other(person: OwnPerson) -> str:
    """A second recovery statement for the same identity statement."""
    return person.recovery().text


def test_the_same_costly_request_again_and_again_is_refused_and_shuts_nobody_else_out(
    own_story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, vault = own_story, own_story.world.vault
    monkeypatch.setattr(TokenBuckets, "_level", _level_without_time)
    crowd = _crowd(MANY)
    assert [post_people(vault, crowd).status_code for _ in range(4)] == [400, 429, 429, 429]
    fetch_own(story.alice)  # from the same address


def test_a_person_with_all_their_devices_comes_and_renews_within_the_limits(own_story: Story) -> None:
    story = own_story
    person = _with_devices(story, "many", 250)
    now = story.world.clock()
    recovery = person.recovery(at=now).text
    assert post_people(story.world.keyservice, [*person.statements(), recovery]).status_code == 200
    removals = [person.remove(device, since=now, at=now).text for device in person.devices[1:]]
    renewed = [person.renew(new_root=True, at=now).text, person.recovery(at=now).text]
    assert post_people(story.world.keyservice, [*removals, *renewed]).status_code == 200
