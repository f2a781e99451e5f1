"""Both databases, and a tiny server on each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.postgres import postgres_cluster, postgres_url
from tests.support.tiny_server.tables import REVISIONS
from tests.support.tiny_server.world import ALICE, BOB, OLGA, World

__all__ = ["postgres_cluster", "postgres_url"]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tiny.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on an empty database of either kind."""
    engine = make_engine(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """An engine on a migrated database of either kind."""
    migrate(empty_engine, REVISIONS)
    return empty_engine


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine on a migrated SQLite database, for what does not depend on the database."""
    engine = make_engine(sqlite_url)
    migrate(engine, REVISIONS)
    yield engine
    engine.dispose()


@pytest.fixture
def world_on_each(engine: Engine) -> Iterator[World]:
    """As `world`, on either database."""
    made = World(engine)
    made.enrol(ALICE, BOB, OLGA)
    with made.client:
        yield made


@pytest.fixture
def world(sqlite_engine: Engine) -> Iterator[World]:
    """A running tiny server where Alice's device, Bob's root key and Olga the officer are known."""
    made = World(sqlite_engine)
    made.enrol(ALICE, BOB, OLGA)
    with made.client:
        yield made
