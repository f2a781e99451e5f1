"""An operator rotates, aborts, resumes, retires and destroys master keys, while releases go on (promise P10).

The commands are those of the runbook; the programs are real, on SQLite alone and on PostgreSQL with two workers.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from carnet_keyservice.master_keys import FileProvider
from carnet_keyservice.rotation.job import JobKind
from carnet_protocol.statements import RotationReport, Signed
from carnet_protocol.tuples import KeyRole
from carnet_server.clock import system_clock
from tests.support.jobs import begin_job
from tests.support.keyservice import KeyServiceStory, accept
from tests.support.keyservice_process import KeyServiceProcess, working
from tests.support.orders import TWO, officer, sign_order
from tests.support.people import Dice
from tests.support.tables import unchanged


@pytest.fixture(params=["sqlite", "postgresql"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyServiceProcess]:
    """A key service that serves, with workers beside it on PostgreSQL, and no backups to wait for."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    settings = "backup_horizon_days = 0"
    with KeyServiceProcess.lay_out(tmp_path, Dice("system"), database_url=url, settings=settings) as made:
        made.start()
        with working(made, 2 if url else 0):
            yield made


@pytest.fixture
def story(process: KeyServiceProcess) -> KeyServiceStory:
    """A record with two locks."""
    made = KeyServiceStory.begin(process.world())
    accept(made.world.post(f"{made.path}/locks", made.alice))
    return made


@contextlib.contextmanager
def releasing(story: KeyServiceStory) -> Iterator[list[int]]:
    """Release one after the other in the background; each must be answered, with the key that was asked for."""
    item, statuses, ended = story.item(KeyRole.CONTENT), [], threading.Event()

    def work() -> None:
        while not ended.is_set():
            answer = story.release(story.bob, story.grant, [item])
            statuses.append(answer.status_code if None not in story.inner(answer) else 0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def keys(process: KeyServiceProcess) -> dict[int, dict[str, Any]]:
    """What `keys list` says of each master key."""
    code, listed = process.run_json("keys", "list")
    assert code == 0
    return {key["version"]: key for key in listed["master_keys"]}


def test_a_rotation_by_the_book_while_releases_go_on(process: KeyServiceProcess, story: KeyServiceStory) -> None:
    code, plan = process.run_json("rotate", "master", "--dry-run")
    assert (code, plan["can_begin"], plan["total"], plan["active_version"]) == (0, True, 2, 1)
    with releasing(story) as statuses:
        code, done = process.run_json("rotate", "master", "--grace", "0")
    assert (code, done["state"], done["old_version"], done["new_version"]) == (0, "finished", 1, 2)
    assert set(statuses) == {200}
    assert {version: (key["state"], key["seals"]) for version, key in keys(process).items()} == {
        1: ("deactivated", 0),
        2: ("active", 2),
    }
    code, report = process.run_json("rotate", "report", "--save", str(process.root / "report.jws"))
    assert (code, report["outcome"], report["total"], report["old_references"]) == (0, "finished", 2, 0)
    signed = Signed.parse((process.root / "report.jws").read_text().strip(), RotationReport)
    signed.verify(process.own.keyservice.key.public_key)
    assert process.run_json("rotate", "status")[1]["phase"] == "done"
    assert process.run("fsck").returncode == 0


def test_an_abort_within_the_grace_goes_back(process: KeyServiceProcess, story: KeyServiceStory) -> None:
    begin_job(process, JobKind.MASTER, grace=3600)
    code, done = process.run_json("rotate", "abort")
    assert (code, done["state"]) == (0, "aborted")
    found = keys(process)
    assert (found[1]["state"], found[1]["seals"]) == ("active", 2)
    assert all(key["seals"] == 0 for version, key in found.items() if version != 1)
    assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    assert process.run("fsck").returncode == 0


def test_a_paused_rotation_goes_on(process: KeyServiceProcess, story: KeyServiceStory) -> None:
    del story
    begin_job(process, JobKind.MASTER, grace=3600)
    assert process.run("rotate", "pause").returncode == 0
    assert process.run_json("rotate", "status")[1]["state"] == "paused"
    assert process.run("rotate", "master").returncode == 1
    process.kill()
    process.start()
    begun = process.run_json("rotate", "status")[1]["job"]
    with Watcher(process) as watcher:
        code, done = process.run_json("rotate", "master", "--resume")
    assert (code, done["state"], done["job"]) == (0, "finished", begun), watcher.said


class Watcher:
    """Ends the grace of a rotation as soon as it has begun, as an operator does who is content."""

    def __init__(self, process: KeyServiceProcess) -> None:
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.said: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            done = self._process.run("keys", "retire", "1")
            self.said.append(done.stderr)
            if done.returncode == 0:
                return


def orders(process: KeyServiceProcess, version: int, *, by: tuple[str, ...] = TWO) -> list[str]:
    """The words that name the orders of officers, who are enrolled here."""
    words: list[str] = []
    for name in by:
        (process.root / f"{name}.key").write_text(f"{officer(name).public_key}\n")
        enrolled = process.run("officers", "enrol", "--key-file", str(process.root / f"{name}.key"))
        assert enrolled.returncode == 0, enrolled.stderr
        order = sign_order(name, process.own.keyservice.fingerprint, now=system_clock(), version=version)
        file = process.root / f"{name}-{version}.jws"
        file.write_text(order.text + "\n")
        words += ["--order", str(file)]
    return words


def test_a_retired_key_is_destroyed_by_two_officers_and_the_file_with_it(
    process: KeyServiceProcess, story: KeyServiceStory
) -> None:
    assert process.run_json("rotate", "master", "--grace", "0")[0] == 0
    file = process.root / "keys" / "master-1.key"
    both = orders(process, 1)
    assert file.exists()
    for words in ((), both[:2], [*both[:2], *both[:2]], orders(process, 2)):
        with unchanged(story.world.engine):
            refused = process.run("keys", "destroy", "1", *words)
            assert refused.returncode == 1
            assert "nothing was destroyed: ordered" in refused.stderr
    assert process.run("keys", "destroy", "1", "--dry-run").returncode == 0
    assert file.exists()
    code, done = process.run_json("keys", "destroy", "1", *both)
    assert (code, done["outcome"]) == (0, "destroyed")
    assert {check["name"]: check["is_met"] for check in done["checks"]} == {
        "ordered by two officers": True,
        "out of use": True,
        "nothing sealed under it": True,
        "no rotation under way": True,
        "backup horizon passed": True,
    }
    assert not file.exists()
    assert keys(process)[1]["state"] == "destroyed"
    again = process.run("keys", "destroy", "1", *both)
    assert again.returncode == 0
    assert again.stdout.splitlines() == ["master key 1 is destroyed", FileProvider.afterwards]
    assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
    assert process.run("fsck").returncode == 0


def test_a_key_in_use_is_never_destroyed_whoever_orders_it(process: KeyServiceProcess, story: KeyServiceStory) -> None:
    both = orders(process, 1)
    with unchanged(story.world.engine):
        refused = process.run("keys", "destroy", "1", *both)
    assert refused.returncode == 1
    assert "it is active" in refused.stderr
    assert "2 record locks" in refused.stderr
    assert (process.root / "keys" / "master-1.key").exists()


def test_a_worker_that_dies_loses_nothing(tmp_path: Path, postgres_url: str) -> None:
    """Its lane is taken up by another; the job ends as if nothing had happened."""
    with KeyServiceProcess.lay_out(tmp_path, Dice("system"), database_url=postgres_url) as process:
        process.start()
        story = KeyServiceStory.begin(process.world())
        with working(process, 2) as workers:
            begin_job(process, JobKind.MASTER, grace=0)
            workers[0].kill()
            code, done = process.run_json("rotate", "master", "--resume")
            assert (code, done["state"]) == (0, "finished"), done
        assert None not in story.inner(story.release(story.bob, story.grant, [story.item(KeyRole.CONTENT)]))
        assert process.run("fsck").returncode == 0
