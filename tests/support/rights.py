"""A database set up as the pages `POSTGRESQL.md` say: the SQL of the page itself is run, by whom it says.

with lesser_role("vault", cluster, REVISIONS) as engine:
    ...  # what the program may do that serves
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import Engine, text

from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from tests.support.postgres import PostgresCluster

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(r"```sql\n(.*?)```", re.DOTALL)


def read_blocks(server: str) -> tuple[str, str]:
    """What the page of `server` has the superuser run once, and the owner after each migration."""
    first, *others = _BLOCK.findall((ROOT / server / "POSTGRESQL.md").read_text())
    return first, "\n".join(others)


@contextlib.contextmanager
def lesser_role(server: str, cluster: PostgresCluster, revisions: Path) -> Iterator[Engine]:
    """An engine of the role that serves, on a database that its owner migrated; all three are gone afterwards."""
    role = database = f"carnet_{server}"
    owner = f"{role}_owner"
    as_superuser, as_owner = read_blocks(server)
    for statement in as_superuser.split(";"):
        if statement.strip():
            cluster.execute(statement)
    try:
        owning = make_engine(cluster.url(database, user=owner))
        migrate(owning, revisions)
        with owning.begin() as connection:
            connection.execute(text(as_owner))
        owning.dispose()
        engine = make_engine(cluster.url(database, user=role))
        yield engine
        engine.dispose()
    finally:
        cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")
        for name in (role, owner):
            cluster.execute(f"DROP ROLE {name}")


def refused_to(engine: Engine, statement: str) -> str:
    """The SQLSTATE with which PostgreSQL refuses `statement` to the role of `engine`."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            driver.execute(statement.encode())
        except psycopg.Error as error:
            driver.rollback()
            return error.sqlstate or ""
        driver.rollback()
        return "done"
