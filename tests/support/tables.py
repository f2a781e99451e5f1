"""A digest of everything that a database holds, so that a test can say: this refusal changed nothing."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator

from sqlalchemy import Engine, inspect, text

from carnet_server.partitions import list_partitions

CLOCKWORK = frozenset({"alembic_version", "nonces"})
"""Tables that a refused request may touch: a nonce is spent by its request, whatever becomes of it."""


def digest_tables(engine: Engine, *, leave_out: Iterable[str] = CLOCKWORK) -> str:
    """SHA-256 over every row of every table of `engine` but those of `leave_out`."""
    digest = hashlib.sha256()
    left_out = frozenset(leave_out)
    with engine.connect() as connection:
        for name in sorted(set(inspect(connection).get_table_names()) - left_out - list_partitions(connection)):
            digest.update(f"\n{name}\n".encode())
            rows = connection.execute(text(f'SELECT * FROM "{name}"')).all()  # noqa: S608  names of the database itself
            for row in sorted(
                repr([bytes(value) if isinstance(value, memoryview) else value for value in row]) for row in rows
            ):
                digest.update(row.encode())
    return digest.hexdigest()


def count_rows(engine: Engine, table: str) -> int:
    """How many rows `table` has."""
    with engine.connect() as connection:
        return int(connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one())  # noqa: S608  as above


@contextlib.contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Assert that the block changes no row of any table but `CLOCKWORK`."""
    before = digest_tables(engine)
    yield
    assert digest_tables(engine) == before, "a refusal has changed the database"
