"""Kill the key service at each write of a release, a revocation, a new lock, an erasure; check everything, ask again.

The program that is to die runs under strace, which sends the signal as the call is entered. A kill is not a power cut:
unsynced bytes survive. What was answered is always in the log; what is in the log may not have been answered.
"""

import subprocess
import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest

from carnet_keyservice.fsck import check_all
from carnet_protocol.api import ErasureUpdate
from carnet_protocol.statements import Grant, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.people import Dice
from tests.support.programs import require_program
from tests.support.records import update_of

AT = [("pwrite64", 1), ("pwrite64", 5), ("fdatasync", 1)]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServiceProcess]:
    """One key service that dies many times."""
    with KeyServiceProcess.lay_out(tmp_path_factory.mktemp("kills"), Dice("kills")) as made:
        yield made


@pytest.fixture(scope="module")
def story(process: KeyServiceProcess) -> KeyServiceStory:
    process.start()
    return KeyServiceStory.begin(process.world())


@pytest.fixture(scope="module")
def spare_grants(process: KeyServiceProcess, story: KeyServiceStory) -> list[Signed[Grant]]:
    """Grants to revoke, one for each test that does."""
    now = story.world.clock()
    spare = [
        story.own.grant(
            story.bob,
            story.attestations["bob"],
            compartments=[story.general],
            not_before=now - 60,
            expires=now + 3600,
            at=now,
        )
        for _ in AT
    ]
    accept(story.world.post_statements(story.own, update_of(*spare)))
    process.stop()
    return spare


@pytest.fixture(autouse=True)
def _stopped(process: KeyServiceProcess, spare_grants: list[Signed[Grant]]) -> None:
    """Each test begins with a key service that does not run."""
    del spare_grants
    if process.program is not None:
        process.kill()


def start_doomed(process: KeyServiceProcess, call: str, when: int, *, file: str = "database.sqlite-wal") -> None:
    """Start the key service so that it dies as it enters the `when`-th `call` on the log ahead of its database.

    Or on another `file`. What it writes as it starts does not count: strace joins it once it is ready.
    """
    strace = require_program("strace", package="strace")
    process.start()
    assert process.program is not None
    on, inject = str(process.root / file), f"inject={call}:signal=KILL:when={when}"
    words = [strace, "-f", "-o", "/dev/null", "-P", on, "-e", f"trace={call}", "-e", inject]
    joined = subprocess.Popen([*words, "-p", str(process.program.pid)], stderr=subprocess.PIPE, text=True)
    assert joined.stderr is not None
    while "attached" not in (line := joined.stderr.readline()):
        assert line, "strace did not join the key service"
    threading.Thread(target=joined.communicate, daemon=True).start()


def dies(process: KeyServiceProcess, request: Callable[[], object]) -> None:
    """The request gets no answer, for the key service dies under it."""
    with pytest.raises(httpx2.TransportError):
        request()
    process.wait_for_death()


def check(story: KeyServiceStory) -> None:
    """Everything that fsck checks is well."""
    own = story.world.own
    deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
    with reader(story.world.engine) as connection:
        assert list(check_all(connection, deployment, story.world.master_keys)) == []


@pytest.mark.parametrize(("call", "when"), AT)
def test_killed_in_a_release_the_log_is_whole_and_the_next_one_comes_off(
    process: KeyServiceProcess, story: KeyServiceStory, call: str, when: int
) -> None:
    item = story.item(KeyRole.CONTENT)
    start_doomed(process, call, when)
    dies(process, lambda: story.release(story.bob, story.grant, [item]))
    check(story)
    process.start()
    assert None not in story.inner(story.release(story.bob, story.grant, [item]))
    check(story)


@pytest.mark.parametrize("number", range(len(AT)))
def test_killed_in_a_revocation_it_is_sent_again_and_stands(
    process: KeyServiceProcess,
    story: KeyServiceStory,
    spare_grants: list[Signed[Grant]],
    number: int,
) -> None:
    (call, when), grant = AT[number], spare_grants[number]
    revocation = update_of(story.own.revoke(grant, at=story.world.clock()))
    start_doomed(process, call, when)
    dies(process, lambda: story.world.post_statements(story.own, revocation))
    check(story)
    process.start()
    first = accept(story.world.post_statements(story.own, revocation))
    assert accept(story.world.post_statements(story.own, revocation)) == first
    assert code(story.release(story.bob, grant, [story.item(KeyRole.CONTENT)])) == (404, "refused")
    check(story)


def test_killed_while_a_lock_is_made_no_lock_is_lost(process: KeyServiceProcess, story: KeyServiceStory) -> None:
    start_doomed(process, "fdatasync", 1)
    dies(process, lambda: story.world.post(f"{story.path}/locks", story.alice))
    check(story)
    process.start()
    newest = accept(story.world.get(f"{story.path}/lock", story.alice))["lock"]
    made = accept(story.world.post(f"{story.path}/locks", story.alice))["lock"]
    assert newest != made
    assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    check(story)


IN_AN_ERASURE = [(*each, "database.sqlite-wal") for each in AT]
IN_AN_ERASURE += [
    ("pwrite64", 15, "database.sqlite-wal"),  # half of it is written
    ("pwrite64", 1, "database.sqlite"),  # it is committed, and what was deleted is about to be overwritten
]


@pytest.mark.parametrize(("call", "when", "file"), IN_AN_ERASURE)
def test_killed_in_an_erasure_it_is_sent_again_and_stands(
    process: KeyServiceProcess, call: str, when: int, file: str
) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world(), f"erasure {call} {when} {file}")
    assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    assert process.stop() == 0
    body = ErasureUpdate(statements=(story.own.erase(at=story.world.clock()).text,))
    start_doomed(process, call, when, file=file)
    dies(process, lambda: story.world.post(f"{story.path}/erasure", story.alice, body))
    check(story)
    process.start()
    first = accept(story.world.post(f"{story.path}/erasure", story.alice, body))
    assert accept(story.world.post(f"{story.path}/erasure", story.alice, body)) == first
    for by, grant in ((story.bob, story.grant), (story.alice, None)):
        assert code(story.release(by, grant, [story.item(KeyRole.CONTENT)])) == (404, "refused")
    check(story)
