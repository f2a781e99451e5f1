"""Print how PostgreSQL answers each statement of a tour of a server: the tables of the pages `POSTGRESQL.md`.

python -m tests.support.plan_report vault --records 2000 --documents 100
"""

import argparse
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from carnet_keyservice.app import REVISIONS as KEYSERVICE_REVISIONS
from carnet_server.database import make_engine
from carnet_server.migrations import migrate
from carnet_vault.app import REVISIONS as VAULT_REVISIONS
from tests.support.fill_postgres import Amount, fill
from tests.support.keyservice import KeyServiceStory, KeyServiceWorld
from tests.support.people import Dice
from tests.support.plans import Plan, PlanRecorder
from tests.support.postgres import running_postgres
from tests.support.tours import keyservice_tour, vault_tour
from tests.support.vault import VaultStory, VaultWorld

_REVISIONS: Final = {"vault": VAULT_REVISIONS, "keyservice": KEYSERVICE_REVISIONS}
_FOREIGN_KEY: Final = "SELECT 1 FROM "
_TABLES: Final = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:ONLY )?(\w+)")
_LONGEST: Final = 260


def record_vault(engine: Engine, root: Path) -> dict[str, list[Plan]]:
    """The plans of each step of the vault's tour, on the database of `engine`."""
    recorder = PlanRecorder(engine)
    world = VaultWorld.make(engine, root, Dice("vault"))
    with world.client:
        story = VaultStory.begin(world)
        return recorder.record(vault_tour(story))


def record_keyservice(engine: Engine, root: Path) -> dict[str, list[Plan]]:
    """The plans of each step of the key service's tour, on the database of `engine`."""
    recorder = PlanRecorder(engine)
    world = KeyServiceWorld.make(engine, root, Dice("deployment"))
    with world.client:
        story = KeyServiceStory.begin(world)
        return recorder.record(keyservice_tour(story))


def _steps(recorded: dict[str, list[Plan]]) -> Iterator[str]:
    yield "| step | statements | of foreign keys | pages | ms in the database |"
    yield "|---|---:|---:|---:|---:|"
    for name, plans in recorded.items():
        keys = sum(plan.statement.startswith(_FOREIGN_KEY) for plan in plans)
        pages = sum(plan.buffers() for plan in plans)
        spent = sum(plan.milliseconds for plan in plans)
        yield f"| {name} | {len(plans) - keys} | {keys} | {pages} | {spent:.2f} |"


def _statements(recorded: dict[str, list[Plan]]) -> Iterator[str]:
    yield "| first in step | statement | plan | pages | ms |"
    yield "|---|---|---|---:|---:|"
    seen: set[str] = set()
    for name, plans in recorded.items():
        for plan in plans:
            if plan.statement in seen or plan.statement.startswith(_FOREIGN_KEY):
                continue
            seen.add(plan.statement)
            shape = plan.shape()
            shape = shape if len(shape) <= _LONGEST else f"{shape[:_LONGEST]} …"
            yield f"| {name} | {_about(plan.statement)} | {shape} | {plan.buffers()} | {plan.milliseconds:.2f} |"


def _about(statement: str) -> str:
    tables = dict.fromkeys(name for name in _TABLES.findall(statement) if name != "SELECT")
    return f"{statement.split(maxsplit=1)[0]} {', '.join(tables)}"


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n")  # noqa: T201  what the program is for


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print how PostgreSQL answers a server's statements.")
    parser.add_argument("server", choices=tuple(_REVISIONS))
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--documents", type=int, default=100, help="in each record")
    parser.add_argument("--more", type=int, default=5_000, help="documents in the first record")
    given = parser.parse_args()
    record = record_vault if given.server == "vault" else record_keyservice
    with (
        running_postgres() as cluster,
        cluster.fresh_database() as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        engine = make_engine(url)
        migrate(engine, _REVISIONS[given.server])
        fill(engine, given.server, Amount(given.records, given.documents, given.more))
        recorded = record(engine, Path(folder))
        engine.dispose()
    _print(_steps(recorded))
    _print(_statements(recorded))


if __name__ == "__main__":
    _main()
