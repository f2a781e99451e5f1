"""What a job meets where the disk or the database fails: refusals that it knows, whatever raised them."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from carnet_keyservice.rotation import embedded, watch
from carnet_keyservice.rotation.baton import baton
from carnet_keyservice.rotation.embedded import EmbeddedRunner, run_once
from carnet_keyservice.rotation.watch import Watch
from carnet_server.database import make_engine
from carnet_server.errors import BusyError, CommitError, UnavailableError
from tests.support.keyservice import KeyServiceStory
from tests.support.rotation import Bench


def baton_file(engine: Engine) -> Path:
    """The file of who conducts."""
    return Path(f"{engine.url.database}-rotation")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_baton_that_cannot_be_had_is_a_refusal_and_the_job_goes_on_later(story: KeyServiceStory) -> None:
    """As on a full disk; the thread of the jobs knows no other error, and would end for good."""
    engine = story.world.engine
    with Bench.at(story.world) as bench:
        job = bench.begin()
        baton_file(engine).unlink(missing_ok=True)
        baton_file(engine).mkdir()
        with pytest.raises(UnavailableError, match="rotation_file_failed"):
            run_once(bench.shop, threading.Event())
        assert bench.job(job).phase == "prepare"
        baton_file(engine).rmdir()
        while run_once(bench.shop, threading.Event()):
            pass
        assert bench.job(job).state == "finished"


def test_one_at_a_time_has_the_baton(story: KeyServiceStory) -> None:
    engine = story.world.engine
    with baton(engine) as first, baton(engine) as second:
        assert (first, second) == (True, False)
    with baton(engine) as again:
        assert again


def test_a_database_that_is_away_is_a_refusal_to_whoever_wants_the_baton() -> None:
    away = make_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(CommitError), baton(away):
        pass
    away.dispose()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_database_that_somebody_keeps_locked_is_a_refusal(story: KeyServiceStory) -> None:
    """What the driver raises where a transaction begins is no error of SQLAlchemy's."""
    engine = story.world.engine
    with Bench.at(story.world) as bench, engine.connect() as holder, engine.connect() as other:
        holder.execute(text("SELECT 1"))
        other.connection.driver_connection.execute("PRAGMA busy_timeout = 0")  # type: ignore[union-attr]  SQLite's
        other.close()  # the next who asks the pool is given this one
        with pytest.raises(BusyError, match="database_locked"):
            bench.shop.write(lambda connection: connection.execute(text("SELECT 1")))
        holder.rollback()
        bench.shop.write(lambda connection: connection.execute(text("SELECT 1")))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", ["jobs", "watch"])
def test_a_fault_of_ours_is_told_and_the_thread_lives_on(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A thread that ends in silence leaves jobs that nobody does, and keys that nobody loads, until the next start."""
    came_back = threading.Event()
    calls: list[int] = []

    def fail_once(*_: object) -> bool:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        came_back.set()
        return False

    with Bench.at(story.world) as bench:
        part = EmbeddedRunner(bench.shop) if what == "jobs" else Watch(bench.shop, "test")
        for module in (embedded, watch):
            monkeypatch.setattr(module, "IDLE_SECONDS" if module is embedded else "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(embedded, "run_once", fail_once)
        if what == "watch":
            look = Watch.look
            monkeypatch.setattr(Watch, "look", lambda self: look(self) if not self._thread.is_alive() else fail_once())
        part.start()
        assert came_back.wait(30)
        part.stop()
    assert any(line.get("reason") == "internal: ZeroDivisionError" for line in story.world.log_lines())
