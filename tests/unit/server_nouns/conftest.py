"""Shared nouns on either database, with alice (a patient), bob and mallory (attested physicians)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_server.database import make_engine
from carnet_server.tables import metadata
from tests.support.databases import SqliteTemplate, empty_tables
from tests.support.nouns import Story, World
from tests.support.people import Dice
from tests.support.postgres import PostgresCluster, postgres_cluster

__all__ = ["postgres_cluster"]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplate:
    """A file with the tables, to be copied."""
    return SqliteTemplate.make(tmp_path_factory.mktemp("template"), metadata.create_all)


@pytest.fixture(scope="session")
def postgres_engine(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """A PostgreSQL database with the tables, emptied before each test."""
    with postgres_cluster.fresh_database() as url:
        made = make_engine(url)
        metadata.create_all(made)
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
def world(engine: Engine) -> World:
    """A server that knows nobody."""
    return World.make(engine, Dice("world"))


@pytest.fixture
def story(world: World) -> Story:
    """A server that knows everybody."""
    return Story.begin(world, Dice("story"))
