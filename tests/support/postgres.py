"""A real PostgreSQL for tests: one private cluster per run, reached through a socket, and a database per test.

PostgreSQL refuses to run as root, so root starts it as the user of Debian's package. Durability is switched off: these
tests prove what is decided, not what survives a power cut. So is whatever vacuums while nobody looks: a test that reads
the files of the cluster finds them as its own statements left them. Where PostgreSQL is not installed the tests that
ask for it skip with the command that mends it; in CI that is an error.

A folder's conftest imports the fixtures `postgres_cluster` and `postgres_url`.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import pytest

from tests.support.counts import is_ci

DEBIAN_PACKAGE: Final = "postgresql"
START_SECONDS: Final = 60
_DEBIAN_PROGRAMS: Final = Path("/usr/lib/postgresql")
_PACKAGE_USER: Final = "postgres"
_DURABLE: Final = (
    *("fsync=on", "synchronous_commit=on", "full_page_writes=on"),
    *("shared_buffers=1GB", "min_wal_size=2GB", "max_wal_size=4GB"),
)
"""What `POSTGRESQL.md` asks of an operator; benchmarks run so."""
_FORGETFUL: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class PostgresError(Exception):
    """The cluster cannot be started; the message ends with what it logged last."""


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A cluster that answers on a socket in `folder`."""

    folder: Path
    user: str

    def url(self, database: str, *, user: str | None = None) -> str:
        """The URL of one of its databases, for SQLAlchemy; of its owner, or of another role."""
        return f"postgresql+psycopg://{user or self.user}@/{database}?host={quote(str(self.folder))}"

    def execute(self, statement: str) -> None:
        """Run a statement as the owner of the cluster, outside of any transaction."""
        connection = psycopg.connect(host=str(self.folder), user=self.user, dbname="postgres", autocommit=True)
        with connection:
            connection.execute(statement.encode())

    @contextlib.contextmanager
    def fresh_database(self, *, locale: str | None = None) -> Iterator[str]:
        """The URL of an empty database that is dropped afterwards, whoever is still connected.

        It sorts by the language `locale`, or by codes.
        """
        name = f"test_{secrets.token_hex(8)}"
        language = f" LOCALE_PROVIDER icu ICU_LOCALE '{locale}'" if locale else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0{language}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def find_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian puts the newest version."""
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = [folder for folder in _DEBIAN_PROGRAMS.glob("*/bin") if (folder / "pg_ctl").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


@contextlib.contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[PostgresCluster]:
    """Start a cluster in a temporary folder, and stop and remove it at the end. Raises `PostgresError`."""
    programs = find_programs()
    if programs is None:
        raise PostgresError(f"PostgreSQL is not installed; on Debian: apt-get install {DEBIAN_PACKAGE}")
    owner = pwd.getpwnam(_PACKAGE_USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    # Not pytest's folder: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="carnet-postgres-"))
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    data, log = folder / "data", folder / "log"
    try:
        # No locale of the environment: the machine may lack the one that LANG names.
        options = ["-A", "trust", "-U", _PACKAGE_USER, "-E", "UTF8", "--no-locale", "-N"]
        _run(owner, folder, programs / "initdb", "-D", data, *options)
        settings = [*(_DURABLE if is_durable else _FORGETFUL), "listen_addresses=", f"unix_socket_directories={folder}"]
        words = " ".join(f"-c {setting}" for setting in (*settings, "max_connections=80"))
        _run(owner, folder, programs / "pg_ctl", "-D", data, "-l", log, "-o", words, "-w", "start")
        try:
            yield PostgresCluster(folder, _PACKAGE_USER)
        finally:
            _run(owner, folder, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The cluster of this run."""
    if find_programs() is None:
        reason = f"PostgreSQL is not installed; on Debian: apt-get install {DEBIAN_PACKAGE}"
        if is_ci():
            pytest.fail(reason)
        pytest.skip(reason)
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    with postgres_cluster.fresh_database() as url:
        yield url


def _run(owner: pwd.struct_passwd, folder: Path, *command: str | Path) -> None:
    as_root = os.geteuid() == 0
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        # pg_ctl leaves the server behind with these; a pipe would be held open by it for ever.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=START_SECONDS,
        user=owner.pw_uid if as_root else None,
        group=owner.pw_gid if as_root else None,
        extra_groups=[] if as_root else None,
        check=False,
    )
    if done.returncode:
        log = folder / "log"
        tail = log.read_text(errors="replace")[-1500:] if log.exists() else "no log"
        raise PostgresError(f"{Path(command[0]).name} failed with {done.returncode}: {tail}")
