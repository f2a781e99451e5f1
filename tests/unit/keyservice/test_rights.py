"""The rights that the page `POSTGRESQL.md` gives are enough to serve, and for no more: its own SQL is run here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_keyservice.app import REVISIONS
from carnet_keyservice.fsck import check_all
from carnet_keyservice.tables import metadata
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.migrations import check_migrated, find_differences
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld
from tests.support.people import Dice
from tests.support.postgres import PostgresCluster
from tests.support.rights import lesser_role, read_blocks, refused_to
from tests.support.tours import keyservice_tour, of_the_story

FORBIDDEN = "42501"


@pytest.fixture(scope="module")
def lesser(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """An engine of the role that serves."""
    with lesser_role("keyservice", postgres_cluster, REVISIONS) as engine:
        yield engine


def test_the_page_speaks_of_every_table() -> None:
    _, as_owner = read_blocks("keyservice")
    assert [name for name in metadata.tables if f" {name}" not in as_owner.replace("\n", " ")] == []


def test_everything_is_served_and_checked_with_the_rights_of_the_page(lesser: Engine, tmp_path: Path) -> None:
    world = KeyServiceWorld.make(lesser, tmp_path, Dice("deployment"))
    with world.client:
        for step in of_the_story(keyservice_tour(KeyServiceStory.begin(world))).values():
            step()
    with reader(lesser) as connection:
        check_migrated(connection, REVISIONS)
        assert find_differences(connection, metadata) == []
        deployment = Deployment.of(world.own.card, world.own.card.body.keyservice, world.own.keyservice.log_key)
        assert list(check_all(connection, deployment, world.master_keys)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET commitment = leaf_hash",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE statements SET jws = ''",
        "DELETE FROM devices",
        "DELETE FROM recoveries",
        "DELETE FROM erasures",
        "DELETE FROM master_keys",
        "UPDATE lock_statements SET expires = 0",
        "DROP TABLE record_locks",
        "CREATE TABLE other (value bigint)",
        "SET session_replication_role = replica",
        "COPY record_locks TO PROGRAM 'cat'",
    ],
)
def test_what_no_request_needs_is_forbidden_by_the_database_itself(lesser: Engine, statement: str) -> None:
    assert refused_to(lesser, statement) == FORBIDDEN
