"""Readiness: database reached and migrated, writer alive, asked once a second at most."""

from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from carnet_server.answers import install_handlers
from carnet_server.chassis import Chassis
from carnet_server.errors import UnavailableError
from carnet_server.health import add_health
from tests.support.tiny_server.world import World


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def client(world: World, clock: Seconds) -> TestClient:
    app = FastAPI()
    install_handlers(app)
    add_health(app, world.chassis, clock)
    return TestClient(app)


def test_a_server_that_works_is_alive_and_ready(client: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_server_whose_writer_stopped_is_alive_and_not_ready(client: TestClient, world: World) -> None:
    world.chassis.writer.stop()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json()["error"]["code"] == "unavailable"


def test_a_server_whose_database_is_at_another_version_is_not_ready(client: TestClient, sqlite_engine: Engine) -> None:
    with sqlite_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert client.get("/readyz").status_code == 503


def test_a_server_that_misses_something_else_is_not_ready(world: World, clock: Seconds) -> None:
    is_there = False

    def look() -> None:
        if not is_there:
            raise UnavailableError("store_unavailable")

    app = FastAPI()
    install_handlers(app)
    add_health(app, replace(world.chassis, needs=(look,)), clock)
    client = TestClient(app)
    assert client.get("/readyz").status_code == 503
    is_there = True
    clock.now += 1
    assert client.get("/readyz").status_code == 200


def test_a_look_that_takes_long_is_the_only_one(world: World, clock: Seconds) -> None:
    app = FastAPI()
    install_handlers(app)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        clock.now += 60
        assert TestClient(app).get("/readyz").status_code == 503

    add_health(app, replace(world.chassis, needs=(look,)), clock)
    assert TestClient(app).get("/readyz").status_code == 200
    assert looks == 1


def test_the_database_is_asked_once_a_second_and_not_more(
    client: TestClient, clock: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Chassis, "check_ready", lambda _: asked.append(1))
    for _ in range(5):
        assert client.get("/readyz").status_code == 200
    assert len(asked) == 1
    clock.now = 1.0
    assert client.get("/readyz").status_code == 200
    assert len(asked) == 2


def test_readiness_comes_back(client: TestClient, clock: Seconds, sqlite_engine: Engine) -> None:
    for version, status in (("9999", 503), ("0001", 200)):
        with sqlite_engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        clock.now += 1
        assert client.get("/readyz").status_code == status
