"""Empty databases for tests, quickly: SQLite files copied from one that was prepared once, one PostgreSQL emptied.

A folder's conftest gives `prepare`, which makes the tables, and wraps these in fixtures of its own.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from carnet_server.database import make_engine

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
    """Delete every row of a PostgreSQL database but those that say its version."""
    with engine.begin() as connection:
        names = sorted(set(inspect(connection).get_table_names()) - KEPT)
        connection.execute(text(f"TRUNCATE {', '.join(names)} CASCADE"))
