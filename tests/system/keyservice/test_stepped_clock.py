"""A server whose machine's clock is set forward and back: what had ended stays ended, what was spent stays spent."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from carnet_protocol.api import ReleaseKind, ReleaseRequest
from carnet_protocol.tuples import KeyRole
from carnet_server.clock import CLOCK_TOLERANCE_SECONDS
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.keyservice_process import KeyServiceProcess, RealClock

HOUR = 3600
_STEPPED = """
import os, time
_real, _link = time.time, os.environ["CARNET_TEST_CLOCK"]
time.time = lambda: _real() + int(os.readlink(_link))
"""
"""Runs before the program: its clock is the machine's, moved by the seconds that a link names."""


class SteppedClock(RealClock):
    """The clock of the server's machine, for who signs requests on a machine that is moved along."""

    def __init__(self, link: Path) -> None:
        super().__init__()
        self.link = link
        self.step(0)

    def step(self, seconds: int) -> None:
        """Set the clock of the server that much away from the real one, at once."""
        fresh = self.link.with_suffix(".fresh")
        fresh.symlink_to(str(seconds))
        fresh.replace(self.link)

    @override
    def __call__(self) -> int:
        self.now = int(time.time()) + int(str(self.link.readlink()))
        return self.now


@dataclass(frozen=True, slots=True)
class Stepped:
    """A story on a server whose clock can be set."""

    story: KeyServiceStory
    clock: SteppedClock


@pytest.fixture
def stepped(process: KeyServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepped]:
    """A key service that runs with a clock of the test's."""
    folder = tmp_path / "stepped"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_STEPPED)
    clock = SteppedClock(folder / "clock")
    monkeypatch.setenv("CARNET_TEST_CLOCK", str(clock.link))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    process.start()
    world = process.world()
    world.clock = clock
    yield Stepped(KeyServiceStory.begin(world), clock)
    assert process.stop() == 0


def test_a_grant_that_ended_does_not_come_alive_when_the_clock_is_set_back(stepped: Stepped) -> None:
    story, item = stepped.story, stepped.story.item(KeyRole.CONTENT)
    story.inner(story.release(story.bob, story.grant, [item]))
    stepped.clock.step(HOUR)
    assert code(story.release(story.bob, story.grant, [item])) == (404, "refused")
    # Something is committed in that hour: until the clock is there again, the server knows that it is wrong.
    accept(story.world.post_people(story.alice.enrol(at=story.world.clock()).statement.text))
    stepped.clock.step(0)
    status, what = code(story.release(story.bob, story.grant, [item]))
    assert (status, what) == (503, "clock_behind")
    stepped.clock.step(HOUR + CLOCK_TOLERANCE_SECONDS)
    assert code(story.release(story.bob, story.grant, [item])) == (404, "refused")


def test_a_captured_release_is_not_answered_again_when_the_clock_is_set_forward_and_back(stepped: Stepped) -> None:
    story, world = stepped.story, stepped.story.world
    body = ReleaseRequest(grant=story.grant.hash, kind=ReleaseKind.OPEN, items=(story.item(KeyRole.CONTENT),))
    content, path = body.model_dump_json().encode(), f"{story.path}/releases"
    signer = story.bob.device
    headers = world.sign("POST", path, content, signer=signer.signer, key_id=signer.key_id)
    headers |= {"content-type": "application/json"}

    def send() -> int:
        status: int = world.client.request("POST", path, content=content, headers=headers).status_code
        return status

    assert send() == 200
    assert send() == 401
    for seconds in (HOUR, 0, -HOUR, 0, 60, 0):
        stepped.clock.step(seconds)
        assert send() in {401, 503}
    # Nonces are forgotten while the clock is ahead; whoever makes the server commit then has moved its log's time.
    stepped.clock.step(HOUR)
    accept(world.post_people(story.alice.enrol(at=world.clock()).statement.text))
    stepped.clock.step(0)
    assert send() in {401, 503}
