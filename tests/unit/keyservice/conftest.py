"""A key service on either database, with a story in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_keyservice.app import REVISIONS
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.databases import SqliteTemplate, empty_tables
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld
from tests.support.people import Deployment, Dice
from tests.support.postgres import PostgresCluster, postgres_cluster

__all__ = ["postgres_cluster"]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    """A file with the tables, to be copied."""
    return SqliteTemplate.make(tmp_path_factory.mktemp("template"), lambda made: migrate(made, REVISIONS))


@pytest.fixture(scope="session")
def postgres_engine(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """A PostgreSQL database with the tables, emptied before each test."""
    with postgres_cluster.fresh_database() as url:
        made = make_engine(url)
        migrate(made, REVISIONS)
        yield made
        made.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on an empty database of either kind."""
    if request.param == "sqlite":
        made: Engine = request.getfixturevalue("sqlite_template").copy(tmp_path)
        yield made
        made.dispose()
    else:
        made = request.getfixturevalue("postgres_engine")
        empty_tables(made)
        yield made


@pytest.fixture
def suites() -> tuple[Suite, Suite]:
    """The suite of people's keys, and the one that the key service writes; whole stories ask for others."""
    return WRITE_SUITE, WRITE_SUITE


@pytest.fixture
def world(engine: Engine, tmp_path: Path, suites: tuple[Suite, Suite]) -> Iterator[KeyServiceWorld]:
    """A running key service that knows nobody."""
    inner, outer = suites
    dice = Dice("deployment", inner)
    made = KeyServiceWorld.make(engine, tmp_path, dice, own=Deployment.make(dice, write=outer))
    with made.client:
        yield made


@pytest.fixture
def story(world: KeyServiceWorld) -> KeyServiceStory:
    """The story's beginning."""
    return KeyServiceStory.begin(world)
