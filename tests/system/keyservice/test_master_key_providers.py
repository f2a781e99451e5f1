"""A key service whose master keys a token or AWS KMS wraps: as a program, from the first start to a restart.

The token is SoftHSM2; KMS is the stand-in of tests/support/kms_stand_in.py, whose head says what that does not prove.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from carnet_protocol.tuples import KeyRole
from tests.support.keyservice import KeyServiceStory
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.people import Dice
from tests.support.providers import PLACES, FilePlace, Place


@dataclass
class Kept:
    """A key service that does not run yet, and where its master keys will be."""

    process: KeyServiceProcess
    place: Place


@pytest.fixture(params=[name for name in PLACES if name != FilePlace.name])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """With each provider but files, which every other test has."""
    (tmp_path / "place").mkdir()
    root = tmp_path / "keyservice"
    root.mkdir()
    with (
        PLACES[request.param].lay_out(tmp_path / "place") as place,
        KeyServiceProcess.lay_out(root, Dice("system"), settings=place.settings()) as process,
    ):
        (root / "keys" / "master-1.key").unlink()
        yield Kept(process, place)


def test_a_record_outlives_restarts_and_is_clean(kept: Kept) -> None:
    process = kept.process
    process.start()
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    (first,) = story.inner(story.release(story.bob, story.grant, [item]))
    assert first is not None
    assert process.stop() == 0
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})
    code, status = process.run_json("status")
    assert (code, status["counts"]["locks_under_master_key_1"]) == (0, 1)
    process.start()
    assert story.inner(story.release(story.bob, story.grant, [item])) == (first,)
    process.stop()
    with story.world.engine.connect() as connection:
        ((provider, token),) = connection.exec_driver_sql("SELECT provider, token FROM master_keys").all()
    assert provider == kept.place.name
    assert len(token) > 90
    # Nothing of it is among the files.
    assert sorted(path.name for path in (process.root / "keys").iterdir()) == ["log.key", "server.key"]


def test_a_provider_that_is_away_at_the_first_start_makes_nothing(kept: Kept) -> None:
    kept.place.take_away()
    done = kept.process.run("serve")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("carnet-keyservice: ")
    for secret in kept.place.secrets():
        assert secret not in line
    kept.place.bring_back()
    kept.process.start()
    KeyServiceStory.begin(kept.process.world())
    kept.process.stop()
    assert kept.process.run("fsck").returncode == 0


def test_a_provider_that_is_away_at_a_later_start_is_told_and_nothing_is_changed(kept: Kept) -> None:
    process = kept.process
    process.start()
    story = KeyServiceStory.begin(process.world())
    process.stop()
    before = story.world.state()
    kept.place.take_away()
    done = process.run("serve")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert process.run_json("fsck")[0] == 1
    assert process.run("status").returncode == 0
    assert story.world.state() == before
    kept.place.bring_back()
    assert process.run("fsck").returncode == 0


def test_a_provider_that_goes_away_stops_nobody_who_is_served_and_nothing_secret_shows(kept: Kept) -> None:
    process = kept.process
    settings = process.root / "settings.toml"
    settings.write_text(settings.read_text() + '\nlog_level = "debug"')
    process.start()
    kept.place.take_away()
    # A record lock is made, opened and released without it.
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    (inner,) = story.inner(story.release(story.bob, story.grant, [item]))
    assert inner is not None
    assert story.world.post(f"/v1/records/{story.own.id}/locks", story.alice).status_code == 200
    process.stop()
    texts = [process.run("serve").stderr, (process.root / "keyservice.jsonl").read_text(), settings.read_text()]
    for secret in kept.place.secrets():
        assert not any(secret in text for text in texts)
    kept.place.bring_back()
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})


def test_a_running_key_service_goes_over_from_files_and_an_absent_provider_stops_nothing_else(kept: Kept) -> None:
    process, name = kept.process, kept.place.name
    settings = process.root / "settings.toml"
    settings.write_text(settings.read_text().replace(f'master_key_provider = "{name}"', ""))
    process.start()
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    (first,) = story.inner(story.release(story.bob, story.grant, [item]))
    kept.place.take_away()
    done = process.run("rotate", "master", "--to", name, "--grace", "0")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("carnet-keyservice: ")
    assert "Traceback" not in done.stderr
    assert story.inner(story.release(story.bob, story.grant, [item])) == (first,)
    kept.place.bring_back()
    done = process.run("rotate", "master", "--resume")
    assert done.returncode == 0, done.stderr
    assert story.inner(story.release(story.bob, story.grant, [item])) == (first,)
    process.stop()
    process.start()
    assert story.inner(story.release(story.bob, story.grant, [item])) == (first,)
    process.stop()
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})
    counts = process.run_json("status")[1]["counts"]
    assert counts["locks_under_master_key_2"] == 1
    with story.world.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT version, provider, state FROM master_keys ORDER BY version").all()
    assert [tuple(row) for row in rows] == [(1, "file", "deactivated"), (2, name, "active")]
