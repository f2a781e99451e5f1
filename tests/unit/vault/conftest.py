"""A vault per test with Alice, Laura, Bob and Mallory, on both databases.

On SQLite alone are tests that damage a file behind the database's back, or that never ask the database anything.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from carnet_vault.app import REVISIONS
from tests.support.databases import SqliteTemplate, empty_tables
from tests.support.people import Dice
from tests.support.postgres import PostgresCluster, postgres_cluster
from tests.support.vault import VaultStory, VaultWorld

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


@pytest.fixture
def sqlite_engine(sqlite_template: SqliteTemplate, tmp_path: Path) -> Iterator[Engine]:
    """An engine on an empty SQLite database, for what does not depend on the database."""
    made = sqlite_template.copy(tmp_path)
    event.listen(made, "connect", _do_not_wait_for_the_disk)
    yield made
    made.dispose()


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """An engine on an empty database of either kind."""
    if request.param == "sqlite":
        made: Engine = request.getfixturevalue("sqlite_engine")
        return made
    made = request.getfixturevalue("postgres_engine")
    empty_tables(made)
    return made


@pytest.fixture
def suite() -> Suite:
    """The suite of the story; whole stories ask for the others."""
    return WRITE_SUITE


@pytest.fixture
def story(engine: Engine, tmp_path: Path, suite: Suite) -> Iterator[VaultStory]:
    """Alice's record, opened, on either database."""
    world = VaultWorld.make(engine, tmp_path, Dice("vault", suite))
    with world.client:
        yield VaultStory.begin(world)


@pytest.fixture
def sqlite_story(sqlite_engine: Engine, tmp_path: Path, suite: Suite) -> Iterator[VaultStory]:
    """Alice's record, opened, on SQLite: for tests that are about its file or that PostgreSQL's constraints forbid."""
    world = VaultWorld.make(sqlite_engine, tmp_path, Dice("vault", suite))
    with world.client:
        yield VaultStory.begin(world)
