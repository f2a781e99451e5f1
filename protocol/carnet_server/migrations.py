"""Versions of a server's database: Alembic, run by the program itself with its packaged revisions.

Each server keeps a folder of revisions (`carnet_vault/migrations`, `carnet_keyservice/migrations`) and nothing else:
the environment that Alembic wants beside them is here, once. A released revision is never edited.
"""

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData

from carnet_server.errors import MigrationError
from carnet_server.partitions import find_partition_differences, is_compared, list_partitions

_ENVIRONMENT: Final = Path(__file__).parent / "alembic_environment"


def migrate(engine: Engine, revisions: Path) -> None:
    """Bring the database to the newest of `revisions`, in one transaction. Does nothing where it is there already."""
    with engine.begin() as connection:
        configuration = _configure(revisions)
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def check_migrated(connection: Connection, revisions: Path) -> None:
    """Refuse a database that is not at the newest of `revisions`. Raises `MigrationError`."""
    wanted = ScriptDirectory.from_config(_configure(revisions)).get_current_head()
    found = MigrationContext.configure(connection).get_current_heads()
    if found != (wanted,):
        at = ", ".join(found) or "no version"
        raise MigrationError(f"the database is at {at} and the program at {wanted}; run its command `migrate`")


def find_differences(connection: Connection, metadata: MetaData) -> list[Any]:
    """What the tables in the database and those of `metadata` differ in; empty where the revisions made them so."""
    partitions = list_partitions(connection)

    def include(item: Any, name: str | None, kind: str, *_: object) -> bool:  # noqa: ANN401  Alembic's items
        return is_compared(partitions, item, name, kind)

    context = MigrationContext.configure(connection, opts={"include_object": include})
    return [*compare_metadata(context, metadata), *find_partition_differences(connection, metadata)]


def _configure(revisions: Path) -> Config:
    if not revisions.is_dir():
        raise AssertionError("internal: the folder of revisions is not packaged")
    configuration = Config()
    configuration.set_main_option("script_location", str(_ENVIRONMENT))
    configuration.set_main_option("version_locations", str(revisions))
    configuration.set_main_option("path_separator", "newline")
    return configuration
