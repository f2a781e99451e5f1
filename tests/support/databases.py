"""Empty databases for tests, quickly: SQLite files copied from one that was prepared once, one PostgreSQL emptied.

A folder's conftest gives `prepare`, which makes the tables, and wraps these in fixtures of its own.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from carnet_server.database import make_engine
from carnet_server.partitions import list_partitions

BOTH = ("sqlite", "postgresql")
KEPT = frozenset({"alembic_version"})
Prepare = Callable[[Engine], None]


@dataclass(frozen=True, slots=True)
class SqliteTemplate:
    """A prepared SQLite file."""

    path: Path

    @classmethod
    def make(cls, folder: Path, prepare: Prepare) -> "SqliteTemplate":
        """Prepare one in `folder`."""
        path = folder / "template.sqlite"
        engine = make_engine(f"sqlite:///{path}")
        prepare(engine)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        engine.dispose()
        return cls(path)

    def copy(self, folder: Path) -> Engine:
        """An engine on a copy in `folder`."""
        target = folder / "server.sqlite"
        shutil.copyfile(self.path, target)
        return make_engine(f"sqlite:///{target}")


def empty_tables(engine: Engine) -> None:
    """Delete every row of a PostgreSQL database but those that say its version.

    Not by TRUNCATE, which makes new files for every table, partition and index, full or not. Without its own triggers
    PostgreSQL does not ask in which order.
    """
    with engine.begin() as connection:
        names = sorted(set(inspect(connection).get_table_names()) - KEPT - list_partitions(connection))
        full = text(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names))  # noqa: S608  names of the database itself
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for name in connection.execute(full).scalars().all():
            connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608  as above
