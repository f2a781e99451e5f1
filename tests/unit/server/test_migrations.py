"""Revisions make what the tables say, and a server does not start on anything else."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from carnet_server.database import reader
from carnet_server.errors import MigrationError
from carnet_server.migrations import check_migrated, find_differences, migrate
from tests.support.tiny_server.tables import REVISIONS, metadata


def test_the_revisions_make_the_tables_that_the_program_uses(empty_engine: Engine) -> None:
    migrate(empty_engine, REVISIONS)
    with reader(empty_engine) as connection:
        assert find_differences(connection, metadata) == []


def test_a_difference_between_revisions_and_tables_is_found(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE events"))
    with reader(engine) as connection:
        assert len(find_differences(connection, metadata)) == 1


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate(engine, REVISIONS)
    with reader(engine) as connection:
        check_migrated(connection, REVISIONS)


def test_an_empty_database_is_refused(empty_engine: Engine) -> None:
    with reader(empty_engine) as connection, pytest.raises(MigrationError, match="run its command `migrate`"):
        check_migrated(connection, REVISIONS)


@pytest.mark.parametrize("version", ["0000", "0002"])
def test_a_database_of_an_older_or_newer_program_is_refused(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with reader(engine) as connection, pytest.raises(MigrationError, match=version):
        check_migrated(connection, REVISIONS)


def test_a_migration_that_fails_leaves_the_database_as_it_was(engine: Engine, tmp_path: Path) -> None:
    for revision in REVISIONS.glob("*.py"):
        (tmp_path / revision.name).write_text(revision.read_text())
    (tmp_path / "0002_fail.py").write_text(
        "from alembic import op\nrevision = '0002'\ndown_revision = '0001'\n"
        "def upgrade():\n    op.execute('DROP TABLE notes')\n    op.execute('SELECT * FROM nowhere')\n"
    )
    with pytest.raises(Exception, match="nowhere"):
        migrate(engine, tmp_path)
    with reader(engine) as connection:
        check_migrated(connection, REVISIONS)
        assert find_differences(connection, metadata) == []


def test_a_folder_of_revisions_that_was_not_packaged_is_an_internal_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="internal"):
        migrate(engine, tmp_path / "nowhere")
