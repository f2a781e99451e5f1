"""Both servers per test, for the client's modules to talk to; passphrases that cost nothing.

They are on SQLite. A module that says `DATABASES = BOTH` has each of its tests that ask for `world` on PostgreSQL as
well: those where a server decides over what several requests, devices or clients did.
"""

import contextlib
import hashlib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet import slots
from carnet.sealing import PassphraseCost
from carnet.transport import ServerName
from carnet_keyservice.app import REVISIONS as KEYSERVICE_REVISIONS
from carnet_protocol.suites import WRITE_SUITE, Suite
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from carnet_vault.app import REVISIONS as VAULT_REVISIONS
from tests.support.client import ClientWorld
from tests.support.databases import empty_tables
from tests.support.postgres import PostgresCluster, postgres_cluster

__all__ = ["postgres_cluster"]


@pytest.fixture(scope="module", autouse=True)
def quick_passphrases() -> Iterator[None]:
    """One hash in place of Argon2id, whose cost is the point elsewhere: `test_slots` and `test_sealing` pay it.

    For a module, not for the session: the folders that come after in the same process pay it too.
    """

    def stretch(passphrase: str, *, salt: bytes, cost: PassphraseCost) -> bytes:
        text = unicodedata.normalize("NFC", passphrase).encode("utf-8")
        return hashlib.sha256(salt + repr(cost).encode() + text).digest()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "stretch_passphrase", stretch)
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask for `world` on each of the module's databases."""
    if "world" in metafunc.fixturenames and hasattr(metafunc.module, "DATABASES"):
        metafunc.parametrize("world", metafunc.module.DATABASES, indirect=True)


@pytest.fixture(scope="session")
def postgres_engines(postgres_cluster: PostgresCluster) -> Iterator[dict[ServerName, Engine]]:
    """A PostgreSQL database of each server with its tables, emptied before each test."""
    revisions = {ServerName.VAULT: VAULT_REVISIONS, ServerName.KEYSERVICE: KEYSERVICE_REVISIONS}
    with contextlib.ExitStack() as stack:
        engines = {}
        for name, folder in revisions.items():
            engines[name] = make_engine(stack.enter_context(postgres_cluster.fresh_database()))
            stack.callback(engines[name].dispose)
            migrate(engines[name], folder)
        yield engines


@pytest.fixture
def suite() -> Suite:
    """The suite that the deployment writes; whole stories ask for the others."""
    return WRITE_SUITE


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, suite: Suite) -> Iterator[ClientWorld]:
    """A deployment with both servers running."""
    engines: dict[ServerName, Engine] | None = None
    if getattr(request, "param", "sqlite") == "postgresql":
        engines = dict(request.getfixturevalue("postgres_engines"))
        for engine in engines.values():
            empty_tables(engine)
    world = ClientWorld.make(tmp_path, suite=suite, engines=engines)
    world.start()
    yield world
    world.stop()
