"""A vault as its operator runs it, in a folder of its own, on SQLite or on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import Dice
from tests.support.postgres import postgres_cluster, postgres_url
from tests.support.vault_process import VaultProcess

__all__ = ["postgres_cluster", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VaultProcess]:
    """A laid-out vault that does not run yet."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with VaultProcess.lay_out(tmp_path, Dice("system"), database_url=url) as made:
        yield made
