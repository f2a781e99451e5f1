"""The rights that the page `POSTGRESQL.md` gives are enough to serve, and for no more: its own SQL is run here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.migrations import check_migrated, find_differences, migrate
from carnet_vault.app import REVISIONS
from carnet_vault.fsck import check_database
from carnet_vault.tables import metadata
from tests.support.people import Dice
from tests.support.postgres import PostgresCluster
from tests.support.rights import lesser_role, read_blocks, refused_to
from tests.support.tours import of_the_story, vault_tour
from tests.support.vault import VaultStory, VaultWorld

FORBIDDEN = "42501"


@pytest.fixture(scope="module")
def lesser(postgres_cluster: PostgresCluster) -> Iterator[Engine]:
    """An engine of the role that serves."""
    with lesser_role("vault", postgres_cluster, REVISIONS) as engine:
        yield engine


def test_the_page_speaks_of_every_table() -> None:
    _, as_owner = read_blocks("vault")
    assert [name for name in metadata.tables if f" {name}" not in as_owner.replace("\n", " ")] == []


def test_everything_is_served_and_checked_with_the_rights_of_the_page(lesser: Engine, tmp_path: Path) -> None:
    world = VaultWorld.make(lesser, tmp_path, Dice("vault"))
    with world.client:
        for step in of_the_story(vault_tour(VaultStory.begin(world))).values():
            step()
    with reader(lesser) as connection:
        check_migrated(connection, REVISIONS)
        assert find_differences(connection, metadata) == []
        deployment = Deployment.of(world.own.card, world.own.card.body.vault, world.own.vault.log_key)
        assert list(check_database(connection, deployment)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET commitment = leaf_hash",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE statements SET jws = ''",
        "DELETE FROM identities",
        "DELETE FROM devices",
        "DELETE FROM erasures",
        "DROP TABLE documents",
        "ALTER TABLE documents DETACH PARTITION documents_p00",
        "SELECT * FROM documents_p00",
        "CREATE TABLE other (value bigint)",
        "CREATE INDEX other ON documents (head)",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "COPY events TO PROGRAM 'cat'",
    ],
)
def test_what_no_request_needs_is_forbidden_by_the_database_itself(lesser: Engine, statement: str) -> None:
    assert refused_to(lesser, statement) == FORBIDDEN


def test_the_role_that_serves_cannot_migrate(lesser: Engine, tmp_path: Path) -> None:
    for revision in REVISIONS.glob("*.py"):
        (tmp_path / revision.name).write_text(revision.read_text())
    (tmp_path / "9999_more.py").write_text(
        "from alembic import op\nrevision = '9999'\ndown_revision = '0002'\n"
        "def upgrade():\n    op.execute('CREATE TABLE more (value bigint)')\n"
    )
    with pytest.raises(Exception, match="permission denied"):
        migrate(lesser, tmp_path)
    with reader(lesser) as connection:
        check_migrated(connection, REVISIONS)
