"""The key service as a program: it starts, releases over real HTTP, stops in peace, and its commands tell the truth."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import update

from carnet_keyservice.tables import lock_seals
from carnet_protocol.api import ReleaseAnswer, ReleaseKind
from carnet_protocol.tuples import KeyRole
from tests.support.hpke import open_box
from tests.support.keyservice import KeyServiceStory, accept, code
from tests.support.keyservice_process import KeyServiceProcess
from tests.support.people import Dice
from tests.support.records import make_version, update_of
from tests.support.tables import count_rows


def test_a_record_outlives_restarts_and_is_clean(process: KeyServiceProcess) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    (first,) = story.inner(story.release(story.bob, story.grant, [item]))
    assert process.stop() == 0
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})
    process.start()
    (second,) = story.inner(story.release(story.bob, story.grant, [item]))
    assert first == second
    assert second is not None
    wrap = item.capsule.wrap_tuple(story.version.identity)
    assert open_box(story.general.key.seed, wrap.inner_info(), second) == story.version.content_key
    now = story.world.clock()
    accept(story.world.post_statements(story.own, update_of(story.own.revoke(story.grant, at=now))))
    assert process.kill() == -signal.SIGKILL
    process.start()
    assert code(story.release(story.bob, story.grant, [item])) == (404, "refused")
    assert process.stop() == 0
    assert process.run_json("fsck") == (0, {"ok": True, "findings": []})


def test_a_batch_of_five_hundred_comes_off_in_one_round_trip(process: KeyServiceProcess) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world())
    versions = [make_version(story.dice, story.own.id, story.laura.identity) for _ in range(500)]
    items = [story.item(KeyRole.METADATA, version=version) for version in versions]
    inner = story.inner(story.release(story.bob, story.grant, items, ReleaseKind.LIST))
    for version, item, box in zip(versions[::50], items[::50], inner[::50], strict=True):
        assert box is not None
        wrap = item.capsule.wrap_tuple(version.identity)
        assert open_box(story.general.key.seed, wrap.inner_info(), box) == version.metadata_key
    assert len(inner) == 500
    assert None not in inner


def test_a_stop_lets_releases_in_flight_finish_and_logs_each(process: KeyServiceProcess) -> None:
    """Whatever was answered is in the log, and whatever is in the log was answered or cut; nothing is half."""
    process.start()
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    released: list[int] = []
    mutex = threading.Lock()
    begun = threading.Semaphore(0)

    def work() -> None:
        while True:
            begun.release()
            try:
                answer = story.release(story.bob, story.grant, [item])
            except httpx2.TransportError:
                return
            if answer.status_code != 200:
                return
            with mutex:
                released.append(len(ReleaseAnswer.model_validate_json(answer.content).inner))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        begun.acquire()
    assert process.stop() == 0
    for thread in threads:
        thread.join()
    logged = _count_kind(story, "release.open")
    assert len(released) == logged > 0
    assert process.run("fsck").returncode == 0


def _count_kind(story: KeyServiceStory, kind: str) -> int:
    with story.world.engine.connect() as connection:
        return int(
            connection.exec_driver_sql(f"SELECT count(*) FROM events WHERE kind = '{kind}'").scalar_one()  # noqa: S608  a constant
        )


def test_fsck_names_a_lock_that_does_not_open_with_its_exit_code(process: KeyServiceProcess) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world())
    process.stop()
    with story.world.engine.begin() as connection:
        connection.execute(update(lock_seals).values(sealed_seed=bytes(72)))
    exit_code, found = process.run_json("fsck")
    assert exit_code == 1
    assert found["findings"] == [
        {"check": "lock_does_not_open", "where": f"lock 1 of record {story.own.id}, under master key 1"}
    ]


def test_its_log_and_its_output_name_nobody(process: KeyServiceProcess) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world())
    item = story.item(KeyRole.CONTENT)
    story.release(story.bob, story.grant, [item])
    story.release(story.mallory, story.grant, [item])
    process.stop()
    text = (process.root / "keyservice.jsonl").read_text()
    for name in (story.own.id, story.bob.identity, story.bob.device.hash, story.grant.hash, story.version.document):
        assert str(name) not in text
        assert name.raw.hex() not in text
    routes = {line.get("route") for line in process.log_lines()}
    assert "/v1/records/{record}/releases" in routes


NOBODY = "no officer yet: carnet-keyservice officers enrol"


def test_status_counts_what_is_there(process: KeyServiceProcess) -> None:
    process.start()
    story = KeyServiceStory.begin(process.world())
    exit_code, status = process.run_json("status")
    assert exit_code == 0
    assert status["counts"]["locks_under_master_key_1"] == 1
    assert status["counts"]["people"] == 4
    assert status["events"] == count_rows(story.world.engine, "events")
    lines = process.run("status").stdout.splitlines()
    (expiry,) = [line for line in lines if line.startswith("first lock statement expires in: ")]
    assert expiry.partition(": ")[2] in {"30 days, 0 hours", "29 days, 23 hours", "30 days", "29 days 23 hours"}, expiry
    assert lines[-1] == NOBODY


def test_an_officer_is_enrolled_beside_the_running_server(process: KeyServiceProcess) -> None:
    process.start()
    world = process.world()
    olga = Dice("olga").signer()
    (process.root / "olga.pub").write_text(str(olga.public_key))
    assert code(world.send_as_key("GET", "/v1/admin/status", olga)) == (401, "unauthenticated")
    done = process.run("officers", "enrol", "--key-file", str(process.root / "olga.pub"))
    assert done.returncode == 0, done.stderr
    assert world.send_as_key("GET", "/v1/admin/status", olga).status_code == 200


@pytest.fixture
def laid_out(tmp_path: Path) -> Iterator[KeyServiceProcess]:
    """One on SQLite, for what does not depend on the database."""
    with KeyServiceProcess.lay_out(tmp_path, Dice("system")) as made:
        yield made


def test_a_master_key_that_is_away_is_told_before_anything_is_served(laid_out: KeyServiceProcess) -> None:
    laid_out.start()
    KeyServiceStory.begin(laid_out.world())
    laid_out.stop()
    (laid_out.root / "keys" / "master-1.key").rename(laid_out.root / "away.key")
    done = laid_out.run("serve")
    assert done.returncode == 1
    assert "master key 1 is not here; put its file master-1.key back" in done.stderr
    assert laid_out.run_json("fsck")[0] == 1
    (laid_out.root / "away.key").rename(laid_out.root / "keys" / "master-1.key")
    assert laid_out.run("fsck").returncode == 0


def test_its_openapi_document_is_served_and_names_every_route(laid_out: KeyServiceProcess) -> None:
    laid_out.start()
    url = f"{laid_out.own.keyservice.origin}/openapi.json"
    document = json.loads(httpx2.get(url, timeout=60, trust_env=False).text)
    assert {
        "/v1/service-card",
        "/v1/people",
        "/v1/people/{identity}",
        "/v1/directory",
        "/v1/records/{record}/statements",
        "/v1/records/{record}/access",
        "/v1/records/{record}/erasure",
        "/v1/records/{record}/grants",
        "/v1/records/{record}/events",
        "/v1/inbox",
        "/v1/inbox/access",
        "/v1/inbox/sealed-keys",
        "/v1/inbox/sealed-keys/opened",
        "/v1/recovery",
        "/v1/records/{record}/lock",
        "/v1/records/{record}/locks",
        "/v1/records/{record}/locks/{version}/retirement",
        "/v1/records/{record}/sealed-keys",
        "/v1/records/{record}/releases",
        "/v1/admin/status",
        "/v1/admin/officers",
        "/v1/admin/officers/{officer}",
    } == set(document["paths"])
